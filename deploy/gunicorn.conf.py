"""gunicorn --config gunicorn.conf.py: instead of uvicorn, several workers on one port."""

wsgi_app = "mysite.asgi:application"
worker_class = "uvicorn_worker.UvicornWorker"
bind = "127.0.0.1:8000"
workers = 2
backlog = 4096
# Seconds. Longer than DRAIN_SECONDS, and shorter than systemd's TimeoutStopSec.
# Leave max_requests at 0: a worker that gunicorn replaces ends its streams.
graceful_timeout = 15
