"""How a task that waits is woken: less than an :class:`asyncio.Event`, of which every stream would hold one."""

from __future__ import annotations

import asyncio


class Wakeup:
    """A bell that one task waits for. It does not remember: whoever waits looks first whether there is a reason to."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether a task waits."""
        return self._future is not None

    async def wait(self) -> None:
        """Wait for :meth:`ring`."""
        self._future = asyncio.get_running_loop().create_future()
        await self._future

    def ring(self) -> None:
        """Wake the task that waits, if one does."""
        if self._future is not None:
            if not self._future.done():
                self._future.set_result(None)
            self._future = None
