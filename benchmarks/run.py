"""Runs every benchmark, writes JSON, holds the figures against budgets.json.

    sudo make bench                       all of them
    sudo .venv/bin/python benchmarks/run.py lab cni

Each script prints one JSON object; it goes to ``benchmarks/results/<script>.json`` with the date
and the machine. The table of docs/reference/figures.md is rewritten between its markers by
``--docs``. Exits 1 when a figure misses its budget.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FIGURES = HERE.parent / "docs" / "reference" / "figures.md"
ARGUMENTS = {"cni": ["--agent"]}
"""With what a script measures what its user has: CNI with the whole agent and API server."""
KEPT = {True: "yes", False: "**no**"}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scripts", nargs="*", help="names of scripts; without: all")
    parser.add_argument("--docs", action="store_true", help="rewrite the table in the docs")
    options = parser.parse_args()
    budgets = json.loads((HERE / "budgets.json").read_text())
    names = options.scripts or list(dict.fromkeys(budget["script"] for budget in budgets))
    RESULTS.mkdir(exist_ok=True)
    results = {name: run(name) for name in names}
    rows = [
        judge(budget, results[budget["script"]])
        for budget in budgets
        if budget["script"] in results
    ]
    table = markdown(rows)
    print(table)
    if options.docs:
        text = FIGURES.read_text()
        head, rest = text.split(BEGIN)
        tail = rest.split(END)[1]
        FIGURES.write_text(f"{head}{BEGIN}\n{table}{END}{tail}")
    return 0 if all(row["kept"] for row in rows) else 1


def run(name: str) -> dict[str, Any]:
    """Return what a script measured; it is also written with where and when."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py"), *ARGUMENTS.get(name, [])],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not done.stdout.strip():
        raise SystemExit(f"benchmarks/{name}.py printed nothing (exit status {done.returncode})")
    figures: dict[str, Any] = json.loads(done.stdout)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "figures": figures,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    return figures


def judge(budget: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """Return a budget with the figure measured for it and whether it was kept."""
    value: Any = figures
    for part in budget["path"].split("."):
        value = value[part]
    if isinstance(value, list):
        value = len(value)
    at_most, at_least = budget.get("at_most"), budget.get("at_least")
    kept = value <= at_most if at_most is not None else value >= at_least
    limit = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
    return {**budget, "value": value, "limit": limit, "kept": kept}


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| figure | measured | budget | kept |", "|---|---|---|---|"]
    lines += [
        f"| {row['figure']} | {row['value']:g} | {row['limit']} | {KEPT[row['kept']]} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
