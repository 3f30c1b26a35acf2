"""Order of tiers and policies, and what ends a tier."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from build import DENY, EGRESS, INGRESS, LOG, PASS, policy, rule, tier
from chita.compute.tiers import applies_to_workloads, place, tier_policies
from chita.desired.policy import TierPolicies
from chita.model.policy import Action, Policy, PolicyKind, StagedAction, Tier

TIERS = {
    each.name: each
    for each in (
        tier("default", 1_000_000),
        tier("early", 1),
        tier("unordered"),
        tier("b-equal", 5),
        tier("a-equal", 5),
        tier("open", 7, PASS),
    )
}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(
            [("default", 1.0), ("early", 9.0)], [("early", 9.0), ("default", 1.0)], id="tier-first"
        ),
        pytest.param(
            [("unordered", 1.0), ("default", None)],
            [("default", None), ("unordered", 1.0)],
            id="tier-without-order-last",
        ),
        pytest.param(
            [("b-equal", 1.0), ("a-equal", 2.0)],
            [("a-equal", 2.0), ("b-equal", 1.0)],
            id="equal-tiers-by-name",
        ),
        pytest.param(
            [("aa-nowhere", 1.0), ("unordered", None)],
            [("unordered", None), ("aa-nowhere", 1.0)],
            id="nonexistent-tier-after-all-others",
        ),
        pytest.param(
            [("early", None), ("early", -1.0), ("early", 0.5)],
            [("early", -1.0), ("early", 0.5), ("early", None)],
            id="policy-without-order-last",
        ),
    ],
)
def test_place(
    keys: list[tuple[str, float | None]], expected: list[tuple[str, float | None]]
) -> None:
    """v3 2.3 ``order`` and ``tier``, 2.6 ``order``: whatever order they come in."""
    for arrival in permutations(keys):
        policies = [policy("/p", tier=name, order=order) for name, order in arrival]
        policies.sort(key=lambda each: place(each, TIERS))

        assert expected == [(each.tier, each.order) for each in policies]


def test_equal_orders_stand_by_name_namespace_kind() -> None:
    """Ties are broken by the string ``name/namespace/kind``, byte by byte (v3 2.3)."""
    kinds = [
        policy("/b", order=1), policy("ns/a", order=1), policy("/a", order=1),
        msgspec.structs.replace(
            policy("ns/a", order=1), kind=PolicyKind.KUBERNETES_NETWORK_POLICY
        ),
        policy("ns/B", order=1),
    ]  # fmt: skip
    kinds.sort(key=lambda each: place(each, TIERS))

    assert [
        "NetworkPolicy/ns/B",
        "GlobalNetworkPolicy//a",
        "KubernetesNetworkPolicy/ns/a",
        "NetworkPolicy/ns/a",
        "GlobalNetworkPolicy//b",
    ] == [each.key for each in kinds]


STAGED = StagedAction.SET


@pytest.mark.parametrize("default_action", [DENY, PASS])
@pytest.mark.parametrize(
    ("policies", "end"),
    [
        pytest.param([], "not entered", id="none"),
        pytest.param([policy("/s", ingress=[rule()], staged=STAGED)], "passes", id="staged"),
        pytest.param([policy("/l", ingress=[rule(LOG)])], "as the tier says", id="log-only"),
        pytest.param([policy("/p", ingress=[rule(PASS)])], "as the tier says", id="pass-only"),
        pytest.param([policy("/a", ingress=[rule()])], "as the tier says", id="allow"),
        pytest.param([policy("/n", ingress=[])], "as the tier says", id="no-rules"),
        pytest.param([policy("/e", egress=[rule()])], "not entered", id="other-direction"),
        pytest.param(
            [policy("/s", ingress=[], staged=STAGED), policy("/n", ingress=[])],
            "as the tier says",
            id="staged-and-not",
        ),
    ],
)
def test_end_of_tier(policies: list[Policy], end: str, default_action: Action) -> None:
    """v3 trap 1: the drop needs a policy in that direction that is not staged; Log counts."""
    tiers = {"default": Tier(name="default", default_action=default_action)}
    ends = [each.end for each in tier_policies(policies, tiers, INGRESS)]

    expected = {"not entered": [], "passes": [PASS], "as the tier says": [default_action]}
    assert expected[end] == ends


def test_staged_are_listed_and_named() -> None:
    """They stand in their place, and are told apart."""
    policies = [policy("/a", egress=[]), policy("/b", egress=[], staged=STAGED)]

    assert tier_policies(policies, TIERS, EGRESS) == (
        TierPolicies(
            tier="default",
            policies=("GlobalNetworkPolicy//a", "GlobalNetworkPolicy//b"),
            staged=frozenset({"GlobalNetworkPolicy//b"}),
            end=DENY,
        ),
    )


def test_tier_that_does_not_exist_denies() -> None:
    """Nobody said Pass: fail closed."""
    (only,) = tier_policies([policy("/a", tier="gone", egress=[])], TIERS, EGRESS)

    assert only.end is DENY


@pytest.mark.parametrize("field", ["do_not_track", "pre_dnat"])
def test_host_only_policies_do_not_apply_to_workloads(field: str) -> None:
    """v3 2.3: ``doNotTrack`` and ``preDNAT`` are for host endpoints only."""
    special = msgspec.structs.replace(policy("/a", ingress=[]), **{field: True})

    assert not applies_to_workloads(special)
    assert applies_to_workloads(policy("/a", ingress=[]))
