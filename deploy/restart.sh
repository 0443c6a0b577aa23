#!/bin/sh
# Restart the processes one after the other, each when the one before answers again: restart.sh 8000 8001
set -eu
for port in "$@"; do
    systemctl restart "mysite@$port"
    # Any answer will do, a redirect too; 5xx and a refused connection are asked again, for a minute at most.
    curl --silent --output /dev/null --retry 60 --retry-delay 1 --retry-connrefused \
        --header "Host: example.com" --header "X-Forwarded-Proto: https" "http://127.0.0.1:$port/notifications/"
done
