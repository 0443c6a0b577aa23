from __future__ import annotations

from typing import Any

from sse_notify.topics import topic


@topic("bench")
def can_watch(user: Any) -> bool:
    return bool(user.is_authenticated)
