"""mysite/production.py: the production settings. They override mysite/settings.py.

Values that differ between servers come from /etc/mysite.env.
"""

import os

from mysite.settings import *

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")

# nginx terminates TLS. It always sets this header itself, so clients cannot forge it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_HSTS_SECONDS = 3600  # one hour; raise it to a year once everything works
# HSTS for subdomains and preload lists: enable them only if all your subdomains use HTTPS.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["DB_NAME"],
        "USER": os.environ["DB_USER"],
        "PASSWORD": os.environ["DB_PASSWORD"],
        "HOST": os.environ["DB_HOST"],
        "PORT": os.environ["DB_PORT"],
        "CONN_HEALTH_CHECKS": True,
        # For each process: 8 threads for handshakes and one for the hub, plus your own requests.
        # Idle streams hold no connection.
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 16}},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ["REDIS_URL"]]},
    }
}

# collectstatic compresses the files and hashes their names, so browsers may cache them forever.
STATIC_ROOT = BASE_DIR / "static_root"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MIDDLEWARE.insert(
    MIDDLEWARE.index("django.middleware.security.SecurityMiddleware") + 1,
    "whitenoise.middleware.WhiteNoiseMiddleware",
)

# Configure e-mail yourself: EMAIL_... or, from Django 6.1 on, MAILERS. The default of MAILERS is
# for development and fails `check --deploy`.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
