"""Where the documentation tells users to import from, and when they do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from sse_notify.asgi import EventStreams
from django.core.asgi import get_asgi_application
application = EventStreams(get_asgi_application())
"""
TOPICS = "from sse_notify import topic\ntopic('order.<int:pk>')(lambda user, pk: True)"
APP = "import sse_notify\nassert sse_notify.__version__\nassert 'notify' in dir(sse_notify)"


@pytest.mark.parametrize("code", [ASGI, TOPICS, APP], ids=["asgi.py", "topics.py", "anywhere"])
def test_it_is_imported_before_djangos_apps_are_ready(code: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_no_other() -> None:
    import sse_notify

    for name in sse_notify.__all__:
        assert getattr(sse_notify, name) is not None
    assert set(sse_notify.__all__) == set(sse_notify._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sse_notify.nothing  # noqa: B018
