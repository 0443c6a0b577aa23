"""A headless Chromium or Firefox: ``CHROMIUM`` or ``FIREFOX``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.browser chromium`` makes sure that there is one, and prints where. The
command never fails: a test that needs a browser says what to install.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserType, Playwright

from tests.support import debian
from tests.support.requirements import missing

#: What the browser does without. Of two such switches the last counts, so what Playwright turns off is here as well. Beside it: a process that
#: waits for the next page, and popups of the address bar, pages of the browser's own that cost each window several times what a test's costs.
_FEATURES = (
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "SpareRendererForSitePerProcess",
    "ThirdPartyStoragePartitioning",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
)

#: No sandbox, since Chromium has none for root and containers often forbid it: only this project's own pages are opened. Nothing
#: that speaks to the network by itself.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=" + ",".join(_FEATURES),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What Playwright's ``launch()`` needs to know."""

    engine: str
    """The browser type of Playwright."""
    executable: Path
    """The browser's binary."""
    env: dict[str, Any] | None = field(default=None, repr=False)
    """The environment to run it in, if not this process's: it names the shared libraries that came with it."""

    def launch(self, playwright: Playwright, **more: Any) -> Browser:
        """Start it, with ``more`` options of Playwright's ``launch()``."""
        kind: BrowserType = getattr(playwright, self.engine)
        if self.engine == "firefox":
            more |= {
                "channel": "moz-firefox"
            }  # over WebDriver BiDi: Mozilla's build, not Playwright's
        else:
            more |= {"args": list(ARGUMENTS)}
        return kind.launch(executable_path=self.executable, env=self.env, **more)


#: Older ones lack a command of WebDriver BiDi that Playwright sends.
OLDEST_FIREFOX = 143

#: Each engine's names on a machine, and Debian's package.
_NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
_PACKAGES = {"chromium": "chromium", "firefox": "firefox-esr"}


def find(engine: str = "chromium") -> Installed | None:
    """Return the browser of this machine, or the one that was unpacked; ``None`` if there is neither."""
    for name in filter(None, (os.environ.get(engine.upper()), *_NAMES[engine])):
        if (path := shutil.which(name)) and _is_recent(Path(path)):
            return Installed(engine=engine, executable=Path(path))
    folder, package = debian.CACHE / engine, _PACKAGES[engine]
    unpacked = folder / "usr" / "lib" / package / package
    if not (unpacked.exists() and _is_recent(unpacked)):
        return None
    env = {**os.environ, **debian.environment(folder)}
    return Installed(engine=engine, executable=unpacked, env=env)


def _is_recent(executable: Path) -> bool:
    """Return whether Playwright can drive a browser. A Firefox says its version in a file."""
    about = executable.resolve().parent / "application.ini"
    found = (
        re.search(r"^Version=(\d+)", about.read_text(), re.MULTILINE) if about.exists() else None
    )
    return found is None or int(found[1]) >= OLDEST_FIREFOX


def need(engine: str = "chromium") -> Installed:
    """Return a browser; skip the test if there is none."""
    return find(engine) or missing(
        f"a {engine.title()}",
        f"apt install {_PACKAGES[engine]}, or run python -m tests.support.browser {engine}",
    )


def main(engine: str) -> int:
    """Fetch a browser if the machine has none, where that can be done; print where it is."""
    debian.fetch(debian.CACHE / engine, _PACKAGES[engine], until=lambda: find(engine))
    found = find(engine)
    where = found.executable if found else "none; install it for the tests that need it"
    print(f"{engine.title()}: {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
