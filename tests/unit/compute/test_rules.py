"""Rules resolved to names of sets."""

from __future__ import annotations

from typing import Literal

import pytest

from build import DENY, cidrs, rule, side
from chita.compute.rules import (
    ResolvedRules,
    Selected,
    SelectedPorts,
    ServiceAddresses,
    ServicePorts,
    SetSource,
    resolve_rules,
)
from chita.desired.policy import Match
from chita.model import policy as model
from chita.model.net import TCP, UDP, PortRange
from chita.model.policy import EntityRule, ServiceRef
from chita.model.selector import parse_selector, uid

A = parse_selector("a == 'x'")
NOT_B = parse_selector("a == 'x' && !has(b)")
EVERYTHING = parse_selector("")


def resolve(one: model.Rule) -> ResolvedRules:
    return resolve_rules([one], [])


HTTP = "http"
WEB = ServiceRef("ns", "web")


@pytest.mark.parametrize(
    ("entity", "protocol", "expected", "sources"),
    [
        pytest.param(EntityRule(), TCP, Match(), [], id="any"),
        pytest.param(side("a == 'x'"), TCP, Match(sets=(uid(A),)), [Selected(A)], id="selector"),
        pytest.param(
            side("a == 'x'", not_selector="has(b)"),
            TCP,
            Match(sets=(uid(NOT_B),)),
            [Selected(NOT_B)],
            id="negated-selector-joins-the-positive",
        ),
        pytest.param(
            side(not_selector="a == 'x'"),
            TCP,
            Match(not_sets=(uid(A),)),
            [Selected(A)],
            id="negated-selector-alone",
        ),
        pytest.param(
            side(ports="http 80 8000:8100"),
            TCP,
            Match(
                ports=(PortRange(80, 80), PortRange(8000, 8100)),
                port_sets=(f"{uid(EVERYTHING)}/6/http",),
            ),
            [SelectedPorts(EVERYTHING, TCP, HTTP)],
            id="named-and-numeric-ports-are-alternatives",
        ),
        pytest.param(
            side("a == 'x'", ports="http"),
            None,
            Match(port_sets=(f"{uid(A)}/any/http",)),
            [SelectedPorts(A, None, HTTP)],
            id="named-ports-alone-hold-the-selector",
        ),
        pytest.param(
            side("a == 'x'", ports="http 80"),
            UDP,
            Match(sets=(uid(A),), ports=(PortRange(80, 80),), port_sets=(f"{uid(A)}/17/http",)),
            [SelectedPorts(A, UDP, HTTP), Selected(A)],
            id="numeric-ports-need-the-selector",
        ),
        pytest.param(
            side("a == 'x'", not_ports="http 80"),
            TCP,
            Match(
                sets=(uid(A),),
                not_ports=(PortRange(80, 80),),
                not_port_sets=(f"{uid(A)}/6/http",),
            ),
            [Selected(A), SelectedPorts(A, TCP, HTTP)],
            id="negated-named-ports-are-narrowed-by-the-positive-selector",
        ),
        pytest.param(
            side(service="ns/web"),
            None,
            Match(port_sets=("svc:ns/web",)),
            [ServicePorts(WEB)],
            id="service-as-destination",
        ),
    ],
)
def test_destination(
    entity: EntityRule, protocol: int | None, expected: Match, sources: list[SetSource]
) -> None:
    """v3 2.5, and its edge cases 3 and 5."""
    resolved = resolve(rule(protocol=protocol, destination=entity))
    (only,) = resolved.rules.ingress

    assert expected == only.destination
    assert {source.name: source for source in sources} == resolved.sets


def test_service_as_source_is_its_addresses() -> None:
    """v3 trap 9: source = addresses only."""
    resolved = resolve(rule(source=side(service="ns/web")))

    assert resolved.rules.ingress[0].source == Match(sets=("svc-ip:ns/web",))
    assert resolved.sets == {"svc-ip:ns/web": ServiceAddresses(WEB)}


@pytest.mark.parametrize(
    ("one", "family"),
    [
        pytest.param(rule(), None, id="both"),
        pytest.param(rule(family=6), 6, id="as-written"),
        pytest.param(rule(source=side(nets="10.0.0.0/8")), 4, id="source-nets"),
        pytest.param(rule(destination=side(nets="2001:db8::/32")), 6, id="destination-nets"),
        pytest.param(rule(DENY, source=side(nets="10.0.0.0/8")), 4, id="deny-too"),
        pytest.param(rule(source=side(not_nets="10.0.0.0/8")), 4, id="negated-nets"),
        pytest.param(
            rule(source=EntityRule(nets=cidrs("10.0.0.0/8 2001:db8::/32"))), None, id="mixed-nets"
        ),
    ],
)
def test_family(one: model.Rule, family: Literal[4, 6] | None) -> None:
    """A rule with networks of one family only does not exist for the other (v3 2.5, case 6)."""
    assert resolve(one).rules.ingress[0].family == family


def test_contradicting_families_match_nothing() -> None:
    """Such a rule keeps its place and must be in a set that is empty."""
    resolved = resolve(rule(family=4, source=side(nets="2001:db8::/32")))
    nothing = parse_selector("!all()")

    assert resolved.rules.ingress[0].source.sets == (uid(nothing),)
    assert resolved.sets == {uid(nothing): Selected(nothing)}
