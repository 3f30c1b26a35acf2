"""Rules, policies, tiers and profiles: what a packet to a pod gets."""

from __future__ import annotations

import msgspec
import pytest

from chita.dataplane.nftables.objects import Drop, Limit
from chita.dataplane.nftables.ruleset import RulesetBuilder, policy_ruleset
from chita.dataplane.nftables.trace import Outcome, Packet, Told, Trace, trace
from chita.desired.policy import (
    AddressSet,
    Match,
    PolicyRules,
    PolicyState,
    PortMember,
    Rule,
)
from chita.model.net import ICMP, ICMPV6, SCTP, TCP, UDP, Address, Cidr, PortRange
from chita.model.policy import Action, HttpMatch, IcmpMatch
from chita.model.settings import Period, Rate
from nftables_states import ALLOW_ALL, CLIENTS, OTHER, POD, POD6, STATES, WEB, pod, situation, tier

ALLOW, DENY, PASS, LOG = Action.ALLOW, Action.DENY, Action.PASS, Action.LOG
STRANGER = Address.parse("198.51.100.7")
OFFICE_PC = Address.parse("203.0.113.7")
STRANGER6 = Address.parse("2001:db8::7")
NET, NET6 = Cidr.parse("198.51.100.0/24"), Cidr.parse("2001:db8::/32")
EVERYTHING = Cidr.parse("0.0.0.0/0")
EIGHTY, RANGE = PortRange(80, 80), PortRange(8000, 8100)


def to_pod(
    source: Address = STRANGER,
    protocol: int = TCP,
    port: int = 80,
    *,
    source_port: int = 40000,
    icmp: tuple[int, int] = (0, 0),
) -> Packet:
    """Return a first packet to the pod from outside."""
    return Packet(
        source=source,
        destination=POD if source.family == 4 else POD6,
        protocol=protocol,
        source_port=source_port,
        destination_port=port,
        icmp_type=icmp[0],
        icmp_code=icmp[1],
        iif="eth0",
        oif="cali1",
    )


def under(rule: Rule) -> PolicyState:
    """Return the state in which the pod has one policy with *rule*."""
    policies = {WEB: PolicyRules(ingress=(rule,))}
    return situation(pod(tier("default", WEB)), policies, clients=CLIENTS, none=AddressSet())


def walk(state: PolicyState, packet: Packet) -> Trace:
    return trace(policy_ruleset(state), packet)


YES, NO = Outcome.ACCEPT, Outcome.DROP


@pytest.mark.parametrize(
    ("fields", "packet", "expected"),
    [
        pytest.param({}, to_pod(), YES, id="everything"),
        pytest.param({}, to_pod(STRANGER6), YES, id="everything-in-v6"),
        pytest.param({"family": 4}, to_pod(), YES, id="family"),
        pytest.param({"family": 4}, to_pod(STRANGER6), NO, id="other-family"),
        pytest.param({"protocol": TCP}, to_pod(), YES, id="protocol"),
        pytest.param({"protocol": TCP}, to_pod(protocol=UDP), NO, id="other-protocol"),
        pytest.param({"not_protocol": TCP}, to_pod(), NO, id="not-protocol"),
        pytest.param({"not_protocol": TCP}, to_pod(protocol=UDP), YES, id="not-other-protocol"),
        pytest.param({"protocol": ICMP, "icmp": IcmpMatch(8)},
                     to_pod(protocol=ICMP, icmp=(8, 0)), YES, id="icmp-type"),
        pytest.param({"protocol": ICMP, "icmp": IcmpMatch(8)},
                     to_pod(protocol=ICMP, icmp=(13, 0)), NO, id="other-icmp-type"),
        pytest.param({"protocol": ICMP, "icmp": IcmpMatch(3, 4)},
                     to_pod(protocol=ICMP, icmp=(3, 4)), YES, id="icmp-code"),
        pytest.param({"protocol": ICMP, "icmp": IcmpMatch(3, 4)},
                     to_pod(protocol=ICMP, icmp=(3, 1)), NO, id="other-icmp-code"),
        pytest.param({"protocol": ICMP, "not_icmp": IcmpMatch(3, 4)},
                     to_pod(protocol=ICMP, icmp=(3, 1)), YES, id="not-icmp-code"),
        pytest.param({"protocol": ICMP, "not_icmp": IcmpMatch(3, 4)},
                     to_pod(protocol=ICMP, icmp=(3, 4)), NO, id="not-that-icmp-code"),
        pytest.param({"protocol": ICMPV6, "icmp": IcmpMatch(128)},
                     to_pod(STRANGER6, ICMPV6, icmp=(128, 0)), YES, id="icmpv6-type"),
        pytest.param({"protocol": ICMPV6, "icmp": IcmpMatch(128)},
                     to_pod(protocol=ICMP, icmp=(128, 0)), NO, id="icmpv6-is-v6-only"),
        pytest.param({"source": Match(nets=(NET,))}, to_pod(), YES, id="net"),
        pytest.param({"source": Match(nets=(NET,))}, to_pod(OTHER), NO, id="other-net"),
        pytest.param({"source": Match(nets=(NET,))}, to_pod(STRANGER6), NO, id="net-is-v4"),
        pytest.param({"source": Match(nets=(EVERYTHING,))}, to_pod(), YES, id="whole-family"),
        pytest.param({"source": Match(nets=(EVERYTHING,))}, to_pod(STRANGER6), NO,
                     id="whole-other-family"),
        pytest.param({"source": Match(nets=(NET, Cidr.parse("10.0.0.0/8")))}, to_pod(OTHER), YES,
                     id="one-of-two-nets"),
        pytest.param({"source": Match(nets=(NET, Cidr.parse("198.51.100.0/28")))}, to_pod(), YES,
                     id="net-in-net"),
        pytest.param({"source": Match(not_nets=(NET,))}, to_pod(), NO, id="not-net"),
        pytest.param({"source": Match(not_nets=(NET,))}, to_pod(OTHER), YES, id="not-other-net"),
        pytest.param({"source": Match(not_nets=(NET,))}, to_pod(STRANGER6), NO,
                     id="unwanted-net-is-v4-too"),
        pytest.param({"source": Match(not_nets=(EVERYTHING,))}, to_pod(), NO, id="not-anything"),
        pytest.param({"source": Match(sets=("clients",))}, to_pod(OTHER), YES, id="address-in-set"),
        pytest.param({"source": Match(sets=("clients",))}, to_pod(OFFICE_PC), YES, id="net-in-set"),
        pytest.param({"source": Match(sets=("clients",))}, to_pod(), NO, id="not-in-set"),
        pytest.param({"source": Match(sets=("clients",))}, to_pod(STRANGER6), NO,
                     id="nothing-of-the-family-in-set"),
        pytest.param({"source": Match(sets=("none",))}, to_pod(), NO, id="empty-set"),
        pytest.param({"source": Match(sets=("gone",))}, to_pod(), NO, id="missing-set"),
        pytest.param({"source": Match(sets=("clients", "none"))}, to_pod(OTHER), NO,
                     id="in-each-set"),
        pytest.param({"source": Match(not_sets=("clients",))}, to_pod(OTHER), NO, id="not-set"),
        pytest.param({"source": Match(not_sets=("clients",))}, to_pod(OFFICE_PC), NO,
                     id="not-the-sets-nets"),
        pytest.param({"source": Match(not_sets=("clients",))}, to_pod(), YES, id="out-of-set"),
        pytest.param({"source": Match(not_sets=("gone",))}, to_pod(), YES, id="not-missing-set"),
        pytest.param({"source": Match(nets=(NET,), sets=("clients",))}, to_pod(OTHER), NO,
                     id="net-and-set"),
        pytest.param({"protocol": TCP, "destination": Match(ports=(EIGHTY, RANGE))}, to_pod(), YES,
                     id="port"),
        pytest.param({"protocol": TCP, "destination": Match(ports=(EIGHTY, RANGE))},
                     to_pod(port=8042), YES, id="port-range"),
        pytest.param({"protocol": TCP, "destination": Match(ports=(EIGHTY, RANGE))},
                     to_pod(port=81), NO, id="other-port"),
        pytest.param({"protocol": TCP, "source": Match(ports=(RANGE,))},
                     to_pod(source_port=8042), YES, id="source-port"),
        pytest.param({"destination": Match(ports=(EIGHTY,))}, to_pod(protocol=SCTP), YES,
                     id="port-of-any-protocol"),
        pytest.param({"destination": Match(not_ports=(EIGHTY,))}, to_pod(), NO, id="not-port"),
        pytest.param({"destination": Match(not_ports=(EIGHTY,))}, to_pod(port=81), YES,
                     id="not-other-port"),
        pytest.param({"destination": Match(not_ports=(PortRange(1, 65535),))},
                     to_pod(protocol=ICMP, icmp=(8, 0)), YES, id="no-ports-at-all"),
        pytest.param({"destination": Match(port_sets=("web/tcp/http",))}, to_pod(port=8080), YES,
                     id="named-port"),
        pytest.param({"destination": Match(port_sets=("web/tcp/http",))},
                     to_pod(protocol=UDP, port=8080), NO, id="named-port-of-other-protocol"),
        pytest.param({"destination": Match(ports=(EIGHTY,), port_sets=("web/tcp/http",))},
                     to_pod(), YES, id="number-or-name"),
        pytest.param({"destination": Match(ports=(EIGHTY,), port_sets=("web/tcp/http",))},
                     to_pod(port=8080), YES, id="name-or-number"),
        pytest.param({"destination": Match(ports=(EIGHTY,), port_sets=("web/tcp/http",))},
                     to_pod(port=81), NO, id="neither-name-nor-number"),
        pytest.param({"destination": Match(port_sets=("gone",))}, to_pod(), NO,
                     id="missing-port-set"),
        pytest.param({"destination": Match(not_port_sets=("web/tcp/http",))}, to_pod(port=8080), NO,
                     id="not-named-port"),
        pytest.param({"destination": Match(not_port_sets=("web/tcp/http", "gone"))}, to_pod(), YES,
                     id="not-other-named-port"),
        pytest.param({"http": HttpMatch(methods=("GET",))}, to_pod(), NO, id="http"),
        pytest.param(
            {"protocol": TCP, "source": Match(sets=("clients",)),
             "destination": Match(ports=(EIGHTY,), port_sets=("web/tcp/http",))},
            to_pod(OFFICE_PC, port=8080), YES, id="block-with-two-groups"),
        pytest.param(
            {"protocol": TCP, "source": Match(sets=("clients",)),
             "destination": Match(ports=(EIGHTY,), port_sets=("web/tcp/http",))},
            to_pod(OFFICE_PC, port=81), NO, id="block-with-one-group-failing"),
    ],
)  # fmt: skip
def test_a_rule_allows_what_it_matches(
    fields: dict[str, object], packet: Packet, expected: Outcome
) -> None:
    rule = Rule(action=ALLOW, **fields)  # type: ignore[arg-type] # a table of any fields

    assert expected is walk(under(rule), packet).outcome


@pytest.mark.parametrize(
    ("name", "packet", "expected"),
    [
        pytest.param("no-pods", to_pod(), NO, id="unknown-pod"),
        pytest.param("profile-only", to_pod(), YES, id="profile-allows"),
        pytest.param("missing-profile", to_pod(), NO, id="missing-profile-denies"),
        pytest.param("log-then-allow", to_pod(), YES, id="allowed-after-log"),
        pytest.param("log-then-allow", to_pod(port=81), NO, id="end-of-tier"),
        pytest.param("match-block", to_pod(OTHER, port=443), YES, id="client-by-number"),
        pytest.param("match-block", to_pod(OTHER, port=8080), YES, id="client-by-name"),
        pytest.param("match-block", to_pod(port=443), NO, id="no-client"),
        pytest.param("pass-between-tiers", to_pod(OTHER), YES, id="passed-to-the-next-tier"),
        pytest.param("pass-between-tiers", to_pod(OFFICE_PC), YES, id="passed-by-network"),
        pytest.param("pass-between-tiers", to_pod(OTHER, UDP), NO, id="passed-and-denied-there"),
        pytest.param("pass-between-tiers", to_pod(), NO, id="not-passed"),
    ],
)
def test_situations(name: str, packet: Packet, expected: Outcome) -> None:
    assert expected is walk(STATES[name], packet).outcome


def test_log_is_written_and_does_not_decide() -> None:
    found = walk(STATES["log-then-allow"], to_pod())

    assert found.logs == ("calico-packet: ",)


def test_a_log_rule_says_whose_it_is_as_often_as_the_setting_allows() -> None:
    """logPrefix, logActionRateLimit and logActionRateLimitBurst of FelixConfiguration."""
    found = walk(STATES["log-limits"], to_pod())
    limits = [each for hit in found.hits for each in hit.rule.statements if type(each) is Limit]

    assert found.logs == ("default np web (shop/web) 100%: ",)
    assert limits == [Limit(Rate(7, Period.HOUR), 9)]


def test_a_profiles_log_rule_names_the_profile() -> None:
    state = msgspec.structs.replace(
        situation(pod(), {}),
        profiles={"kns.shop": PolicyRules(ingress=(Rule(action=LOG), Rule(action=ALLOW)))},
        log_prefix="%k/%p",
    )

    assert walk(state, to_pod()).logs == ("pro/kns.shop: ",)


def test_a_drop_is_counted_under_the_name_of_what_dropped_it() -> None:
    """The last rule hit says why, also on the running node: it counts."""
    last = walk(STATES["log-then-allow"], to_pod(port=81)).hits[-1].rule

    assert last.comment == "end of tier default ingress Deny"
    assert last.statements[-1] == Drop()


def test_a_deny_rule_is_named_with_its_index() -> None:
    last = walk(STATES["pass-between-tiers"], to_pod()).hits[-1].rule

    assert last.comment == "GlobalNetworkPolicy//security ingress 1"


TRIAL = "StagedNetworkPolicy/shop/trial"


@pytest.mark.parametrize(
    ("policies", "end", "expected"),
    [
        pytest.param({}, DENY, YES, id="no-tier"),
        pytest.param({TRIAL: Rule(action=DENY)}, PASS, YES, id="staged-only"),
        pytest.param({WEB: Rule(action=LOG)}, DENY, NO, id="log-only"),
        pytest.param({WEB: Rule(action=LOG)}, PASS, YES, id="log-only-pass"),
        pytest.param({WEB: Rule(action=PASS)}, DENY, YES, id="pass-only"),
        pytest.param({WEB: Rule(action=ALLOW, protocol=UDP)}, DENY, NO, id="allow-miss"),
        pytest.param({WEB: Rule(action=ALLOW, protocol=UDP)}, PASS, YES, id="allow-miss-pass"),
        pytest.param({TRIAL: Rule(action=DENY), WEB: Rule(action=ALLOW)}, DENY, YES,
                     id="staged-deny-before-allow"),
        pytest.param({TRIAL: Rule(action=ALLOW), WEB: Rule(action=DENY)}, DENY, NO,
                     id="staged-allow-before-deny"),
    ],
)  # fmt: skip
def test_the_end_of_a_tier(policies: dict[str, Rule], end: Action, expected: Outcome) -> None:
    """calico v3, checklist 1: what applies decides whether the tier drops (2.6, 2.12)."""
    tiers = (tier("default", *policies, end=end),) if policies else ()
    rules = {key: PolicyRules(ingress=(rule,)) for key, rule in policies.items()}

    assert expected is walk(situation(pod(*tiers), rules), to_pod()).outcome


def test_a_missing_policy_denies() -> None:
    assert walk(situation(pod(tier("default", WEB, end=PASS)), {}), to_pod()).outcome is NO


def test_an_endpoint_without_profile_denies() -> None:
    assert walk(situation(pod(profiles=()), {}), to_pod()).outcome is NO


def test_equal_endpoints_share_their_chains() -> None:
    """A pod more of the same class is elements, not chains."""
    state = STATES["match-block"]
    twin = msgspec.structs.replace(
        state.endpoints["cali1"], interface="cali2", endpoint="shop/other", addresses=(OTHER,)
    )
    more = msgspec.structs.replace(state, endpoints=state.endpoints | {"cali2": twin})

    assert policy_ruleset(state).chains == policy_ruleset(more).chains


@pytest.mark.parametrize("name", STATES)
def test_a_builder_remembers_nothing_that_matters(name: str) -> None:
    builder = RulesetBuilder()
    for state in STATES.values():
        builder.build(state)

    assert builder.build(STATES[name]) == policy_ruleset(STATES[name])


def test_a_set_that_gets_its_first_network_is_looked_up_there() -> None:
    """The builder sees that a rule reads other sets than before."""
    rule = Rule(action=ALLOW, source=Match(sets=("clients",)))
    builder = RulesetBuilder()
    before = under(rule)
    builder.build(before)
    grown = AddressSet(addresses=CLIENTS.addresses, networks=frozenset({NET}))
    after = msgspec.structs.replace(before, address_sets={"clients": grown})

    assert builder.build(after) == policy_ruleset(after)


def test_a_member_more_is_an_element_more() -> None:
    rule = Rule(action=ALLOW, destination=Match(port_sets=("web/tcp/http",)))
    state = under(rule)
    members = state.port_sets["web/tcp/http"] | {PortMember(OTHER, TCP, 8080)}
    more = msgspec.structs.replace(state, port_sets={"web/tcp/http": members})

    assert policy_ruleset(state).chains == policy_ruleset(more).chains
    assert ALLOW_ALL == more.profiles["kns.shop"]


def test_verdicts_are_told_to_the_flow_log() -> None:
    """Prefixes say action, owner, direction, rule and name (calico.md 3.5)."""
    state = STATES["flow-logs"]
    told = {
        "passed, then allowed": walk(state, to_pod(OTHER)).told,
        "denied by a rule": walk(state, to_pod(OFFICE_PC, UDP)).told,
        "denied at the end": walk(state, to_pod(protocol=UDP)).told,
    }
    first = "PPI0|GlobalNetworkPolicy//security"

    assert told == {
        "passed, then allowed": (Told(1, first), Told(1, "API0|NetworkPolicy/shop/web")),
        # The first rule's set holds the office too.
        "denied by a rule": (Told(1, first), Told(1, "DPI|default")),
        "denied at the end": (Told(1, "PPI|security"), Told(1, "DPI|default")),
    }
    assert walk(STATES["pass-between-tiers"], to_pod(OTHER)).told == ()
