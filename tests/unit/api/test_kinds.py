"""What the client knows of the table of kinds."""

from __future__ import annotations

import pytest

from chita.api.kinds import RESOURCES, WATCHED, resource_of
from chita.convert.entities import POLICY_KINDS, SETTINGS_KINDS
from chita.errors import NotFoundError


def test_every_policy_and_setting_is_watched() -> None:
    """One that is stored, converted and not watched would let traffic through in silence."""
    watched = {(resource.group, resource.kind) for resource in WATCHED}

    assert POLICY_KINDS.keys() | SETTINGS_KINDS <= watched


def test_what_is_watched_can_be_asked_for() -> None:
    assert set(WATCHED) <= set(RESOURCES.values())
    assert len(set(WATCHED)) == len(WATCHED)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("v1", "Secret", id="not-kept"),
        pytest.param("projectcalico.org/v3", "Node", id="hidden-by-kubernetes-node"),
        pytest.param("networking.k8s.io/v1beta1", "NetworkPolicy", id="old-version"),
    ],
)
def test_a_kind_that_nothing_here_uses(api_version: str, kind: str) -> None:
    with pytest.raises(NotFoundError, match=kind):
        resource_of({"apiVersion": api_version, "kind": kind})
