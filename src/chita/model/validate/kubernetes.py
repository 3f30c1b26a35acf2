"""Rules of core Kubernetes objects: only of what policy and routing read of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.errors import ParseError
from chita.model.net import Address
from chita.model.problem import Problem

Raw = Mapping[str, Any]

_ADDRESSES: Final = frozenset({"InternalIP", "ExternalIP"})
_MESH: Final = ("chita.dev/mesh-ipv4", "chita.dev/mesh-ipv6")


def node_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a Node: those of its addresses that are said to be IP addresses."""
    for index, item in enumerate((obj.get("status") or {}).get("addresses") or []):
        if item["type"] in _ADDRESSES:
            yield from _address(f"status.addresses[{index}].address", item["address"])
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(annotations, Mapping):
        return
    for key in _MESH:
        if annotations.get(key) and isinstance(annotations[key], str):
            yield from _address(f"metadata.annotations.{key}", annotations[key])


def _address(path: str, text: str) -> Iterator[Problem]:
    try:
        Address.parse(text)
    except ParseError as error:
        yield Problem(path, str(error))
