"""The report of the fault suite."""

from __future__ import annotations

import pytest

from tests.faults.report import SOAK, Report

_report = Report()


@pytest.fixture
def report() -> Report:
    """Takes one row for each fault: ``report("server killed", verdict=crowd.verdict(log), healed=seconds)``."""
    return _report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was found."""
    if _report.rows:
        terminalreporter.section("faults")
        terminalreporter.write_line(_report.table())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the page, after a full run of the long form."""
    if SOAK and exitstatus == 0 and not session.config.option.keyword:
        _report.write()
