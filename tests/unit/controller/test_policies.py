"""Which condition a policy should have: about what no node enforces of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chita.controller.policies import changed_conditions

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
THEN = "2026-11-20T08:00:00Z"
GET = {"action": "Allow", "http": {"methods": ["GET"]}}
PLAIN = {"action": "Allow", "protocol": "TCP"}
OTHER = {"type": "Seen", "status": "True", "reason": "Yes", "message": ""}


def policy(spec: dict[str, Any], *conditions: dict[str, Any], generation: int = 3) -> Any:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "p", "generation": generation},
        "spec": spec,
        **({"status": {"conditions": list(conditions)}} if conditions else {}),
    }


def enforced(status: str, *, since: str = THEN, generation: int = 3) -> dict[str, Any]:
    """Return our condition about a policy whose rule 1 is by HTTP, or was."""
    message = (
        "spec.ingress[1].http: is not enforced yet, so the rule allows nothing; the others count"
    )
    return {
        "type": "Enforced",
        "status": status,
        "reason": "AllFieldsEnforced" if status == "True" else "FieldsNotEnforced",
        "message": "" if status == "True" else message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }


BY_HTTP = {"ingress": [PLAIN, GET]}
SOUND = {"ingress": [PLAIN]}
NOW_TEXT = "2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(policy(SOUND), None, id="nothing-to-say"),
        pytest.param(policy(BY_HTTP), [enforced("False", since=NOW_TEXT)], id="http"),
        pytest.param(policy(BY_HTTP, enforced("False")), None, id="already-said"),
        pytest.param(policy(BY_HTTP, OTHER), [OTHER, enforced("False", since=NOW_TEXT)],
                     id="beside-others"),
        pytest.param(policy(BY_HTTP, enforced("False", generation=2)), [enforced("False")],
                     id="still-after-a-change"),
        pytest.param(policy(SOUND, enforced("False", generation=2), OTHER),
                     [OTHER, enforced("True", since=NOW_TEXT)], id="mended"),
        pytest.param(policy(SOUND, enforced("True")), None, id="mended-and-said"),
        pytest.param(policy(BY_HTTP, enforced("True", generation=2)),
                     [enforced("False", since=NOW_TEXT)], id="again"),
    ],
)  # fmt: skip
def test_conditions(written: Any, expected: list[dict[str, Any]] | None) -> None:
    assert expected == changed_conditions(written, NOW)


@pytest.mark.parametrize("spec", [None, {}, {"ingress": 5}, {"ingress": [None, "x"]}])
def test_anything_may_stand_there(spec: Any) -> None:
    """Kube-apiserver may have stored what the server here would have refused."""
    assert changed_conditions(policy(spec), NOW) is None
