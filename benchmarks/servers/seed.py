"""Makes the tables, the users and a session for each, and prints the session keys as JSON. A process of its own."""

from __future__ import annotations

import argparse
import json
import sys

import django
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, required=True)
    options = parser.parse_args()
    django.setup()
    call_command("migrate", verbosity=0)
    json.dump(
        [f"{settings.SESSION_COOKIE_NAME}={key}" for key in _make_users(options.users)], sys.stdout
    )


def _make_users(count: int) -> list[str]:
    # Models can be imported only now.
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: PLC0415
    from django.contrib.auth.hashers import make_password  # noqa: PLC0415
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.contrib.sessions.backends.base import VALID_KEY_CHARS  # noqa: PLC0415
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415
    from django.contrib.sessions.models import Session  # noqa: PLC0415
    from django.db import transaction  # noqa: PLC0415
    from django.utils.crypto import get_random_string  # noqa: PLC0415

    password = make_password(None)  # nobody signs in: the sessions are made here
    with transaction.atomic():
        users = User.objects.bulk_create(
            [User(username=f"user{index}", password=password) for index in range(count)],
            batch_size=1000,
        )
        sessions: list[Session] = []
        for user in users:
            store = SessionStore()
            content = {
                SESSION_KEY: str(user.pk),
                BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
                HASH_SESSION_KEY: user.get_session_auth_hash(),
            }
            sessions.append(
                Session(
                    session_key=get_random_string(32, VALID_KEY_CHARS),
                    session_data=store.encode(content),
                    expire_date=store.get_expiry_date(),
                )
            )
        Session.objects.bulk_create(sessions, batch_size=1000)
    return [session.session_key for session in sessions]


if __name__ == "__main__":
    main()
