import os
from typing import Any

from benchmarks.servers.stock import *  # noqa: F403
from benchmarks.servers.stock import INSTALLED_APPS

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "sse_notify",
    "sse_notify.contrib.runs",
    "benchmarks.servers.ours",
]
ROOT_URLCONF = "benchmarks.servers.ours.urls"
ASGI_APPLICATION = "benchmarks.servers.ours.asgi.application"
CHANNEL_LAYERS: dict[str, Any] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if url := os.environ.get("BENCH_REDIS_URL"):
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [url]},
    }
