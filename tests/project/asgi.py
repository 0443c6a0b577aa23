"""The test project's ASGI application, wrapped as the documentation says."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")

#: Without the wrapper: streams are then served inside Django. Static files come straight from the apps' folders.
unwrapped = ASGIStaticFilesHandler(get_asgi_application())

from sse_notify.asgi import EventStreams  # noqa: E402  (it needs the apps)

application = EventStreams(unwrapped)
