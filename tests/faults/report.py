"""What the fault suite found, as a table: in the terminal, and after the long form in docs/soak.md."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import machine
from tests.support import ROOT

if TYPE_CHECKING:
    from tests.faults.crowd import Verdict

#: Whether this is the long form: more clients, longer faults, the settings' defaults.
SOAK = os.environ.get("SOAK") == "1"

_PAGE = ROOT / "docs" / "soak.md"

_HEAD = """# The soak

These are the results of one full run of `make soak`, the long form of the fault suite. `make test` runs the same faults in a short form, with fewer
clients and shorter outages. Every client opens a real stream on real servers, and reconnects with its cursor when it is cut. The test compares what
it got with the log in the database. [Promises](explanation/promises.md) lists what each fault shows, and what is not promised.

- *Deliveries*: events that clients received. *Lost*: events that a client did not get. *Twice*: events that came a second time or out of order.
  *Wrong*: events of another user. All are counted after the clients have reconnected.
- *Healed*: seconds from the end of the fault until the last client had everything.

"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One fault."""

    fault: str
    """What was done to whom."""
    clients: int
    """Open streams."""
    events: int
    """Deliveries that were checked."""
    lost: int = 0
    """Events that a client should have got and did not."""
    duplicated: int = 0
    """Events that a client got a second time, or out of order."""
    foreign: int = 0
    """Events that a client should not have got."""
    healed: float | None = None
    """Seconds from the end of the fault until all was delivered."""
    note: str = ""
    """Further figures."""


class Report:
    """The rows of one run. Call it to add one."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: list[Row] = []

    def __call__(
        self,
        fault: str,
        *,
        verdict: Verdict | None = None,
        clients: int = 0,
        events: int = 0,
        lost: int = 0,
        duplicated: int = 0,
        foreign: int = 0,
        healed: float | None = None,
        note: str = "",
    ) -> None:
        """Add a row; a crowd's ``verdict`` fills in the figures."""
        if verdict is not None:
            clients, events, lost = verdict.clients, verdict.delivered, verdict.lost
            duplicated, foreign = verdict.duplicated + verdict.disordered, verdict.foreign
        self.rows.append(
            Row(
                fault=fault,
                clients=clients,
                events=events,
                lost=lost,
                duplicated=duplicated,
                foreign=foreign,
                healed=healed,
                note=note,
            )
        )

    def table(self) -> str:
        """Return the rows as a table in Markdown."""
        lines = [
            "| fault | clients | deliveries | lost | twice | wrong | healed | |",
            "| --- | --: | --: | --: | --: | --: | --: | --- |",
        ]
        for row in sorted(self.rows, key=lambda row: row.fault):
            healed = "" if row.healed is None else f"{row.healed:.1f} s"
            figures = f"{row.clients:,} | {row.events:,} | {row.lost} | {row.duplicated} | {row.foreign} | {healed}"
            lines.append(f"| {row.fault} | {figures} | {row.note} |")
        return "\n".join(lines)

    def write(self) -> None:
        """Write docs/soak.md."""
        facts = machine.describe()
        named = (
            "date",
            "processor",
            "cores",
            "memory",
            "system",
            "python",
            "django",
            "uvicorn",
            "daphne",
        )
        where = "".join(f"- {name}: {facts[name]}\n" for name in named) + "\n"
        _PAGE.write_text(f"{_HEAD}{where}{self.table()}\n")
