from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from sse_notify.asgi import EventStreams  # noqa: E402  (it needs the apps)

application = EventStreams(django_application)
