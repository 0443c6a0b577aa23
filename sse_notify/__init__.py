"""Live notifications for Django that arrive at once and are never lost.

Import every public name from here, also in modules that load before ``django.setup()``. Importing
this package loads nothing else, not even Django. Importing a name loads its module. Until the apps
are ready, names that need Django's models are stand-ins, which load the real object when they are
called.

``__init__.pyi`` lists the public names. ``docs/explanation/architecture.md`` lists the modules.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any, Union

__version__ = "0.1.0"

#: Public name to the module that defines it.
_HOMES = {
    alias.name: node.module
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8")).body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
#: These modules load no models, so their names never need a stand-in.
_WITHOUT_MODELS = {f"{__name__}.{module}" for module in ("exceptions", "sse.format", "topics")}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django.apps import apps  # noqa: PLC0415  (importing this package must not import Django)

    return _load(name) if apps.apps_ready or _HOMES[name] in _WITHOUT_MODELS else _stand_in(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _load(name: str) -> Any:
    return getattr(import_module(_HOMES[name]), name)


def _stand_in(name: str) -> Any:
    """Return the stand-in for a public name while the apps are not ready."""
    if name[0].isupper():
        return _LazyClass(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return _load(name)(*args, **kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    stand_in = acall if name[0] == "a" and name[1:] in _HOMES else call
    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


class _LazyClass:
    """Stand in for a class: in calls, as a base class, in annotations and in ``isinstance()``."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _load(self.__name__)(*args, **kwargs)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, _load(self.__name__))

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_load(self.__name__),)

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007  (this is what `|` calls)
