"""gunicorn --config gunicorn.conf.py, in place of uvicorn: several worker processes behind one port."""

wsgi_app = "mysite.asgi:application"
worker_class = "uvicorn_worker.UvicornWorker"
bind = "127.0.0.1:8000"
workers = 2
backlog = 4096
# Seconds; longer than DRAIN_SECONDS, shorter than systemd's TimeoutStopSec. Leave max_requests at 0: a worker that is replaced ends its streams.
graceful_timeout = 15
