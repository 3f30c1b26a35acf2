"""The traps of calico.md section 8 that concern the ruleset, each by its number.

What they mean for the decision stands in tests/unit/compute/test_traps.py; here it is the rendered
ruleset that is asked.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from build import (
    ALLOW,
    DENY,
    EGRESS,
    INGRESS,
    LOG,
    PASS,
    cluster,
    endpoint_slice,
    namespace,
    network_set,
    node,
    policy,
    port,
    rule,
    side,
    tier,
    workload,
)
from chita.compute.policy import policy_state
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.diff import create, diff
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.host_endpoints import ASK_TRANSLATED
from chita.dataplane.nftables.objects import MarkIs, Ruleset, SetMark
from chita.dataplane.nftables.parts import TablePart
from chita.dataplane.nftables.policy import ALLOWED_EARLY
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.trace import Outcome as Decision
from chita.dataplane.nftables.trace import Packet, Path, trace
from chita.dataplane.nftables.transaction import (
    AddChain,
    AddElements,
    AddMappings,
    AddRules,
    AddSet,
    DeleteChain,
    DeleteMappings,
    DeleteSet,
)
from chita.desired.policy import PolicyState
from chita.errors import KernelError
from chita.model.cluster import Entity
from chita.model.net import ICMPV6, TCP, UDP, Address, Cidr
from chita.model.policy import Direction, Policy, StagedAction
from nftables_states import STATES

WEB, DB, FAR, STRANGER = "10.244.0.1", "10.244.0.2", "10.244.1.1", "203.0.113.7"
WEB6, STRANGER6 = "fd00:10:244::1", "2001:db8::7"
BASE: tuple[Entity, ...] = (
    namespace("a", team="blue"),
    namespace("b", team="red"),
    workload("a/web", f"{WEB} {WEB6}", labels={"app": "web"}, ports=[port("http", 80)]),
    workload("a/db", DB, labels={"app": "db"}),
    workload("b/far", FAR, labels={"app": "far"}, node="node-2"),
    node("node-1", "10.0.0.1"),
    network_set("/outside", "203.0.113.0/24", kind="outside"),
)


def state(*more: Entity) -> PolicyState:
    """Return what node-1 enforces."""
    return policy_state(cluster(*BASE, *more), "node-1")


def passes(
    held: PolicyState,
    source: str,
    destination: str,
    *,
    number: int = 80,
    protocol: int = TCP,
    path: Path = Path.FORWARD,
) -> bool:
    """Return whether the ruleset lets a first packet through."""
    of = {
        address: endpoint.interface
        for endpoint in held.endpoints.values()
        for address in endpoint.addresses
    }
    first, second = Address.parse(source), Address.parse(destination)
    packet = Packet(
        source=first,
        destination=second,
        protocol=protocol,
        source_port=40_000,
        destination_port=number,
        iif=of.get(first, "eth0"),
        oif=of.get(second, "eth0"),
    )
    return trace(policy_ruleset(held), packet, path).outcome is Decision.ACCEPT


WEB_ONLY = "app == 'web'"
MISS = rule(ALLOW, protocol=UDP)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("end", [DENY, PASS])
@pytest.mark.parametrize(
    ("kind", "denied_at_end"),
    [
        pytest.param("none", False, id="no-policy"),
        pytest.param("staged", False, id="staged-only"),
        pytest.param("log", True, id="log-only"),
        pytest.param("pass", False, id="pass"),
        pytest.param("miss", True, id="nothing-matches"),
    ],
)
def test_trap_1_the_end_of_a_tier_needs_an_enforced_policy(
    kind: str, end: object, direction: Direction, *, denied_at_end: bool
) -> None:
    made = {
        "none": [],
        "staged": [drawn("/p", direction, MISS, staged=StagedAction.SET)],
        "log": [drawn("/p", direction, rule(LOG))],
        "pass": [drawn("/p", direction, rule(PASS))],
        "miss": [drawn("/p", direction, MISS)],
    }[kind]
    held = state(tier("security", 1.0, DENY if end is DENY else PASS), *made)
    ends = (STRANGER, WEB) if direction is INGRESS else (WEB, STRANGER)

    assert passes(held, *ends) is not (denied_at_end and end is DENY)


def drawn(
    name: str, direction: Direction, only: object, *, staged: StagedAction | None = None
) -> Policy:
    """Return a policy of tier security for the web pod with one rule in one direction."""
    made = policy(name, WEB_ONLY, tier="security")
    rules = (only,)
    return msgspec.structs.replace(
        made,
        types=frozenset({direction}),
        ingress=rules if direction is INGRESS else (),
        egress=rules if direction is EGRESS else (),
        staged=staged,
    )


def test_trap_2_pass_in_the_last_tier_leads_to_the_profiles() -> None:
    held = state(tier("last", 2e7, DENY), policy("/p", WEB_ONLY, tier="last", ingress=[rule(PASS)]))

    assert passes(held, STRANGER, WEB)


def test_trap_5_namespace_selectors_restrict_only_endpoints() -> None:
    """A rule with networks only has no set; one with a selector looks in one."""
    nets = state(policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side(nets="203.0.113.0/24"))]))
    team = "projectcalico.org/namespace == 'a' && all()"
    own = state(policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side(team))]))

    assert (passes(nets, STRANGER, WEB), passes(nets, DB, WEB)) == (True, False)
    assert (passes(own, DB, WEB), passes(own, FAR, WEB), passes(own, STRANGER, WEB)) == (
        True, False, False,
    )  # fmt: skip


def test_trap_6_not_selector_includes_addresses_that_nobody_has() -> None:
    unwanted = state(
        policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side(not_selector="has(app)"))])
    )
    unlabelled = state(policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side("!has(app)"))]))

    assert passes(unwanted, "192.0.2.9", WEB)
    assert not passes(unwanted, DB, WEB)
    assert not passes(unlabelled, "192.0.2.9", WEB)


def test_trap_7_both_families_meet_the_end_of_the_tier() -> None:
    held = state(policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side(nets="203.0.113.0/24"))]))

    assert passes(held, STRANGER, WEB)
    assert not passes(held, STRANGER6, WEB6)


def test_trap_8_a_named_port_that_nobody_declares_matches_nothing_and_lists_are_or() -> None:
    named = state(
        policy("/p", WEB_ONLY, ingress=[rule(ALLOW, protocol=TCP, destination=side(ports="http"))])
    )
    missing = state(
        policy("/p", WEB_ONLY, ingress=[rule(ALLOW, protocol=TCP, destination=side(ports="gone"))])
    )
    mixed = state(
        policy(
            "/p",
            WEB_ONLY,
            ingress=[rule(ALLOW, protocol=TCP, destination=side(ports="gone 443 http"))],
        )
    )

    assert (passes(named, STRANGER, WEB), passes(named, STRANGER, WEB, number=443)) == (True, False)
    assert not passes(missing, STRANGER, WEB)
    assert passes(mixed, STRANGER, WEB)
    assert passes(mixed, STRANGER, WEB, number=443)


def test_trap_9_services_are_addresses_as_sources_and_ports_too_as_destinations() -> None:
    members = endpoint_slice("b/far", "far-1", (FAR, 80))
    to_it = state(
        policy("/p", WEB_ONLY, egress=[rule(ALLOW, destination=side(service="b/far"))]), members
    )
    from_it = state(
        policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side(service="b/far"))]), members
    )

    assert passes(to_it, WEB, FAR)
    assert not passes(to_it, WEB, FAR, number=81)
    assert passes(from_it, FAR, WEB, number=4711)


def test_trap_11_neighbour_discovery_passes_whatever_policy_says() -> None:
    held = state(policy("/p", "all()", egress=[rule(DENY)]))
    interface = next(iter(held.endpoints))
    for kind in (133, 135, 136):
        solicitation = Packet(
            source=Address.parse("fe80::1"),
            destination=Address.parse("ff02::1"),
            protocol=ICMPV6,
            icmp_type=kind,
            iif=interface,
        )
        assert trace(policy_ruleset(held), solicitation, Path.INPUT).outcome is Decision.ACCEPT


def test_trap_12_a_missing_profile_and_an_unknown_interface_drop() -> None:
    held = state()
    nobody = msgspec.structs.replace(held, profiles={})
    unknown = Packet(
        source=Address.parse(WEB), destination=Address.parse(STRANGER), protocol=TCP,
        iif="cali9999", oif="eth0",
    )  # fmt: skip

    assert passes(held, STRANGER, WEB)
    assert not passes(nobody, STRANGER, WEB)
    assert trace(policy_ruleset(held), unknown).outcome is Decision.DROP


def test_trap_13_a_restart_writes_nothing_and_what_is_foreign_goes() -> None:
    table = FakeTable()
    NftApplier(table).apply(STATES["match-block"])
    restarted = NftApplier(table)

    assert restarted.apply(STATES["match-block"]).outcome is Outcome.ADOPTED
    assert table.commits == 1
    table.touch(policy_ruleset(STATES["profile-only"]), TablePart())
    assert restarted.apply(STATES["match-block"]).outcome is Outcome.REPAIRED
    assert table.ruleset == policy_ruleset(STATES["match-block"])


@pytest.mark.parametrize(("first", "second"), list(pairwise([*STATES, next(iter(STATES))])))
def test_trap_14_what_is_referred_to_comes_first_and_goes_last(first: str, second: str) -> None:
    """Sets, chains, rules, then endpoints' entries; removals the other way round."""
    before, after = policy_ruleset(STATES[first]), policy_ruleset(STATES[second])
    kinds = [type(step) for step in diff(before, after)]
    entries: set[type] = {DeleteMappings, AddMappings}
    order: list[set[type]] = [
        {AddSet},
        {AddElements},
        {AddChain},
        {AddRules},
        entries,
        {DeleteChain},
        {DeleteSet},
    ]
    places = [[at for at, kind in enumerate(kinds) if kind in stage] for stage in order]
    present = [found for found in places if found]

    assert all(max(one) < min(two) for one, two in pairwise(present))
    table = FakeTable()
    table.commit(create(before))
    table.commit(diff(before, after))


def test_trap_18_networks_within_others_are_left_out() -> None:
    inner = network_set("/inner", "203.0.113.128/25 203.0.113.7/32 198.51.100.0/24", kind="outside")
    held = state(
        inner, policy("/p", WEB_ONLY, ingress=[rule(ALLOW, source=side("kind == 'outside'"))])
    )
    nets = [
        item.elements
        for name, item in policy_ruleset(held).sets.items()
        if name.startswith("networks4-")
    ]

    assert nets == [frozenset({Cidr.parse("203.0.113.0/24"), Cidr.parse("198.51.100.0/24")})]
    assert passes(held, STRANGER, WEB)


def test_trap_18_a_refused_change_is_tried_on_what_is_really_there() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    applier.apply(STATES["match-block"])
    table.ruleset = Ruleset()
    with pytest.raises(KernelError):
        applier.apply(STATES["pass-between-tiers"])
    applier.apply(STATES["pass-between-tiers"])

    assert table.ruleset == policy_ruleset(STATES["pass-between-tiers"])


def test_trap_18_no_mark_of_others_is_read_or_written() -> None:
    """Nothing to collide with kube-proxy's, Tailscale's or a cloud agent's marks.

    Host endpoints have two bits of their own (docs/adr/0018), and nothing else has any.
    """
    marked = set()
    for name in STATES:
        for chain in policy_ruleset(STATES[name]).chains.values():
            for each in chain.rules:
                for part in each.statements:
                    if isinstance(part, MarkIs | SetMark):
                        assert STATES[name].host.endpoints, name
                        marked.add(part.bits)
                    else:
                        assert "mark" not in type(part).__name__.lower()
    assert {ALLOWED_EARLY, ASK_TRANSLATED} == marked
    assert not (ALLOWED_EARLY | ASK_TRANSLATED) & (0x00FF0000 | 0x0000C000)
