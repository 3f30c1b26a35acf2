"""When a figure is good enough, and the table that says so."""

from __future__ import annotations

import pytest

from chita.lab.scenarios.catalogue import LONE_SCENARIOS, SCENARIOS
from chita.lab.scenarios.figures import Figure, Mark, Outcome, markdown


def figure(*values: float, **mark: float) -> Figure:
    return Figure(what="gap", unit="s", values=values, mark=Mark(**mark))


@pytest.mark.parametrize(
    ("measured", "is_kept"),
    [
        pytest.param(figure(0.8, 0.9, 1.9, median_at_most=1, worst_at_most=2), True, id="both"),
        pytest.param(figure(0.8, 0.9, 2.1, median_at_most=1, worst_at_most=2), False, id="worst"),
        pytest.param(figure(1.1, 1.2, 1.3, median_at_most=1, worst_at_most=2), False, id="median"),
        pytest.param(figure(100, 99.9, worst_at_least=100), False, id="too-little"),
        pytest.param(figure(41, 59, worst_at_least=40, worst_at_most=60), True, id="between"),
        pytest.param(figure(0, worst_at_most=0), True, id="none-lost"),
        pytest.param(figure(worst_at_most=2), False, id="not-measured"),
        pytest.param(figure(7), True, id="told-for-its-own-sake"),
    ],
)
def test_mark(measured: Figure, *, is_kept: bool) -> None:
    assert is_kept == measured.is_kept


def test_worst_is_the_least_where_more_is_better() -> None:
    assert 99 == figure(100, 99, worst_at_least=100).worst
    assert 3 == figure(1, 3, worst_at_most=5).worst


def test_what_could_not_be_measured_fails() -> None:
    """An error fails a scenario whatever its figures."""
    outcome = Outcome(name="x", title="X", figures=(figure(1),), error="no | lab")
    lines = markdown([outcome]).splitlines()

    assert not outcome.passed
    assert "| X | not measured: no / lab | | | | | **no** |" == lines[2]
    assert "| X | gap, s | 1 | 1 | 1 |  |  |" == lines[3]


def test_names_are_unique() -> None:
    names = [scenario.name for scenario in (*SCENARIOS, *LONE_SCENARIOS)]

    assert len(set(names)) == len(names)
