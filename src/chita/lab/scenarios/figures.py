"""What scenarios measure, and whether it is good enough: plain values, and their table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """When a figure passes; what is None is not asked for."""

    median_at_most: float | None = None
    worst_at_most: float | None = None
    worst_at_least: float | None = None

    def is_met(self, figure: Figure) -> bool:
        """Whether *figure* is good enough; without a measurement it is not."""
        if not figure.values:
            return False
        return (
            (self.median_at_most is None or figure.median <= self.median_at_most)
            and (self.worst_at_most is None or max(figure.values) <= self.worst_at_most)
            and (self.worst_at_least is None or min(figure.values) >= self.worst_at_least)
        )

    def __str__(self) -> str:
        parts = []
        if self.median_at_most is not None:
            parts.append(f"median at most {self.median_at_most:g}")
        if self.worst_at_most is not None:
            parts.append(f"at most {self.worst_at_most:g}")
        if self.worst_at_least is not None:
            parts.append(f"at least {self.worst_at_least:g}")
        return ", ".join(parts) or "none"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured, once for each repetition."""

    what: str
    unit: str
    values: tuple[float, ...]
    mark: Mark = Mark()
    """Without limits: told for its own sake."""

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        """The least where more is better, else the greatest."""
        more_is_better = self.mark.worst_at_least is not None and self.mark.worst_at_most is None
        return min(self.values) if more_is_better else max(self.values)

    @property
    def is_kept(self) -> bool:
        """Whether it meets its mark."""
        return self.mark.is_met(self)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a scenario."""

    name: str
    title: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know: which pairs failed, what was said."""
    error: str = ""
    """Why it could not be measured; empty: it was."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it was measured and every figure meets its mark."""
        return not self.error and all(figure.is_kept for figure in self.figures)


def markdown(outcomes: Iterable[Outcome]) -> str:
    """Return the table of *outcomes*, a line for each figure."""
    lines = [
        "| scenario | measured | median | worst | times | mark | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        if outcome.error:
            reason = _cell(outcome.error)
            lines.append(f"| {outcome.title} | not measured: {reason} | | | | | **no** |")
        lines += [_line(outcome.title, figure) for figure in outcome.figures]
    notes = [f"* {outcome.title}: {_cell(note)}" for outcome in outcomes for note in outcome.notes]
    return "\n".join(lines) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")


def _line(title: str, figure: Figure) -> str:
    has_mark = str(figure.mark) != "none"
    met = "" if not has_mark else "yes" if figure.is_kept else "**no**"
    median, worst = (_number(figure.median), _number(figure.worst)) if figure.values else ("", "")
    mark = f"{figure.mark} {figure.unit}" if has_mark else ""
    return (
        f"| {title} | {figure.what}, {figure.unit} | {median} | {worst} "
        f"| {len(figure.values)} | {mark} | {met} |"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _cell(text: str, longest: int = 300) -> str:
    line = " ".join(text.split()).replace("|", "/")
    return line if len(line) <= longest else line[: longest - 3] + "..."


def percent(part: int, whole: int) -> float:
    """Return *part* of *whole* in percent; of nothing, nothing is missing."""
    return 100.0 * part / whole if whole else 100.0
