"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chita.lab.scenarios.bench import Bench
from chita.lab.scenarios.figures import Figure

Measure = Callable[[Bench, int], list[Figure]]
"""Does the scenario so many times; the bench is as usual before, and is mended after."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must go well, with how often it is tried."""

    name: str
    title: str
    measure: Measure
    times: int = 1
    quick_times: int = 1
