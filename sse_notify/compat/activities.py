"""What django-notifications-hq says, *actor verb action_object on target*, as a notification of this package says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _

from sse_notify.models import Notification

#: The key in ``data`` under which the parts are that have no column here.
ACTIVITY = "activity"


class _Encoder(DjangoJSONEncoder):
    """What JSON cannot hold becomes text: there it could be passed and was dropped."""

    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def phrase(actor: str, verb: str, action_object: str = "", target: str = "") -> str:
    """Return the title, in the words of django-notifications-hq and the language that is active; cut to what a title may have."""
    if action_object and target:
        names = {"actor": actor, "verb": verb, "action_object": action_object, "target": target}
        text = _("%(actor)s %(verb)s %(action_object)s on %(target)s") % names
    else:
        text = " ".join(filter(None, [actor, verb, action_object or target]))
    longest: int = getattr(Notification._meta.get_field("title"), "max_length")  # noqa: B009  (the stubs' union lacks it)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def data_of(
    extra: Any, verb: str, action_object: Mapping[str, str] | None, *, public: bool
) -> dict[str, Any]:
    """Return ``data``: the caller's own, as JSON can hold it, and the parts that have no column here.

    Args:
        extra: the caller's; what is no dictionary gets the key "data".
        verb: the verb alone.
        action_object: its ``type``, ``pk`` and ``name``.
        public: whether it was marked as public, which means nothing here.
    """
    own = extra if isinstance(extra, dict) else {"data": extra} if extra is not None else {}
    activity = {
        "verb": verb,
        "public": public,
        **({"action_object": dict(action_object)} if action_object else {}),
    }
    kept: dict[str, Any] = json.loads(json.dumps({**own, ACTIVITY: activity}, cls=_Encoder))
    return kept


def address_of(*things: Any) -> str:
    """Return the address of the first of ``things`` that has one, "" if none has or tells it."""
    for thing in things:
        if hasattr(thing, "get_absolute_url"):
            with suppress(Exception):  # the project's own code, which was not asked before
                return str(thing.get_absolute_url() or "")
    return ""
