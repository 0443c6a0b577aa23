#!/bin/sh
# Restart the processes one after the other: restart.sh 8000 8001
# It restarts each process only when the one before is ready again.
set -eu
for port in "$@"; do
    systemctl restart "mysite@$port"
    # Retry after a refused connection or a 503, for at most a minute. Then the script fails and
    # does not restart the remaining processes.
    curl --silent --show-error --fail --output /dev/null --retry 60 --retry-delay 1 --retry-connrefused \
        --header "Host: example.com" --header "X-Forwarded-Proto: https" "http://127.0.0.1:$port/notifications/health/ready/"
done
