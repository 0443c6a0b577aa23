"""The site as an ASGI application: Django, wrapped to serve event streams."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from sse_notify.asgi import EventStreams

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")

# The outer handler serves static files from the apps' folders, so that the demo runs without
# `collectstatic`. A real site's web server serves them, and it needs only
# `application = EventStreams(get_asgi_application())`.
application = ASGIStaticFilesHandler(EventStreams(get_asgi_application()))  # type: ignore[arg-type]
