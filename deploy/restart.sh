#!/bin/sh
# Restart the processes one after the other, each when the one before is ready again: restart.sh 8000 8001
set -eu
for port in "$@"; do
    systemctl restart "mysite@$port"
    # A refused connection and a 503 are asked again, for a minute at most; then this ends, and the next process goes on as it was.
    curl --silent --show-error --fail --output /dev/null --retry 60 --retry-delay 1 --retry-connrefused \
        --header "Host: example.com" --header "X-Forwarded-Proto: https" "http://127.0.0.1:$port/notifications/health/ready/"
done
