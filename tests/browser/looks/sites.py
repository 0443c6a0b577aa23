"""Sites for looks: the test project with templates of their own, and with the apps of an admin."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.desk import Desk
from tests.support.site import Site

#: Staff who may do everything, one for each look.
PREPARE = """
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
for scheme in ("light", "dark"):
    User.objects.create_superuser(scheme, first_name="Somebody")
"""


class Staff(Desk):
    """Somebody whom ``PREPARE`` made."""

    def __init__(self, desk: Desk, username: str) -> None:
        """Take another's place."""
        super().__init__(desk.site, desk.server)
        self.user, self._new = username, False


def documented(guide: str, look: str) -> dict[str, str]:
    """Return the templates that a guide shows for a look, by their names."""
    found = {}
    for block in blocks(DOCS / "how-to" / guide):
        start, _, name = block.mark.partition(": ")
        if start == look:
            found[name] = block.code
    assert found, (guide, look)
    return found


@contextmanager
def serve(
    folder: Path, database: Path, templates: Mapping[str, str], apps: str = ""
) -> Iterator[Desk]:
    """Serve a site whose first app has these templates; yield a user of it.

    Args:
        folder: for the app, the database and the logs.
        database: a database to begin with.
        templates: their texts by their names.
        apps: more apps, with commas between. With any, the database is migrated, and ``Staff`` is there.
    """
    for name, text in templates.items():
        path = folder / "looks_app" / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "looks_app" / "__init__.py").touch()
    shutil.copyfile(database, folder / "site.sqlite3")
    env = {"EXTRA_APPS": f"looks_app,{apps}".strip(","), "PYTHONPATH": f"{folder}:{ROOT}"}
    site = Site(folder, database_url=f"sqlite:///{folder / 'site.sqlite3'}", env=env)
    if apps:
        site.script(PREPARE, timeout=120)
    yield Desk(site, site.serve())
    site.close()
    print(site.tail())
