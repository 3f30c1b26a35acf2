"""Rules over several fields of FelixConfiguration, of kinds about the cluster, and of Node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.model.problem import Problem

Raw = Mapping[str, Any]

_MOST_TABLES: Final = 0xFFFF
"""More would take Felix too long to look through (routeTableRangeMaxTables)."""


def felix_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a FelixConfiguration."""
    spec = obj.get("spec") or {}
    one, several = spec.get("routeTableRange"), spec.get("routeTableRanges")
    if one is not None and several is not None:
        yield Problem("spec.routeTableRange", "does not go with routeTableRanges; remove it")
    ranges = [("spec.routeTableRange", one)] if one is not None else []
    ranges += [
        (f"spec.routeTableRanges[{index}]", span) for index, span in enumerate(several or [])
    ]
    backwards = [(path, span) for path, span in ranges if span["max"] < span["min"]]
    for path, span in backwards:
        yield Problem(f"{path}.max", f"{span['max']} is smaller than min {span['min']}; swap them")
    tables = sum(span["max"] - span["min"] + 1 for span in several or [])
    if not backwards and tables > _MOST_TABLES:
        yield Problem("spec.routeTableRanges", f"are {tables} tables, more than {_MOST_TABLES}")


def kube_controllers_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a KubeControllersConfiguration: what its templates match."""
    controllers = (obj.get("spec") or {}).get("controllers") or {}
    endpoints = (controllers.get("node") or {}).get("hostEndpoint") or {}
    for index, template in enumerate(endpoints.get("templates") or []):
        if not template.get("interfaceCIDRs") and not template.get("interfacePattern"):
            yield Problem(
                f"spec.controllers.node.hostEndpoint.templates[{index}]",
                "matches no interface; write interfaceCIDRs, interfacePattern or both",
            )


def node_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a v3 Node: a ``bgp`` that says nothing."""
    bgp = (obj.get("spec") or {}).get("bgp")
    if bgp is not None and not any(bgp.values()):
        yield Problem("spec.bgp", "is empty; write its fields, or remove it")
