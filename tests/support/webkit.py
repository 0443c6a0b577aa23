"""A real WebKit: WebKitGTK's MiniBrowser on a screen of its own, driven over W3C WebDriver.

``python -m tests.support.webkit`` makes sure that there is one, and prints where. Where the machine
has none, it unpacks Debian's packages into ``.cache``, which needs no rights. The command never
fails: a test that needs WebKit says what to install.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import GUARD, debian
from tests.support.desk import Desk
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

_PACKAGES = ("webkit2gtk-driver", "xvfb")
_UNPACKED = debian.CACHE / "webkit"

#: Debian's binaries look for other programs in fixed folders. In the unpacked copies the names of
#: these are relative to the working directory, which is ``_UNPACKED``.
_FIXED_FOLDERS = (
    ("usr/lib/*/libwebkit2gtk-4.*.so.*", rb"/usr/lib/[\w-]+/webkit2gtk-4\.\d\0"),
    ("usr/bin/Xvfb", rb"(?<=\0)/usr/bin\0"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebKit:
    """How WebKit and its screen are started."""

    driver: Path
    """WebKitWebDriver."""
    screen: Path
    """Xvfb."""
    browser: Path | None = None
    """MiniBrowser, if it is not where the driver looks for it."""
    env: dict[str, str] = field(default_factory=dict)
    """Added to the environment: where the shared libraries are."""
    folder: Path = Path("/")
    """The working directory; relative to it are the keyboards that Xvfb needs."""

    @property
    def keyboards(self) -> Path:
        """What Xvfb reads at its start; unpacked only if the machine has none."""
        return self.folder / "usr" / "share" / "X11" / "xkb"


def find() -> WebKit | None:
    """Return the machine's WebKit, or the one that was unpacked; ``None`` if there is neither."""
    driver, screen = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    if driver and screen:
        return WebKit(driver=Path(driver), screen=Path(screen))
    browsers = list(_UNPACKED.glob("usr/lib/*/webkit2gtk-4.*/MiniBrowser"))
    if not browsers:
        return None
    programs = _UNPACKED / "usr" / "bin"
    return WebKit(
        driver=programs / "WebKitWebDriver",
        screen=programs / "Xvfb",
        browser=browsers[0],
        env={
            **debian.environment(_UNPACKED),
            "WEBKIT_INJECTED_BUNDLE_PATH": str(browsers[0].parent / "injected-bundle"),
        },
        folder=_UNPACKED,
    )


class Window:
    """A window of WebKit.

    ::

        window.open(server.url)
        window.wait("document.querySelector('h1')")
        assert window.run("return innerWidth") > 0

    Args:
        folder: for the logs, and as the browser's home.
    """

    def __init__(self, folder: Path) -> None:
        """Start a screen, a driver and a browser."""
        webkit = find() or missing(
            "a WebKit",
            f"apt install {' '.join(_PACKAGES)}, or run python -m tests.support.webkit",
        )
        home = folder / "home"
        home.mkdir(mode=0o700)
        number = folder / "display"
        # A light system, whatever the desktop of this machine is.
        env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "GTK_THEME": "Adwaita"}
        env |= webkit.env
        # The shell opens the file into which Xvfb writes which display was free.
        screen = [
            "-screen",
            "0",
            "1280x1024x24",
            "-nolisten",
            "tcp",
            "-xkbdir",
            "/usr/share/X11/xkb",
        ]
        if (own := _UNPACKED / "usr/share/X11/xkb").exists() and webkit.env:
            screen[-1] = str(own)
        self._screen = Process(
            ["sh", "-c", 'exec "$@" 3>"$0"', number, webkit.screen, "-displayfd", "3", *screen],
            log=folder / "xvfb.log",
            env=env,
            cwd=webkit.folder,
        )
        self._screen.start(ready=lambda: number.exists() and number.read_text().endswith("\n"))
        port = free_port()
        self._driver = Process(
            [webkit.driver, f"--port={port}"],
            log=folder / "driver.log",
            env={**env, "DISPLAY": f":{number.read_text().strip()}", "GDK_BACKEND": "x11"},
            cwd=webkit.folder,
        )
        self._driver.start(ready=lambda: listens(port))
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=GUARD, trust_env=False
        )
        options: dict[str, Any] = {"args": ["--automation"]}
        if webkit.browser:
            options["binary"] = str(webkit.browser)
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        answer = self._ask("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{answer['sessionId']}"
        #: WebKitGTK's version.
        self.version: str = answer["capabilities"]["browserVersion"]

    def open(self, url: str) -> None:
        """Load a page."""
        self._ask("POST", self._session + "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function, run in the page, returns."""
        return self._run("sync", script, *arguments)

    def call(self, function: str, *arguments: Any) -> Any:
        """Return what a function returns in the page."""
        return self.run(f"return ({function})(...arguments)", *arguments)

    def open_as(self, desk: Desk, path: str = "") -> None:
        """Sign the desk's user in, and load a page of its site."""
        self.open(desk.url + "/stats/")
        sign_in = "(form) => fetch('/login/', { method: 'POST', body: new URLSearchParams(form) })"
        assert self.call(f"async (form) => (await ({sign_in})(form)).ok", desk.form())
        self.open(desk.url + (path or desk.path))

    def wait(self, condition: str) -> None:
        """Wait until an expression is true in the page; it is tried in each frame."""
        check = f"() => ({condition}) ? arguments[0]() : requestAnimationFrame(check)"
        self._run("async", f"const check = {check}; check()")

    def screenshot(self, path: Path) -> None:
        """Save a picture of what the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", self._session + "/screenshot")))

    def close(self) -> None:
        """End the browser, the driver and the screen."""
        self._ask("DELETE", self._session)
        self._client.close()
        self._driver.stop(timeout=5)
        self._screen.stop(timeout=5)

    def _run(self, how: str, script: str, *arguments: Any) -> Any:
        body = {"script": script, "args": list(arguments)}
        return self._ask("POST", f"{self._session}/execute/{how}", body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the value that the driver answers a command with."""
        answer = self._client.request(method, path, json=body)
        value = answer.json()["value"]
        assert answer.is_success, f"{value['error']}: {value['message']}"
        return value


def _fetch() -> None:
    debian.fetch(_UNPACKED, *_PACKAGES, until=find)
    for pattern, name in _FIXED_FOLDERS:
        for binary in _UNPACKED.glob(pattern):
            if not binary.is_symlink():
                binary.write_bytes(_relative(binary.read_bytes(), name))


def _relative(binary: bytes, folder: bytes) -> bytes:
    """Return a binary in which a folder's name has no leading slash, but its old length."""
    return re.sub(folder, lambda found: found[0][1:] + b"\0", binary)


def main() -> int:
    """Fetch a WebKit if the machine has none, where that can be done; print where it is."""
    if find() is None:
        _fetch()
    found = find()
    print(f"WebKit: {found.driver if found else 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
