"""All scenarios, in the order they run: what changes least comes first."""

from __future__ import annotations

from chita.lab.scenarios import (
    blocked,
    gateways,
    joining,
    keys,
    narrow,
    pairs,
    places,
    processes,
    records,
    sharing,
    translation,
)
from chita.lab.scenarios.scenario import LoneScenario, Scenario

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
    Scenario(name="sharing", title="Gateways share flows", measure=sharing.shared, times=2),
    Scenario(
        name="engine-killed",
        title="A node's engine killed",
        measure=processes.engine_killed,
        times=3,
    ),
    Scenario(name="agent-killed", title="An agent killed", measure=processes.agent_killed, times=2),
    Scenario(
        name="server-killed", title="The server killed", measure=processes.server_killed, times=2
    ),
    Scenario(
        name="nat-random", title="Both NATs turn random", measure=translation.both_random, times=2
    ),
    Scenario(
        name="nat-restarted",
        title="NAT restarted with a new address",
        measure=translation.restarted,
        times=4,
    ),
    Scenario(
        name="nat-idle", title="Idle behind a 30 s NAT", measure=translation.idle, quick_times=0
    ),
    Scenario(name="nat-idle-10", title="Idle behind a 10 s NAT", measure=translation.idle_briefly),
    Scenario(name="narrowed", title="WAN MTU falls to 1400", measure=narrow.narrowed, times=3),
    Scenario(name="label", title="Wrong location label", measure=places.wrong_label),
    Scenario(name="clock", title="Clock set back", measure=places.clock_back),
    Scenario(name="join", title="A node joins", measure=joining.joined, times=8, quick_times=2),
    Scenario(name="udp-blocked", title="UDP blocked", measure=blocked.udp_blocked, times=2),
    Scenario(name="keys", title="Keys rotated", measure=keys.rotated, times=2),
)

LONE_SCENARIOS = (
    LoneScenario(
        name="records", title="A thousand node records", measure=records.thousand, times=3
    ),
)
