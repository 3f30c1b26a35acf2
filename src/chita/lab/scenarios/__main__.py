"""Runs the scenarios: ``python -m chita.lab.scenarios`` (``make scenarios``).

Prints each figure as it is measured, then one table. Exits 1 when a mark is missed or something
could not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from chita.errors import ChitaError
from chita.lab.scenarios.bench import Bench, standing_bench
from chita.lab.scenarios.catalogue import LONE_SCENARIOS, SCENARIOS
from chita.lab.scenarios.figures import Outcome, markdown
from chita.lab.scenarios.scenario import LoneScenario, Scenario

BEGIN, END = "<!-- scenarios: begin -->", "<!-- scenarios: end -->"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as it is written to a file."""

    date: str
    cpus: int
    kernel: str
    load_before: float
    """Load average of one minute before the run: above a few tenths, others were at work."""
    outcomes: tuple[Outcome, ...]


def main() -> int:
    """Run what is asked for; return the exit status."""
    options = _options()
    names = [it.name for it in (*LONE_SCENARIOS, *SCENARIOS)]
    alone = [it for it in LONE_SCENARIOS if not options.names or it.name in options.names]
    chosen = [
        it
        for it in SCENARIOS
        if it.name in options.names or (not options.names and (it.quick_times or not options.quick))
    ]
    if unknown := set(options.names) - set(names):
        known = ", ".join(names)
        _say(f"there is no scenario {', '.join(sorted(unknown))}; there are {known}")
        return 2
    load = os.getloadavg()[0]
    started = time.monotonic()
    outcomes = [_run_alone(scenario, quick=options.quick) for scenario in alone]
    try:
        if chosen:
            with standing_bench(_say) as bench:
                outcomes += [_run(bench, scenario, quick=options.quick) for scenario in chosen]
    except ChitaError as error:
        _say(f"no lab: {error}")
        return 2
    record = Record(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpus=os.cpu_count() or 1,
        kernel=platform.release().partition("-")[0],
        load_before=round(load, 2),
        outcomes=tuple(outcomes),
    )
    table = markdown(outcomes)
    sys.stdout.write(table)
    _say(f"{len(outcomes)} scenarios in {time.monotonic() - started:.0f} s")
    if options.json:
        text = msgspec.json.format(msgspec.json.encode(record), indent=2)
        options.json.write_bytes(text + b"\n")
    if options.docs:
        _write_docs(options.docs, record, table)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="names of scenarios; without: all")
    parser.add_argument("--quick", action="store_true", help="each as seldom as makes sense")
    parser.add_argument("--json", type=Path, help="write the run to this file")
    parser.add_argument("--docs", type=Path, help="rewrite the table of this page")
    return parser.parse_args()


def _run(bench: Bench, scenario: Scenario, *, quick: bool) -> Outcome:
    """Return what came of *scenario*; the bench is mended afterwards."""
    _say(f"{scenario.title} ...")
    bench.notes.clear()
    started = time.monotonic()
    figures, error = [], ""
    try:
        figures = scenario.measure(bench, _times(scenario, quick=quick))
    except (ChitaError, OSError, LookupError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    try:
        bench.settle()
    except ChitaError as problem:
        bench.notes.append(f"after it, {problem}")
    outcome = Outcome(
        name=scenario.name,
        title=scenario.title,
        figures=tuple(figures),
        notes=tuple(bench.notes),
        error=error,
        seconds=round(time.monotonic() - started, 1),
    )
    _tell(outcome)
    return outcome


def _times(scenario: Scenario | LoneScenario, *, quick: bool) -> int:
    """Return how often it is done; one that is asked for by name is done even if in a hurry."""
    return max(1, scenario.quick_times) if quick else scenario.times


def _run_alone(scenario: LoneScenario, *, quick: bool) -> Outcome:
    """Return what came of a scenario that has a lab of its own."""
    _say(f"{scenario.title} ...")
    started = time.monotonic()
    figures, error = [], ""
    try:
        figures = scenario.measure(_times(scenario, quick=quick))
    except (ChitaError, OSError, LookupError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    outcome = Outcome(
        name=scenario.name,
        title=scenario.title,
        figures=tuple(figures),
        error=error,
        seconds=round(time.monotonic() - started, 1),
    )
    _tell(outcome)
    return outcome


def _tell(outcome: Outcome) -> None:
    for figure in outcome.figures:
        values = " ".join(f"{value:.3g}" for value in figure.values)
        mark = f"  ({figure.mark}: {'met' if figure.is_kept else 'MISSED'})"
        _say(
            f"    {figure.what}: {values} {figure.unit}{mark if str(figure.mark) != 'none' else ''}"
        )
    for note in (*outcome.notes, *filter(None, [outcome.error])):
        _say(f"    {note}")
    _say(f"    {outcome.seconds:g} s")


def _write_docs(page: Path, record: Record, table: str) -> None:
    """Replace what is between the page's markers."""
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    where = (
        f"Measured {record.date[:10]} on {record.cpus} cores, Linux {record.kernel}, "
        f"load {record.load_before:g} before the run.\n\n"
    )
    page.write_text(f"{head}{BEGIN}\n{where}{table}{END}{tail}", encoding="utf-8")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
