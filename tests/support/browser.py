"""A headless Chromium: ``CHROMIUM``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.browser`` makes sure that there is one, and prints where. The command never
fails: a test that needs a browser says what to install.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import debian
from tests.support.requirements import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_UNPACKED = debian.CACHE / "chromium"

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
class Chromium:
    """What Playwright's ``launch()`` needs to know."""

    executable: Path
    """The browser's binary."""
    env: dict[str, str | float | bool] | None = field(default=None, repr=False)
    """The environment to run it in, if not this process's: it names the shared libraries that came with it."""
    arguments: tuple[str, ...] = ARGUMENTS
    """Command-line switches."""


def find() -> Chromium | None:
    """Return the browser of this machine, or the one that was unpacked; ``None`` if there is neither."""
    for name in filter(None, (os.environ.get("CHROMIUM"), *_NAMES)):
        if path := shutil.which(name):
            return Chromium(executable=Path(path))
    unpacked = _UNPACKED / "usr" / "lib" / "chromium" / "chromium"
    if not unpacked.exists():
        return None
    return Chromium(executable=unpacked, env={**os.environ, **debian.environment(_UNPACKED)})


def need() -> Chromium:
    """Return a browser; skip the test if there is none."""
    return find() or missing(
        "a Chromium", "apt install chromium, or run python -m tests.support.browser"
    )


def main() -> int:
    """Fetch a browser if the machine has none, where that can be done; print where it is."""
    debian.fetch(_UNPACKED, "chromium", until=find)
    found = find()
    print(
        f"Browser: {found.executable if found else 'none; install it for the tests that need it'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
