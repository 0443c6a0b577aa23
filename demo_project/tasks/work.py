"""The work of the jobs, independent of jobs, users and progress."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import struct
import sysconfig
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

#: Parts of paths that are left out.
_ASIDE = frozenset({"site-packages", "test", "tests", "idlelib", "lib2to3"})
#: The picture: pixels per line (one per two characters), lines per column, pixels between columns.
_WIDTH, _HEIGHT, _GAP = 60, 1500, 6
_PAPER, _INK, _PALE = 255, 40, 170

Each = Callable[[Path], None]


def files_of(package: str) -> list[Path]:
    """Return the sorted Python files of a package; "python" is the standard library."""
    if package == "python":
        root = Path(sysconfig.get_path("stdlib"))
    else:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ValueError(f"package: {package!r} is not installed")
        root = Path(spec.origin).parent
    return sorted(
        path for path in root.rglob("*.py") if not _ASIDE.intersection(path.relative_to(root).parts)
    )


def survey(files: list[Path], each: Each) -> bytes:
    """Return a CSV with a row per file: its size, its definitions and its checksum.

    Args:
        files: the files to read.
        each: called before each file.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("file", "bytes", "lines", "functions", "classes", "sha256"))
    for path in files:
        each(path)
        content = path.read_bytes()
        functions = classes = 0
        try:
            for node in ast.walk(ast.parse(content)):
                functions += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                classes += isinstance(node, ast.ClassDef)
        except (SyntaxError, ValueError):
            pass  # a file that is broken on purpose
        checksum = hashlib.sha256(content).hexdigest()
        table.writerow(
            (_name(path), len(content), content.count(b"\n"), functions, classes, checksum)
        )
    return text.getvalue().encode()


def picture(files: list[Path], each: Each) -> bytes:
    """Return a PNG of all lines, one pixel high, in columns. Arguments as for :func:`survey`."""
    lines: list[bytes] = []
    for path in files:
        each(path)
        lines.extend(
            _pixels(line)
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        )
    columns = -(-len(lines) // _HEIGHT)
    blank = bytes([_PAPER]) * _WIDTH
    lines += [blank] * (columns * _HEIGHT - len(lines))
    gap = bytes([_PAPER]) * _GAP
    rows = [gap.join(lines[top::_HEIGHT]) for top in range(_HEIGHT)]
    return _png(len(rows[0]), rows)


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _pixels(line: str) -> bytes:
    ink = _PALE if line.lstrip().startswith("#") else _INK
    return bytes(
        _PAPER if line[at : at + 2].isspace() or at >= len(line) else ink
        for at in range(0, 2 * _WIDTH, 2)
    )


def _png(width: int, rows: list[bytes]) -> bytes:
    """Return rows of grey pixels as a PNG. (https://www.w3.org/TR/png-3/)"""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, len(rows), 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
