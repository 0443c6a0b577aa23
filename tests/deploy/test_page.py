"""``docs/deploy.md`` shows the files of ``deploy/`` as they are, and names what exists."""

from __future__ import annotations

import re
import tomllib

from tests.deploy.mysite import DEPLOY, environment_file
from tests.docs.pages import DOCS, blocks
from tests.packaging.test_repository import constraints, normalised
from tests.support import ROOT

BLOCKS = list(blocks(DOCS / "deploy.md"))


def test_the_page_shows_every_file_as_it_is() -> None:
    shown = {
        block.mark.removeprefix("file: deploy/"): block.code
        for block in BLOCKS
        if block.mark.startswith("file: ")
    }
    assert shown == {path.name: path.read_text() for path in DEPLOY.iterdir() if path.is_file()}


def test_what_the_page_has_installed_exists_and_includes_what_the_files_import() -> None:
    (line,) = [
        line for block in BLOCKS for line in block.code.splitlines() if "pip install" in line
    ]
    asked = [
        normalised(re.split(r"[\[']", word.strip("'"))[0])
        for word in line.split("pip install ")[1].split()
    ]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(asked) - {"sse-notify"} <= constraints().keys()
    assert {"psycopg", "uvicorn", "whitenoise"} <= set(asked)
    assert "redis" in extras


def test_the_environment_sets_exactly_what_the_settings_ask_for() -> None:
    asked = re.findall(r'os\.environ\["(\w+)"\]', (DEPLOY / "production.py").read_text())
    assert sorted(environment_file()) == sorted({"DJANGO_SETTINGS_MODULE", *asked})
    assert environment_file()["DJANGO_SETTINGS_MODULE"] == "mysite.production"


def test_every_path_that_a_file_says_it_goes_to_is_the_one_that_the_page_says() -> None:
    text = (DOCS / "deploy.md").read_text()
    for path in DEPLOY.iterdir():
        first = path.read_text().splitlines()[0]
        for place in re.findall(r"/etc/\S+\.(?:conf|env|service|timer)", first):
            assert text.count(place) >= 2, f"{path.name}: {place}"
