"""What tests need around them: real services, real servers, real clients, each started once and ended by its process id.

``processes``  a child process with its log, ended for certain
``forks``      Python processes that begin warm
``redis``      a Redis server out of a wheel
``postgres``   a PostgreSQL server out of a wheel; ``python -m tests.support.postgres COMMAND`` runs a command beside one
``mariadb``    a MariaDB server: the system's, or Debian's, unpacked; ``python -m tests.support.mariadb COMMAND``
``locks``      what transactions wait for
``servers``    the project of ``tests.project`` on uvicorn, daphne, hypercorn, granian, or under WSGI
``site``       a database, perhaps a Redis, and any number of servers and scripts on them
``desk``       a user in front of pages in a browser
``fields``     the OpenAPI document and the types of the script, from the declaration of the fields
``imports``    a contract of import-linter: no cycles
``sse``        clients that read a stream: one async, one on a bare socket
``node``       a long-lived Node process that answers lines of JSON
``holding``    a proxy that holds back, or breaks off, what servers stream
``debian``     Debian's packages, unpacked into ``.cache``
``browser``    a Chromium: the system's, or Debian's, unpacked
``webkit``     a WebKit: the system's, or Debian's, unpacked; driven over WebDriver

The fixtures that hand these out are in ``tests/conftest.py``, each with a docstring that shows its use (``pytest --fixtures``).
"""

from __future__ import annotations

from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parents[2]

#: Seconds after which a wait counts as a hang. No test waits for it: it only bounds one that would never end.
GUARD = 60.0
