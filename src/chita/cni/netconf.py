"""The network configuration that the runtime hands over, parsed and checked."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from chita.cni.errors import CniError, ErrorCode
from chita.errors import ParseError
from chita.model.net import Address, Family

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_OURS = ("", "chita-ipam", "calico-ipam")


class ValidAttachment(msgspec.Struct, frozen=True, rename={"container": "containerID"}):
    """An attachment that GC must keep."""

    container: str
    ifname: str


class NetConf(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin's network configuration (SPEC 1.1 section 1, and our own keys)."""

    version: str
    name: str
    mtu_bytes: int | None = None
    """``mtu``; None: the agent decides."""
    families: tuple[Family, ...] | None = None
    """From ``ipam.assign_ipv4`` and ``assign_ipv6``; None: each family that has a pool."""
    pools: dict[Family, tuple[str, ...]] = {}
    """``ipam.ipv4_pools`` and ``ipv6_pools``: names or CIDRs."""
    dns: dict[str, Any] = {}
    """Passed on in the result."""
    previous: PreviousResult | None = None
    """``prevResult``."""
    valid_attachments: tuple[ValidAttachment, ...] | None = None
    """``cni.dev/valid-attachments``; None: the key is absent, which is not an empty list."""


class PreviousResult(msgspec.Struct, frozen=True, kw_only=True):
    """What CHECK compares with: the interfaces and addresses that ADD answered."""

    interfaces: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()


def parse_netconf(raw: dict[str, Any]) -> NetConf:
    """Return the configuration that *raw* writes; unknown keys are other people's.

    Raises:
        CniError: a key has the wrong form (7), or asks for what we don't do (2).
    """
    name = raw.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CniError(
            ErrorCode.INVALID_CONFIG,
            f"name: '{name}' must begin with a letter or digit, then also '_', '.' and '-'",
        )
    ipam = _typed(raw, "ipam", dict, {})
    if ipam.get("type", "") not in _OURS:
        raise CniError(
            ErrorCode.UNSUPPORTED_FIELD,
            f"ipam.type: '{ipam['type']}': addresses come from IPPools; "
            "write chita-ipam or leave ipam out",
        )
    mtu = _typed(raw, "mtu", int, 0)
    if mtu and not 1280 <= mtu <= 65535:
        # RFC 8200 section 5: IPv6 needs links of at least 1280 octets.
        raise CniError(ErrorCode.INVALID_CONFIG, f"mtu: {mtu} is not within 1280 to 65535")
    return NetConf(
        version=str(raw["cniVersion"]),
        name=name,
        mtu_bytes=mtu or None,
        families=_families(ipam),
        pools=_pools(ipam),
        dns=_typed(raw, "dns", dict, {}),
        previous=_previous(raw.get("prevResult")),
        valid_attachments=_valid_attachments(raw),
    )


def _typed(raw: dict[str, Any], key: str, kind: type, default: Any, where: str = "") -> Any:
    value = raw.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {dict: "an object", list: "a list", int: "a number", str: "a string"}
        raise CniError(ErrorCode.INVALID_CONFIG, f"{where}{key}: {value!r} is not {names[kind]}")
    return value


def _families(ipam: dict[str, Any]) -> tuple[Family, ...] | None:
    """Return the families asked for. The strings "true" and "false" are taken too, as Calico's."""
    switches: tuple[tuple[Family, str], ...] = ((4, "assign_ipv4"), (6, "assign_ipv6"))
    if not any(key in ipam for _, key in switches):
        return None
    chosen: list[Family] = []
    for family, key in switches:
        value = ipam.get(key, family == 4)
        if value not in (True, False, "true", "false"):
            raise CniError(ErrorCode.INVALID_CONFIG, f"ipam.{key}: write true or false")
        if value in (True, "true"):
            chosen.append(family)
    if not chosen:
        raise CniError(ErrorCode.INVALID_CONFIG, "ipam: assign_ipv4 and assign_ipv6 are both false")
    return tuple(chosen)


def _pools(ipam: dict[str, Any]) -> dict[Family, tuple[str, ...]]:
    keys: tuple[tuple[Family, str], ...] = ((4, "ipv4_pools"), (6, "ipv6_pools"))
    pools: dict[Family, tuple[str, ...]] = {}
    for family, key in keys:
        names = _typed(ipam, key, list, [], "ipam.")
        if not all(isinstance(name, str) for name in names):
            raise CniError(ErrorCode.INVALID_CONFIG, f"ipam.{key}: a list of names or CIDRs")
        if names:
            pools[family] = tuple(names)
    return pools


def _previous(raw: Any) -> PreviousResult | None:
    if raw is None:
        return None
    try:
        return PreviousResult(
            interfaces=tuple(item["name"] for item in raw.get("interfaces") or ()),
            addresses=tuple(
                Address.parse(str(item["address"]).partition("/")[0])
                for item in raw.get("ips") or ()
            ),
        )
    except (AttributeError, KeyError, TypeError, ParseError) as error:
        raise CniError(
            ErrorCode.INVALID_CONFIG, f"prevResult is no result of an ADD: {error!r}"
        ) from error


def _valid_attachments(raw: dict[str, Any]) -> tuple[ValidAttachment, ...] | None:
    """Return the attachments to keep; ``cni.dev/attachments`` is libcni's older spelling."""
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        if key in raw:
            try:
                return tuple(msgspec.convert(raw[key], list[ValidAttachment]))
            except msgspec.ValidationError as error:
                raise CniError(ErrorCode.INVALID_CONFIG, f"{key}: {error}") from error
    return None
