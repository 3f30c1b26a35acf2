"""WantedPairs: every selector that may match labels is among those worth trying."""

from __future__ import annotations

import pytest

from chita.compute.wanted import WantedPairs


@pytest.fixture
def wanted() -> WantedPairs:
    """Return three selectors: by a value, by a key, by nothing."""
    found = WantedPairs()
    found.add("by-value", [("app", "web"), ("app", "db")])
    found.add("by-key", [("team", None)])
    found.add("always", None)
    return found


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, {"always"}, id="none"),
        pytest.param({"app": "web"}, {"always", "by-value"}, id="value"),
        pytest.param({"app": "cart"}, {"always"}, id="other-value"),
        pytest.param({"team": "any"}, {"always", "by-key"}, id="key"),
        pytest.param({"a": "1", "b": "2", "app": "db"}, {"always", "by-value"}, id="many-labels"),
    ],
)
def test_worth_trying(wanted: WantedPairs, labels: dict[str, str], expected: set[str]) -> None:
    assert expected == set(wanted.worth_trying(labels))


def test_discarded_is_not_tried(wanted: WantedPairs) -> None:
    wanted.discard("by-value", [("app", "web"), ("app", "db")])
    wanted.discard("always", None)

    assert [] == list(wanted.worth_trying({"app": "web"}))
