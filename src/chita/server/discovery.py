"""What the server has: its version, and the groups and resources it serves.

Source: Kubernetes API concepts, "Discovery API", aggregated and not.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from chita import __version__
from chita.model.kinds import KINDS, Kind
from chita.server import openapi
from chita.server.kinds import group_versions, versions_of
from chita.server.request import Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

AGGREGATED = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
KUBERNETES_VERSION = "v1.37.0"  # whose conventions we follow: clients compare it with theirs
ALL_VERBS = sorted(verb.value for verb in Verb)
STATUS_VERBS = ["get", "patch", "update"]


def document(  # noqa: C901, PLR0911 - one return per document
    path: str, accept: str
) -> tuple[dict[str, Any], str] | None:
    """Return the document at *path* with its content type, None when there is none."""
    parts = path.strip("/").split("/")
    is_aggregated = AGGREGATED in accept.replace(" ", "")
    match parts:
        case ["version"]:
            return _version(), "application/json"
        case ["api" | "apis"] if is_aggregated:
            found = _aggregated(is_core=parts == ["api"])
            return found, f"application/json;{AGGREGATED}"
        case ["api"]:
            return _api_versions(), "application/json"
        case ["apis"]:
            return _api_groups(), "application/json"
        case ["api", "v1"]:
            return _resources("", "v1"), "application/json"
        case ["apis", group] if group in _groups():
            return _group(group), "application/json"
        case ["apis", group, version] if group and version in versions_of(group):
            return _resources(group, version), "application/json"
        case ["openapi", "v3"]:
            return openapi.index(), "application/json"
        case ["openapi", "v3", "api", "v1"]:
            return openapi.document("", "v1"), "application/json"
        case ["openapi", "v3", "apis", group, version] if group and version in versions_of(group):
            return openapi.document(group, version), "application/json"
    return None


def _groups() -> list[str]:
    return list(dict.fromkeys(group for group, _ in group_versions() if group))


def _kinds(group: str, version: str) -> Iterator[Kind]:
    return (kind for kind in KINDS if (kind.group, kind.version) == (group, version))


def _version() -> dict[str, Any]:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+chita.{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def _api_versions() -> dict[str, Any]:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }


def _api_groups() -> dict[str, Any]:
    groups = [_group_body(group) for group in _groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str) -> dict[str, Any]:
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_body(group)}


def _group_body(group: str) -> dict[str, Any]:
    entries = [{"groupVersion": f"{group}/{each}", "version": each} for each in versions_of(group)]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _resources(group: str, version: str) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    for kind in _kinds(group, version):
        entry: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.is_namespaced,
            "kind": kind.kind,
        }
        names = {"shortNames": list(kind.short_names), "categories": _categories(kind)}
        resources.append({**entry, "verbs": ALL_VERBS, **names})
        if kind.has_status:
            resources.append(
                {
                    **entry,
                    "name": f"{kind.plural}/status",
                    "singularName": "",
                    "verbs": STATUS_VERBS,
                }
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _aggregated(*, is_core: bool) -> dict[str, Any]:
    items = [
        {
            "metadata": {"name": group},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated_resource(kind) for kind in _kinds(group, version)],
                }
                for version in versions_of(group)
            ],
        }
        for group in ([""] if is_core else _groups())
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    response = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    found: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": kind.scope.value,
        "singularResource": kind.singular,
        "verbs": ALL_VERBS,
        "shortNames": list(kind.short_names),
        "categories": _categories(kind),
    }
    if kind.has_status:
        found["subresources"] = [
            {"subresource": "status", "responseKind": response, "verbs": STATUS_VERBS}
        ]
    return found


def _categories(kind: Kind) -> list[str]:
    """Return the words for several kinds at once: ``kubectl get all``."""
    return ["all"] if kind.resource in {"pods", "services"} else []
