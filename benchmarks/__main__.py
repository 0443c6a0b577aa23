"""``python -m benchmarks``: run, print the tables, write the JSON."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import re
import sys
import time
from pathlib import Path

import uvloop

from benchmarks import machine
from benchmarks.bars import judge
from benchmarks.compare import compare
from benchmarks.compare import render as render_ratios
from benchmarks.plan import CONTESTANTS, QUICK, Plan
from benchmarks.report import render, render_runs, render_storms, render_ticker
from benchmarks.run import run, run_storms, run_ticker, run_words

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"

#: What is run alone with an option of this name, and how it is shown.
PARTS = {
    "ticker": (run_ticker, render_ticker),
    "storms": (run_storms, render_storms),
    "runs": (run_words, render_runs),
}

#: What --markdown replaces in the page.
GENERATED = r"(<!-- {name}: begin -->\n).*(<!-- {name}: end -->)"


def main() -> None:
    options = _parse()
    machine.check()
    plan = _plan(options)
    contestants = tuple(
        one
        for one in CONTESTANTS
        if not options.only or any(word in one.name for word in options.only)
    )
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {what}", file=sys.stderr, flush=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.compare:
            ratios = runner.run(
                compare(options.compare, plan, rounds=options.repeats or 5, say=say)
            )
            print(render_ratios(options.compare, ratios))
            return
        part = next((name for name in PARTS if getattr(options, name)), "")
        run_part, render_part = PARTS.get(part, (run, render))
        results = runner.run(run_part(plan, contestants=contestants, say=say))
    found = results.as_json()
    found["bars"] = [dataclasses.asdict(bar) for bar in judge(results)]
    file = options.json or RESULTS / f"{part or 'latest'}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")
    report = render_part(results)
    print(report)
    if options.markdown:
        _put(part or "generated", report)
    say(f"done; the numbers are in {os.path.relpath(file)}")


def _put(name: str, report: str) -> None:
    """Replace what stands between two marks of the page."""
    pattern = re.compile(GENERATED.format(name=name), re.DOTALL)
    page, replaced = pattern.subn(
        lambda match: f"{match[1]}\n{report}\n{match[2]}", PAGE.read_text()
    )
    if not replaced:
        raise SystemExit(f"{PAGE} has no place for the tables.")
    PAGE.write_text(page)


def _plan(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    changes = {
        name: getattr(options, name)
        for name in ("repeats", "streams", "many", "storm")
        if getattr(options, name) is not None
    }
    if (os.cpu_count() or 1) < 2:
        print("One core only: client and server share it, and the numbers suffer.", file=sys.stderr)
        changes |= {"server_core": None, "client_core": None}
    return dataclasses.replace(plan, **changes)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project beside its peers."
    )
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: fewer streams, one run of each; rough"
    )
    parser.add_argument(
        "--repeats", type=int, help="runs of each contestant, of which the tables show medians"
    )
    parser.add_argument("--streams", type=int, help="open streams of the main scenarios")
    parser.add_argument(
        "--many", type=int, help="open streams of the scenario with many; 0 leaves it out"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="contestants with WORD in their name",
    )
    parser.add_argument(
        "--compare",
        metavar="COMMIT",
        help="this version beside that of a commit, tag or branch: the ratios, measured in turn",
    )
    parser.add_argument("--storm", type=int, help="streams that come back at once; 0 leaves it out")
    parser.add_argument("--storms", action="store_true", help="the storms alone, three minutes")
    parser.add_argument("--runs", action="store_true", help="the runs alone, two minutes")
    parser.add_argument("--ticker", action="store_true", help="the ticker alone, about two minutes")
    parser.add_argument(
        "--json", type=Path, help="where to write the numbers; in benchmarks/results by default"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
