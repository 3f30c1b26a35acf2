"""Our own kinds (chita.dev/v1alpha1), and what of FelixConfiguration means something here.

Fields, defaults and ranges are in docs/reference/fabric-kinds.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from chita.convert.fields import Field, Metadata
from chita.errors import ConvertError
from chita.model.ippool import Encap
from chita.model.location import Location
from chita.model.net import Cidr, parse_protocol
from chita.model.node import Candidate, CandidateKind, FabricNode, HostInterface, Nat, TunnelEnd
from chita.model.problem import Problem
from chita.model.settings import (
    DeniedFlows,
    Encryption,
    FailsafePort,
    FlowLogGroups,
    HostAction,
    Period,
    Rate,
    Settings,
)

API_VERSION = "chita.dev/v1alpha1"

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_RATE = re.compile(r"([1-9][0-9]{0,3})/(second|minute|hour|day)")
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
_MTU = {"low": 576, "high": 65535}
"""RFC 791: each host takes 576 bytes; the field of the IP header ends at 65,535."""

_HOST_ACTIONS = {
    "Accept": HostAction.ACCEPT,
    "Drop": HostAction.DROP,
    # iptables' RETURN leaves it to other rules; our table has no say over those and accepts.
    "Return": HostAction.ACCEPT,
}


def location(obj: Field) -> Location:
    """Return a Location."""
    metadata, spec = Metadata(obj), obj["spec"]
    mtu = spec["wireMTU"]
    return Location(
        name=metadata.name,
        encap=spec["encapsulation"].one_of(Encap) if spec["encapsulation"].is_set else None,
        wire_mtu_bytes=mtu.integer(0, **_MTU) if mtu.is_set else None,
        peers=spec["peers"].texts(),
    )


def fabric_node(obj: Field) -> FabricNode:
    """Return what a node tells of itself."""
    metadata, spec = Metadata(obj), obj["spec"]
    wireguard = spec["wireguard"]
    return FabricNode(
        name=metadata.name,
        location=spec["location"].required(),
        interfaces=tuple(
            [
                HostInterface(
                    address=item["address"].address(),
                    subnet=item["subnet"].cidr(),
                    device=item["device"].text(),
                )
                for item in spec["interfaces"].items()
            ]
        ),
        endpoints=tuple([item.address() for item in spec["endpoints"].items()]),
        candidates=tuple([_candidate(item) for item in spec["candidates"].items()]),
        nat=spec["nat"].one_of(Nat, Nat.UNKNOWN),
        udp_passes=spec["udpPasses"].flag(default=True),
        tcp_relay_port=spec["tcpRelayPort"].integer(0, low=0, high=65535),
        wireguard_key=_shaped(wireguard["publicKey"], _KEY, "32 bytes in base64"),
        wireguard_port=wireguard["port"].integer(0, low=0, high=65535),
        wireguard_epoch=wireguard["epoch"].integer(0, low=0, high=2**31 - 1),
        wireguard_preshared=wireguard["presharedKeyFingerprint"].text(),
        wireguard_previous=_previous_end(wireguard["previous"]),
        static_key=_shaped(wireguard["static"]["publicKey"], _KEY, "32 bytes in base64"),
        static_port=wireguard["static"]["port"].integer(0, low=0, high=65535),
        vtep_mac=_shaped(spec["vtepMAC"], _MAC, "a MAC address such as 02:00:5e:10:00:01"),
        wire_mtu_bytes=spec["wireMTU"].integer(1500, **_MTU),
        gateway_weight=spec["gatewayWeight"].integer(0, low=0, high=1000),
    )


def _candidate(item: Field) -> Candidate:
    return Candidate(
        kind=item["kind"].one_of(CandidateKind),
        address=item["address"].address(),
        port=item["port"].integer(0, low=1, high=65535),
    )


def fabric_node_object(node: FabricNode) -> dict[str, Any]:
    """Return the API object that says *node*; `fabric_node` reads it back."""
    interfaces = [
        {
            "address": str(interface.address),
            "subnet": str(interface.subnet),
            "device": interface.device,
        }
        for interface in node.interfaces
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "FabricNode",
        "metadata": {"name": node.name},
        "spec": {
            "location": node.location,
            "interfaces": interfaces,
            "endpoints": [str(address) for address in node.endpoints],
            "candidates": [
                {"kind": it.kind.value, "address": str(it.address), "port": it.port}
                for it in node.candidates
            ],
            "nat": node.nat.value,
            "udpPasses": node.udp_passes,
            "tcpRelayPort": node.tcp_relay_port,
            "wireguard": _wireguard_object(node),
            "vtepMAC": node.vtep_mac,
            "wireMTU": node.wire_mtu_bytes,
            "gatewayWeight": node.gateway_weight,
        },
    }


def _previous_end(field: Field) -> TunnelEnd | None:
    if not field.is_set:
        return None
    return TunnelEnd(
        epoch=field["epoch"].integer(0, low=0, high=2**31 - 1),
        public_key=_shaped(field["publicKey"], _KEY, "32 bytes in base64"),
        port=field["port"].integer(0, low=0, high=65535),
        preshared=field["presharedKeyFingerprint"].text(),
    )


def _wireguard_object(node: FabricNode) -> dict[str, Any]:
    said: dict[str, Any] = {"publicKey": node.wireguard_key, "port": node.wireguard_port}
    if node.wireguard_epoch:
        said["epoch"] = node.wireguard_epoch
    if node.wireguard_preshared:
        said["presharedKeyFingerprint"] = node.wireguard_preshared
    if node.static_key:
        said["static"] = {"publicKey": node.static_key, "port": node.static_port}
    previous = node.wireguard_previous
    if previous is not None:
        said["previous"] = {
            "publicKey": previous.public_key,
            "port": previous.port,
            "epoch": previous.epoch,
        }
        if previous.preshared:
            said["previous"]["presharedKeyFingerprint"] = previous.preshared
    return said


def _shaped(field: Field, pattern: re.Pattern[str], what: str) -> str:
    """Return a text that is empty or matches *pattern*."""
    text = field.text()
    if text and not pattern.fullmatch(text):
        raise field.error(f"'{text}' is not {what}")
    return text


def settings(objects: Iterable[Mapping[str, Any]]) -> tuple[Settings, tuple[Problem, ...]]:
    """Return the settings that *objects* together make, and what in them means nothing.

    Objects of other kinds, and those not named ``default``, have no say. Where FelixConfiguration
    and FabricConfiguration set the same thing, the latter wins. Each field counts for itself: one
    that means nothing leaves the others in force, and where a choice is about what is let through
    it takes the strict side.
    """
    chosen: dict[str, Any] = {}
    problems: list[Problem] = []
    known = list(objects)
    for kind, meanings in (("FelixConfiguration", _FELIX), ("FabricConfiguration", _FABRIC)):
        for spec in [Field(obj)["spec"] for obj in known if _is_default(obj, kind)]:
            for name, meaning in meanings.items():
                field = spec[name]
                if not field.is_set:
                    continue
                try:
                    chosen[meaning.setting] = meaning.read(field)
                except ConvertError as error:
                    problems.append(Problem(error.field, error.message))
                    if meaning.strict is not None:
                        chosen[meaning.setting] = meaning.strict
    return Settings(**chosen), tuple(problems)


def _is_default(obj: Mapping[str, Any], kind: str) -> bool:
    return obj.get("kind") == kind and Metadata(Field(obj)).name == "default"


class _Meaning(msgspec.Struct, frozen=True):
    """What a field of a configuration sets."""

    setting: str
    read: Callable[[Field], Any]
    strict: Any = None
    """What holds when the field means nothing; None: the default."""


def _port(field: Field) -> int:
    return field.integer(0, low=1, high=65535)


def _vni(field: Field) -> int:
    """Return a VXLAN network identifier: 24 bits (RFC 7348 section 5)."""
    return field.integer(0, low=1, high=(1 << 24) - 1)


def _meshes(field: Field) -> tuple[Cidr, ...]:
    meshes = tuple([item.cidr() for item in field.items()])
    if not meshes:
        raise field.error("must name at least one network, or be left out")
    return meshes


def _rate(field: Field) -> Rate:
    found = _RATE.fullmatch(field.text())
    if found is None:
        raise field.error(
            f"'{field.text()}' is not a rate: write 1 to 9999, '/', and second, minute, hour or day"
        )
    return Rate(int(found[1]), Period(found[2]))


def _burst(field: Field) -> int:
    """Return a burst; 0 is the kernel's default (net/netfilter/nft_limit.c), as in Felix."""
    return field.integer(0, low=0, high=9999) or Settings().log_burst


def _flow_log_groups(field: Field) -> FlowLogGroups:
    field.only("ingress", "egress")
    default = FlowLogGroups()
    return FlowLogGroups(
        ingress=field["ingress"].integer(default.ingress, low=1, high=65535),
        egress=field["egress"].integer(default.egress, low=1, high=65535),
    )


def _failsafes(field: Field) -> tuple[FailsafePort, ...]:
    """Return the ports; none is a list without any (v3: the default stands for no list at all)."""
    return tuple([_failsafe(item) for item in field.items()])


def _failsafe(field: Field) -> FailsafePort:
    field["protocol"].required()
    if not field["port"].is_set:
        raise field["port"].error("must be set")
    return FailsafePort(
        protocol=field["protocol"].parsed(parse_protocol),
        port=field["port"].integer(0, low=0, high=65535),
        net=field["net"].parsed(Cidr.parse_loose) if field["net"].is_set else None,
    )


_TO_HOST = _Meaning(
    "endpoint_to_host", lambda field: field.one_of(_HOST_ACTIONS), strict=HostAction.DROP
)
_BOTH = {
    "vxlanPort": _Meaning("vxlan_port", _port),
    "vxlanVNI": _Meaning("vxlan_vni", _vni),
    "defaultEndpointToHostAction": _TO_HOST,
    "logPrefix": _Meaning("log_prefix", Field.text),
    "logActionRateLimit": _Meaning("log_rate", _rate),
    "logActionRateLimitBurst": _Meaning("log_burst", _burst),
}
_FELIX = _BOTH | {
    "wireguardListeningPort": _Meaning("wireguard_port", _port),
    # One that means nothing leaves upstream's: to lock an operator out is no strictness.
    "failsafeInboundHostPorts": _Meaning("failsafe_inbound", _failsafes),
    "failsafeOutboundHostPorts": _Meaning("failsafe_outbound", _failsafes),
}
_FABRIC = _BOTH | {
    "encryption": _Meaning(
        "encryption", lambda field: field.one_of(Encryption), strict=Encryption.ALL
    ),
    "wireguardPort": _Meaning("wireguard_port", _port),
    "tcpRelayPort": _Meaning("tcp_relay_port", lambda field: field.integer(0, low=0, high=65535)),
    "keyRotationHours": _Meaning(
        "key_rotation_hours", lambda field: field.integer(0, low=0, high=87_600)
    ),
    "keyEpoch": _Meaning("key_epoch", lambda field: field.integer(0, low=0, high=2**31 - 1)),
    "activeGateways": _Meaning("active_gateways", lambda field: field.integer(0, low=1, high=8)),
    "fullMeshNodes": _Meaning(
        "full_mesh_nodes", lambda field: field.integer(0, low=0, high=100_000)
    ),
    "keepaliveSeconds": _Meaning("keepalive_s", lambda field: field.integer(0, low=1, high=65535)),
    "deniedFlows": _Meaning(
        "denied_flows", lambda field: field.one_of(DeniedFlows), strict=DeniedFlows.END
    ),
    "flowLogGroups": _Meaning("flow_log_groups", _flow_log_groups),
    "meshCIDRs": _Meaning("mesh_cidrs", _meshes),
}

FELIX_FIELDS = frozenset(_FELIX)
"""What of a FelixConfiguration means something here; the rest is accepted and reported."""
