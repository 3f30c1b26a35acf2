"""CNI calls parsed and checked, and results in the form each version of the specification has.

Source: containernetworking/cni SPEC.md, versions 0.3.0 to 1.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from chita.cni.errors import CniError, ErrorCode
from chita.cni.netconf import NetConf, parse_netconf
from chita.model.net import Address

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST = VERSIONS[-1]

_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
"""IFNAMSIZ is 16 with the closing zero (linux/if.h)."""


class Command(StrEnum):
    """The operations."""

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    STATUS = "STATUS"
    GC = "GC"


_SINCE = {Command.CHECK: "0.4.0", Command.STATUS: "1.1.0", Command.GC: "1.1.0"}
"""The version that brought an operation; the others were always there."""


class PodName(msgspec.Struct, frozen=True, kw_only=True):
    """Whose interface it is, from CNI_ARGS as Kubernetes runtimes set them."""

    namespace: str
    name: str
    uid: str = ""
    """Empty when the runtime does not say."""


class CniCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to be answered. GC and STATUS have neither container nor interface."""

    command: Command
    container: str = ""
    netns: str = ""
    """Path of the pod's network namespace; may be empty for DEL."""
    interface: str = ""
    pod: PodName | None = None
    """None: the runtime is not Kubernetes'."""
    config: NetConf


def parse_call(environment: Mapping[str, str], config: str) -> CniCall:
    """Return the call that *environment* and *config* (standard input) make.

    Raises:
        CniError: with the specification's code; checked in the order in which the errors hide
            each other: version, operation, environment, configuration.
    """
    raw = parse_config(config)
    command = _command(environment, version_of(raw))
    if command in (Command.GC, Command.STATUS):
        return CniCall(command=command, config=parse_netconf(raw))
    needed = ["CNI_CONTAINERID", "CNI_IFNAME"]
    if command is not Command.DEL:
        needed.append("CNI_NETNS")
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT, f"{command} needs {', '.join(missing)}; not set"
        )
    container, interface = environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]
    if not _CONTAINER.fullmatch(container):
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT,
            f"CNI_CONTAINERID '{container}' must begin with a letter or digit, "
            "then also '_', '.' and '-'",
        )
    if not _INTERFACE.fullmatch(interface) or interface in (".", ".."):
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT,
            f"CNI_IFNAME '{interface}' is no interface name: 1 to 15 characters, "
            "no blank, '/' or ':', not '.' or '..'",
        )
    return CniCall(
        command=command,
        container=container,
        netns=environment.get("CNI_NETNS", ""),
        interface=interface,
        pod=_pod(environment.get("CNI_ARGS", "")),
        config=parse_netconf(raw),
    )


def parse_config(config: str) -> dict[str, Any]:
    """Return standard input as the JSON object it must be.

    Raises:
        CniError: it is none (6).
    """
    try:
        return msgspec.json.decode(config.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise CniError(ErrorCode.DECODING_FAILURE, f"network configuration: {error}") from error


def version_of(raw: Mapping[str, Any]) -> str:
    """Return the version the runtime speaks.

    Raises:
        CniError: not one of ours (1). A missing ``cniVersion`` means 0.1.0 (SPEC 0.2.0).
    """
    version = raw.get("cniVersion", "0.1.0")
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise CniError(
            ErrorCode.INCOMPATIBLE_VERSION, f"cniVersion {version} is not one of {known}"
        )
    return str(version)


def _command(environment: Mapping[str, str], version: str) -> Command:
    text = environment.get("CNI_COMMAND", "")
    try:
        command = Command(text)
    except ValueError as error:
        names = ", ".join(Command)
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT, f"CNI_COMMAND is '{text}', not one of {names}"
        ) from error
    since = _SINCE.get(command)
    if since and VERSIONS.index(version) < VERSIONS.index(since):
        raise CniError(
            ErrorCode.INCOMPATIBLE_VERSION,
            f"{command} exists since CNI {since}; the configuration has cniVersion {version}",
        )
    return command


def _pod(args: str) -> PodName | None:
    """Return the pod that CNI_ARGS names.

    Raises:
        CniError: not ``KEY=VALUE;KEY=VALUE``, or half of the pod's name is missing (4).
    """
    pairs: dict[str, str] = {}
    for item in filter(None, args.split(";")):
        key, equals, value = item.partition("=")
        if not equals:
            raise CniError(
                ErrorCode.INVALID_ENVIRONMENT, f"CNI_ARGS: '{item}' is not of the form KEY=VALUE"
            )
        pairs[key] = value
    namespace, name = pairs.get("K8S_POD_NAMESPACE", ""), pairs.get("K8S_POD_NAME", "")
    if not namespace and not name:
        return None
    if not namespace or not name:
        raise CniError(
            ErrorCode.INVALID_ENVIRONMENT,
            "CNI_ARGS: K8S_POD_NAMESPACE and K8S_POD_NAME must be set together",
        )
    return PodName(namespace=namespace, name=name, uid=pairs.get("K8S_POD_UID", ""))


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """One end of the pod's link."""

    name: str
    mac: str
    mtu_bytes: int
    sandbox: str = ""
    """The pod's network namespace; empty for the node's end."""


class IpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An address of the pod."""

    address: Address
    gateway: Address
    interface: int
    """Index into the result's interfaces."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a successful ADD made. Each address has a default route through its gateway."""

    interfaces: tuple[Interface, ...]
    ips: tuple[IpConfig, ...]
    dns: dict[str, Any] = {}


def result_json(result: Result, version: str) -> bytes:
    """Return *result* on one line, as *version* of the specification has it.

    ``ips[].version`` was dropped in 1.0.0, ``interfaces[].mtu`` came in 1.1.0.
    """
    has_family, has_mtu = VERSIONS.index(version) < 3, version == LATEST
    interfaces: list[dict[str, Any]] = []
    for interface in result.interfaces:
        item: dict[str, Any] = {"name": interface.name, "mac": interface.mac}
        if has_mtu:
            item["mtu"] = interface.mtu_bytes
        if interface.sandbox:
            item["sandbox"] = interface.sandbox
        interfaces.append(item)
    ips = [
        ({"version": str(ip.address.family)} if has_family else {})
        | {
            "interface": ip.interface,
            "address": f"{ip.address}/{ip.address.bits}",
            "gateway": str(ip.gateway),
        }
        for ip in result.ips
    ]
    default = {4: "0.0.0.0/0", 6: "::/0"}
    routes = [{"dst": default[ip.address.family], "gw": str(ip.gateway)} for ip in result.ips]
    answer: dict[str, Any] = {
        "cniVersion": version, "interfaces": interfaces, "ips": ips, "routes": routes,
    }  # fmt: skip
    answer["dns"] = result.dns  # may be empty in every version
    return msgspec.json.encode(answer)
