"""The table of kinds: every name leads to one kind, and each kind to its URLs."""

from __future__ import annotations

from collections import Counter

import pytest

from chita.model.kinds import KINDS, find_kind, known_kind


def test_every_kind_is_found_by_its_own_name() -> None:
    """A second row with the same name or the same URL would hide the first."""
    assert [known_kind(kind.api_version, kind.kind) for kind in KINDS] == list(KINDS)
    assert len({kind.path() for kind in KINDS}) == len(KINDS)


def test_short_names_are_given_once() -> None:
    """What ``kubectl get ns`` means must not depend on the order of discovery."""
    given = Counter(name for kind in KINDS for name in kind.short_names)

    assert [name for name, times in given.items() if times > 1] == []


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("v1", "Deployment", id="not-kept"),
        pytest.param("projectcalico.org/v1", "NetworkPolicy", id="other-version"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_kind_that_is_not_in_the_table(api_version: str, kind: str) -> None:
    assert find_kind(api_version, kind) is None


@pytest.mark.parametrize(
    ("api_version", "kind", "place", "expected"),
    [
        pytest.param("v1", "Pod", (), "/api/v1/pods", id="all-namespaces"),
        pytest.param("v1", "Pod", ("shop", "web"), "/api/v1/namespaces/shop/pods/web", id="object"),
        pytest.param("v1", "Node", ("", "n1", "status"), "/api/v1/nodes/n1/status", id="part"),
        pytest.param("v1", "Node", ("shop", "n1"), "/api/v1/nodes/n1", id="no-namespace"),
        pytest.param(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            ("shop",),
            "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
            id="group",
        ),
    ],
)
def test_path(api_version: str, kind: str, place: tuple[str, ...], expected: str) -> None:
    """Kubernetes API concepts, resource URIs."""
    assert expected == known_kind(api_version, kind).path(*place)
