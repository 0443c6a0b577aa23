from benchmarks.servers.stock import *  # noqa: F403
from benchmarks.servers.stock import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "sse_notify", "benchmarks.servers.ours"]
ROOT_URLCONF = "benchmarks.servers.ours.urls"
ASGI_APPLICATION = "benchmarks.servers.ours.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
