"""Settings of the demo site. The environment holds what differs between machines.

``DEBUG``          1 (the default) or 0
``SECRET_KEY``     needed when ``DEBUG`` is 0
``ALLOWED_HOSTS``  names, separated by commas; this machine's own by default
``DATABASE_URL``   "postgres://user:password@host/name"; a SQLite file by default
``REDIS_URL``      a Redis that connects several server processes; not needed for one
``DEMO_PASSWORD``  the demo users' password; needed when ``DEBUG`` is 0, as the login page shows the
                   default
``OPENAI_BASE_URL``, ``OPENAI_API_KEY``, ``OPENAI_MODEL``
                   the model for the chat, on any server with OpenAI's protocol; if the first two
                   are empty, the documentation answers
``CHAT_STALLS_AFTER``
                   seconds without a word after which an answer counts as stalled; 10 by default,
                   and more for a slow model
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
#: The only folder that the site writes to; it holds the database.
VAR_DIR = BASE_DIR / "var"

DEBUG = os.environ.get("DEBUG", "1") not in ("", "0", "false", "no")


def _secret(name: str, development: str) -> str:
    """Return a secret from the environment; only a development site has a default."""
    value = os.environ.get(name, "")
    if not value and not DEBUG:
        raise ImproperlyConfigured(
            f"Set {name} in the environment: with DEBUG=0 there is no default."
        )
    return value or development


SECRET_KEY = _secret("SECRET_KEY", "for-development-only-set-SECRET_KEY-anywhere-else")
DEMO_PASSWORD = _secret("DEMO_PASSWORD", "notify-me")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "daphne",  # first: it makes `runserver` an ASGI server
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "sse_notify",
    "sse_notify.contrib.runs",
    "demo_project.gallery",
    "demo_project.handbook",
    "demo_project.accounts",
    # One app per scenario: the gallery and its menu list them in this order.
    "demo_project.compose",
    "demo_project.people",
    "demo_project.board",
    "demo_project.announcements",
    "demo_project.terminal",
    "demo_project.lab",
    "demo_project.reader",
    "demo_project.chat",
    "demo_project.tasks",
    "demo_project.dashboard",
    "demo_project.livelog",
    "demo_project.ticker",
    "demo_project.orders",
    "demo_project.wall",
]
MIDDLEWARE = [
    "demo_project.middleware.RequestLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "demo_project.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "demo_project.urls"
ASGI_APPLICATION = "demo_project.asgi.application"
WSGI_APPLICATION = "demo_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES: dict[str, Any] = {
    "default": dj_database_url.config(
        default=f"sqlite:///{VAR_DIR / 'demo.sqlite3'}", conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    VAR_DIR.mkdir(exist_ok=True)
    DATABASES["default"]["OPTIONS"] = {
        # The shell and commands write while the server reads: wait for the lock if it is taken.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_redis_url = os.environ.get("REDIS_URL", "")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_redis_url]},
    }
    if _redis_url
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

SSE_NOTIFY = {
    "HEARTBEAT": 2,  # seconds: short, so that visitors of the protocol lab see one
    # Seconds: short, so that who ends the server in the middle of an answer sees it interrupted.
    "DRAIN_SECONDS": 2,
    # Minutes: a week. The chat takes an answer out of its run when somebody reads it.
    "RUN_RETENTION": 7 * 24 * 60,
    "CATEGORIES": {
        "Announcements": {
            "label": _("Announcements"),
            "description": _("What concerns everybody."),
            "required": True,
        },
        "Comments": {
            "label": _("Comments"),
            "description": _("Answers to what you wrote on the board."),
        },
    },
}

# Warnings go to the terminal, all records to the page with the live log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "console": {"class": "logging.StreamHandler", "level": "WARNING"},
        "ring": {"class": "demo_project.livelog.handler.RingHandler"},
    },
    "loggers": {"django": {"handlers": [], "level": "INFO"}},  # the root logger has the handlers
    "root": {"handlers": ["console", "ring"], "level": "INFO"},
}

# The model for the chat, see above.
OPENAI_BASE_URL = os.environ.get("OPENAI_BASE_URL", "")
OPENAI_API_KEY = os.environ.get("OPENAI_API_KEY", "")
OPENAI_MODEL = os.environ.get("OPENAI_MODEL", "") or "gpt-4o-mini"
CHAT_STALLS_AFTER = float(os.environ.get("CHAT_STALLS_AFTER", "") or 10)

LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "gallery:home"
LOGOUT_REDIRECT_URL = "accounts:sign_in"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文"), ("de", "Deutsch"), ("ar", "العربية")]
LOCALE_PATHS = [BASE_DIR / "demo_project" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

# Other machines connect only over TLS.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
