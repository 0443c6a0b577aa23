"""The site as an ASGI application: Django, with its event streams served beside it."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sse_notify.asgi import EventStreams

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")

# The outer layer hands out static files straight from the apps' folders, so that the demo runs without `collectstatic`. A real
# site leaves that to its web server, and has `application = EventStreams(get_asgi_application())`.
application = ASGIStaticFilesHandler(EventStreams(get_asgi_application()))  # type: ignore[arg-type]  # any application will do
