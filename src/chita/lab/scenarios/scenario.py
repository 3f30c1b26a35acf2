"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chita.lab.scenarios.bench import Bench
from chita.lab.scenarios.figures import Figure

OnBench = Callable[[Bench, int], list[Figure]]
"""Does the scenario so many times; the bench is as usual before, and is mended after."""

Alone = Callable[[int], list[Figure]]
"""Does the scenario so many times, in a lab of its own, while no other is up."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must go well, with how often it is tried."""

    name: str
    title: str
    measure: OnBench
    times: int = 1
    quick_times: int = 1
    """0: left out when time is short."""


class LoneScenario(msgspec.Struct, frozen=True, kw_only=True):
    """One that needs another lab than the default world's."""

    name: str
    title: str
    measure: Alone
    times: int = 1
    quick_times: int = 1
