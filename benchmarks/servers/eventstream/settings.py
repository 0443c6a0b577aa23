import os

from benchmarks.servers.stock import *  # noqa: F403
from benchmarks.servers.stock import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_eventstream", "benchmarks.servers.eventstream"]
ROOT_URLCONF = "benchmarks.servers.eventstream.urls"
ASGI_APPLICATION = "benchmarks.servers.eventstream.asgi.application"
EVENTSTREAM_CHANNELMANAGER_CLASS = "benchmarks.servers.eventstream.channelmanager.SignedInOnly"
if os.environ.get("BENCH_STORED"):
    EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.DjangoModelStorage"
