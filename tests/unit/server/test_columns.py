"""Cells of kubectl's tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chita.model.kinds import KINDS, Kind, known_kind
from chita.server.columns import columns_of, duration


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(-3, "0s", id="clock-behind"),
        pytest.param(119.9, "119s", id="seconds"),
        pytest.param(120, "2m", id="minutes"),
        pytest.param(125, "2m5s", id="minutes-seconds"),
        pytest.param(3600, "60m", id="an-hour-in-minutes"),
        pytest.param(3 * 3600, "3h", id="hours"),
        pytest.param(3 * 3600 + 300, "3h5m", id="hours-minutes"),
        pytest.param(30 * 3600, "30h", id="more-than-a-day"),
        pytest.param(3 * 86400 + 7200, "3d2h", id="days-hours"),
        pytest.param(30 * 86400, "30d", id="days"),
        pytest.param(1000 * 86400, "2y", id="years"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """As k8s.io/apimachinery's duration.HumanDuration."""
    assert expected == duration(seconds)


def row(kind: Kind, value: dict[str, Any]) -> dict[str, Any]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return {column.name: column.text(value, now) for column in columns_of(kind)}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.resource) for kind in KINDS])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"metadata": {"name": "x"}}, id="empty"),
        pytest.param({"metadata": {"name": "x"}, "spec": None, "status": None}, id="nulls"),
        pytest.param({"metadata": {"name": "x"}, "spec": [], "status": "x"}, id="nonsense"),
        pytest.param(
            {
                "metadata": {"name": "x", "labels": [1]},
                "spec": {"ports": [1], "containers": 3, "nets": "n"},
                "status": {"conditions": ["Ready"], "addresses": [2], "containerStatuses": [None]},
                "endpoints": [None],
                "ports": [None],
            },
            id="odd-lists",
        ),
    ],
)
def test_every_kind_prints_whatever_is_stored(kind: Kind, value: dict[str, Any]) -> None:
    """A cell never fails: a list of many objects must not be lost for one odd one."""
    cells = row(kind, value)

    assert cells["Name"] == "x"
    assert cells["Age"] == "<unknown>"


def test_node_and_service() -> None:
    node, service = known_kind("v1", "Node"), known_kind("v1", "Service")
    created = "2025-12-31T23:00:00Z"
    labels = {"node-role.kubernetes.io/gateway": "", "node-role.kubernetes.io/edge": ""}
    found = row(
        node,
        {
            "metadata": {
                "name": "n",
                "labels": labels,
                "creationTimestamp": created,
            },
            "spec": {"unschedulable": True},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
    )
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "ports": ports}

    assert found["Status"] == "Ready,SchedulingDisabled"
    assert found["Roles"] == "edge,gateway"
    assert found["Age"] == "60m"
    cells = row(service, {"metadata": {"name": "s"}, "spec": spec})
    assert cells["Port(s)"] == "80:30080/TCP,53/UDP"
    assert cells["External-IP"] == "<pending>"
