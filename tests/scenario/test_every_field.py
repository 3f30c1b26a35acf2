"""A world with every field of the policy APIs: the server takes it, the wire obeys."""

from __future__ import annotations

import pytest

from chita.lab.matrix import Verdict
from chita.lab.probe import lacking_protocols
from chita.lab.trial import run_trials
from chita.model.net import PROTOCOL_NAMES
from scenario_lab import EXAMPLES, make_lab, namespaces

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


def test_model_and_wire_agree_on_every_field() -> None:
    """All flows of the world, of both families; what this kernel has no sockets for is named."""
    file = EXAMPLES / "every-field.yaml"
    lab = make_lab(file)
    try:
        lab.up([str(file)])
        report = run_trials(lab)
    finally:
        lab.down()
    allowed = [flow for flow in report.flows if flow.seen is Verdict.ALLOW]

    assert [] == lab.refused
    assert [] == report.disagreements
    assert [] == report.broken_links
    assert {PROTOCOL_NAMES[number] for number in lacking_protocols()} == report.untried.keys()
    assert len(report.flows) > 2000
    assert 0.2 < len(allowed) / len(report.flows) < 0.8
    assert [] == namespaces()
