"""All scenarios, in the order they run: what changes least comes first."""

from __future__ import annotations

from chita.lab.scenarios import gateways, pairs
from chita.lab.scenarios.scenario import Scenario

SCENARIOS = (
    Scenario(name="pairs", title="Every pair", measure=pairs.every_pair, times=3),
    Scenario(
        name="equal-ranges", title="Equal private ranges", measure=pairs.equal_ranges, times=3
    ),
    Scenario(
        name="gateway-engine",
        title="Gateway's engine killed",
        measure=gateways.engine_killed,
        times=6,
        quick_times=2,
    ),
    Scenario(
        name="gateway-link",
        title="Gateway's link dropped",
        measure=gateways.link_dropped,
        times=6,
        quick_times=2,
    ),
    Scenario(
        name="gateway-silent",
        title="Gateway forwards nothing",
        measure=gateways.silently_broken,
        times=4,
        quick_times=1,
    ),
    Scenario(
        name="gateway-no-server",
        title="Gateway lost while the server is stopped",
        measure=gateways.killed_without_server,
        times=3,
    ),
    Scenario(name="drain", title="Gateway drained", measure=gateways.drained, times=3),
)
