"""A world with every field of the policy APIs: the server takes it, the wire obeys."""

from __future__ import annotations

import asyncio

import pytest

from chita.api.kinds import CALICO
from chita.lab.cluster import Lab
from chita.lab.matrix import Verdict
from chita.lab.probe import lacking_protocols
from chita.lab.trial import run_trials
from chita.model.net import PROTOCOL_NAMES
from chita.model.validate.enforcement import unenforced
from scenario_lab import EXAMPLES, make_lab, namespaces

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


KINDS = ("NetworkPolicy", "GlobalNetworkPolicy")


async def named_in_status(lab: Lab) -> set[str]:
    """Return the policies whose status says that something of them is not enforced."""
    async with lab.client() as client:
        return {
            policy["metadata"]["name"]
            for kind in KINDS
            for policy in (await client.list(CALICO[kind])).items
            for condition in policy.get("status", {}).get("conditions", [])
            if (condition["type"], condition["status"]) == ("Enforced", "False")
        }


def test_model_and_wire_agree_on_every_field() -> None:
    """All flows of the world, of both families; what this kernel has no sockets for is named."""
    file = EXAMPLES / "every-field.yaml"
    lab = make_lab(file)
    try:
        lab.up([str(file)])
        not_enforced = asyncio.run(named_in_status(lab))
        report = run_trials(lab)
    finally:
        lab.down()
    allowed = [flow for flow in report.flows if flow.seen is Verdict.ALLOW]

    written = [obj for obj in lab.world.objects if obj["kind"] in KINDS and unenforced(obj)]
    assert {obj["metadata"]["name"] for obj in written} == not_enforced
    assert not_enforced
    assert [] == lab.refused
    assert [] == report.disagreements
    assert [] == report.broken_links
    assert {PROTOCOL_NAMES[number] for number in lacking_protocols()} == report.untried.keys()
    assert len(report.flows) > 2000
    assert 0.2 < len(allowed) / len(report.flows) < 0.8
    assert [] == namespaces()
