"""Settings for tests that run Django inside the test process.

SQLite unless ``DATABASE_URL`` names another database; ``python -m tests.support.postgres pytest ...`` sets it to a
PostgreSQL that it starts, ``python -m tests.support.mariadb pytest ...`` to a MariaDB.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url
import pymysql

SECRET_KEY = "only-for-tests-" + "x" * 40
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_database: dict[str, Any] = dict(
    dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite://:memory:"))
)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # A file: threads that share a database in memory are refused at once where a file lets them wait.
    _folder = tempfile.TemporaryDirectory(prefix="sse-notify-tests-")
    atexit.register(_folder.cleanup)
    _database["TEST"] = {"NAME": Path(_folder.name) / "tests.sqlite3"}
    _database["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
    }
if _database["ENGINE"] == "django.db.backends.mysql":
    pymysql.install_as_MySQLdb()  # mysqlclient has no wheel
    TIME_ZONE = "Japan"  # the server of the tests knows few
DATABASES = {"default": _database}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "sse_notify",
    "sse_notify.contrib.runs",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.urls"
LOGIN_URL = "/admin/login/"
STATIC_URL = "/static/"
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
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Hashing slowly is for real passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
