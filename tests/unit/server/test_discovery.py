"""What the server says it has: clients find every kind from it."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.kinds import KINDS
from chita.server import discovery


def found(path: str, accept: str = "") -> dict[str, Any]:
    answer = discovery.document(path, accept)
    assert answer is not None, path
    return answer[0]


def test_both_forms_list_every_kind() -> None:
    """The aggregated form and the one of a document a version name the same resources."""
    aggregated = {
        (group["metadata"]["name"], version["version"], resource["resource"])
        for root in ("/api", "/apis")
        for group in found(root, f"application/json;{discovery.AGGREGATED}")["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    versions = [each["groupVersion"] for g in found("/apis")["groups"] for each in g["versions"]]
    single = {
        (*version.split("/"), resource["name"])
        for version in versions
        for resource in found(f"/apis/{version}")["resources"]
        if "/" not in resource["name"]
    } | {("", "v1", r["name"]) for r in found("/api/v1")["resources"] if "/" not in r["name"]}

    assert {(kind.group, kind.version, kind.plural) for kind in KINDS} == aggregated == single


def test_a_group_of_two_versions_is_listed_once() -> None:
    """Its preferred version comes first: what a client takes that names none."""
    name = "policy.networking.k8s.io"
    groups = [group for group in found("/apis")["groups"] if group["name"] == name]

    assert len(groups) == 1
    assert groups[0]["preferredVersion"]["version"] == "v1alpha2"
    assert [each["version"] for each in groups[0]["versions"]] == ["v1alpha2", "v1alpha1"]


@pytest.mark.parametrize("path", ["/apis/none", "/apis/chita.dev/v9", "/apis//v1", "/nowhere"])
def test_what_is_not_there(path: str) -> None:
    assert discovery.document(path, "") is None
