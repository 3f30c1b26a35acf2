"""nft's JSON listing of the table to its outline (libnftables-json(5))."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chita.dataplane.nftables.objects import (
    ChainType,
    DataType,
    Element,
    Goto,
    Hook,
    Set,
    SetKind,
    Value,
    Verdict,
)
from chita.dataplane.nftables.outline import ChainOutline, Outline
from chita.errors import KernelError
from chita.model.net import Address, Cidr, PortRange, parse_protocol

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132,
              "udplite": 136}  # fmt: skip


def read_outline(objects: Iterable[Mapping[str, Any]]) -> Outline:
    """Return the outline of a listed table.

    Raises:
        KernelError: it holds something that we never write; it is not (only) ours.
    """
    sets: dict[str, Set] = {}
    maps: dict[str, dict[str, Verdict]] = {}
    hooks: dict[str, Hook | None] = {}
    comments: dict[str, list[str]] = {}
    for item in objects:
        match item:
            case {"table": _}:
                pass
            case {"set": body}:
                sets[body["name"]] = _set(body)
            case {"map": body}:
                maps[body["name"]] = dict(_mapping(pair) for pair in body.get("elem", ()))
            case {"chain": body}:
                hooks[body["name"]] = _hook(body)
            case {"rule": body}:
                comments.setdefault(body["chain"], []).append(body.get("comment", ""))
            case _:
                raise KernelError(f"read table inet chita: it holds a {', '.join(item)}, not ours")
    chains = {
        name: ChainOutline(hook, tuple(comments.get(name, ()))) for name, hook in hooks.items()
    }
    return Outline(sets, maps, chains)


def _hook(body: Mapping[str, Any]) -> Hook | None:
    if "hook" not in body:
        return None
    return Hook(ChainType(body["type"]), body["hook"], body["prio"])


def _set(body: Mapping[str, Any]) -> Set:
    names = body["type"] if isinstance(body["type"], list) else [body["type"]]
    types = tuple(DataType(name) for name in names)
    kind = SetKind.INTERVAL if "interval" in body.get("flags", ()) else SetKind.HASH
    elements = frozenset(_element(raw, types, kind) for raw in body.get("elem", ()))
    return Set(body["name"], types, kind, elements)


def _element(raw: Any, types: tuple[DataType, ...], kind: SetKind) -> Element:
    match raw:
        case {"concat": parts}:
            return tuple(_value(part, of) for part, of in zip(parts, types, strict=True))
        case {"prefix": {"addr": addr, "len": length}}:
            return Cidr.parse(f"{addr}/{length}")
        case {"range": [first, last]}:
            return PortRange(int(first), int(last))
        case int() if kind is SetKind.INTERVAL:
            return PortRange(raw, raw)
        case _ if kind is SetKind.INTERVAL:
            return Cidr.of(Address.parse(str(raw)))
        case _:
            return _value(raw, types[0])


def _value(raw: Any, of: DataType) -> Value:
    match of:
        case DataType.IFNAME:
            return str(raw)
        case DataType.IPV4_ADDR | DataType.IPV6_ADDR:
            return Address.parse(raw)
        case DataType.INET_PROTO:
            return _PROTOCOLS.get(raw) or parse_protocol(raw)
        case DataType.INET_SERVICE:
            return int(raw)


def _mapping(pair: Any) -> tuple[str, Verdict]:
    match pair:
        case [str() as key, {"goto": {"target": str() as target}}]:
            return key, Goto(target)
        case _:
            raise KernelError(f"read table inet chita: map element {pair} is not ours")
