"""When the controller raises the epoch of the keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from chita.controller.rotation import CHANGED_AT, Change, due
from chita.model.node import FabricNode, TunnelEnd
from hybrid import fabric_node

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NODE = fabric_node("a", "aws-x", "10.0.0.11")
OLD = TunnelEnd(epoch=0, public_key="O" * 43 + "=", port=51820)


def configuration(hours_ago: float | str | None, **spec: Any) -> dict[str, Any]:
    at = (
        (NOW - timedelta(hours=hours_ago)).isoformat()
        if isinstance(hours_ago, float)
        else hours_ago
    )
    annotations = {} if at is None else {CHANGED_AT: at}
    return {
        "kind": "FabricConfiguration",
        "metadata": {"name": "default", "annotations": annotations},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("found", "nodes", "expected"),
    [
        pytest.param(None, [NODE], Change(NOW, None), id="first-look"),
        pytest.param(None, [], None, id="no-nodes-yet"),
        pytest.param(configuration(23.9), [NODE], None, id="not-yet"),
        pytest.param(configuration(24.0), [NODE], Change(NOW, 1), id="due"),
        pytest.param(
            configuration(30.0, keyEpoch=1),
            [msgspec.structs.replace(NODE, wireguard_epoch=1, wireguard_previous=OLD)],
            None,
            id="last-change-not-over",
        ),
        pytest.param(configuration(30.0, keyEpoch=1), [NODE], None, id="one-has-not-heard"),
        pytest.param(configuration(2.0, keyRotationHours=1), [NODE], Change(NOW, 1), id="hourly"),
        pytest.param(configuration(9e4, keyRotationHours=0), [NODE], None, id="never"),
        pytest.param(configuration("nonsense"), [NODE], Change(NOW, None), id="damaged"),
        pytest.param(configuration("2026-01-01T00:00:00"), [NODE], Change(NOW, 1), id="no-zone"),
    ],
)
def test_due(
    found: dict[str, Any] | None, nodes: list[FabricNode], expected: Change | None
) -> None:
    assert expected == due(found, nodes, NOW)
