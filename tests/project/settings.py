"""Settings of the test project.

``DATABASE_URL``       the database; required
``DATABASE_OPTIONS``   its ``OPTIONS``, as JSON
``REDIS_URL``          a Redis for the channel layer; in memory without it
``REDIS_LAYER``        "pubsub" (the default) or "core": which of channels-redis' two layers
``REDIS_CONFIG``       more of that layer's ``CONFIG``, as JSON
``SSE_NOTIFY``         the setting of this name, as JSON
``EXTRA_MIDDLEWARE``   middleware to put first, dotted paths with commas between
``EXTRA_APPS``         apps to add, with commas between
``STATIC_URL``         the setting of this name
``WORKER``             the path of a service worker's script, for the page ``/worker.js``
``SESSION_ENGINE``     the setting of this name, and ``SESSION_FILE_PATH``
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import dj_database_url
import pymysql

SECRET_KEY = "only-for-tests-" + "y" * 40
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.project.urls"
ASGI_APPLICATION = "tests.project.asgi.application"
WSGI_APPLICATION = "tests.project.wsgi.application"
LOGIN_URL = "/login/"
STATIC_URL = os.environ.get("STATIC_URL", "/static/")

_database: dict[str, Any] = dict(dj_database_url.parse(os.environ["DATABASE_URL"]))
if "DATABASE_OPTIONS" in os.environ:
    _database["OPTIONS"] = json.loads(os.environ["DATABASE_OPTIONS"])
elif _database["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write to one file in these tests.
    _database["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
    }
if _database["ENGINE"] == "django.db.backends.mysql":
    pymysql.install_as_MySQLdb()  # mysqlclient has no wheel
DATABASES = {"default": _database}

_redis = os.environ.get("REDIS_URL")
_layers = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": _layers[os.environ.get("REDIS_LAYER", "pubsub")],
        "CONFIG": {"hosts": [_redis], **json.loads(os.environ.get("REDIS_CONFIG", "{}"))},
    }
    if _redis
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

INSTALLED_APPS = [
    *(
        ["daphne"] if "runserver" in sys.argv else []
    ),  # it takes a while to import, and serves nothing else
    *filter(None, os.environ.get("EXTRA_APPS", "").split(",")),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "sse_notify",
    "sse_notify.contrib.runs",
    "tests.project",
]
MIDDLEWARE = [
    *filter(None, os.environ.get("EXTRA_MIDDLEWARE", "").split(",")),
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
SESSION_ENGINE = os.environ.get("SESSION_ENGINE", "django.contrib.sessions.backends.db")
SESSION_FILE_PATH = os.environ.get("SESSION_FILE_PATH")
# For django-cors-headers, if it is among the extra apps.
CORS_ALLOWED_ORIGIN_REGEXES = [*filter(None, [os.environ.get("CORS_ALLOWED_ORIGIN_REGEX")])]
CORS_ALLOW_CREDENTIALS = "CORS_ALLOW_CREDENTIALS" in os.environ
CORS_ALLOW_HEADERS = ["accept", "cache-control", "content-type", "last-event-id", "x-csrftoken"]
CSRF_TRUSTED_ORIGINS = [*filter(None, [os.environ.get("CSRF_TRUSTED_ORIGIN")])]
# For Wagtail, if it is among the extra apps.
WAGTAIL_SITE_NAME = "Tests"
WAGTAILADMIN_BASE_URL = "http://localhost"
SSE_NOTIFY = json.loads(os.environ.get("SSE_NOTIFY", "{}"))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
