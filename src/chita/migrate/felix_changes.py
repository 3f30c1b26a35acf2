"""What becomes of FelixConfiguration: which of its fields are read here, and what the rest did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.convert.documents import Entry
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.raw import part
from chita.model.schemas.felix import SPEC, USED_FIELDS

_ENCRYPTION: Final = (
    "here traffic between locations is encrypted, and within one with encryption: All of the "
    "FabricConfiguration (chita install --encryption All); a node that is not moved yet can't "
    "read what a moved one encrypts, so turn it off here before the first node, on after the last"
)
_CHANGED: Final = {
    "bpfEnabled": "there is no eBPF data plane here: policy is nftables, and services are "
    "kube-proxy's; let kube-proxy run on a node before it is moved",
    "wireguardEnabled": _ENCRYPTION,
    "wireguardEnabledV6": _ENCRYPTION,
    "wireguardHostEncryptionEnabled": "traffic of the nodes themselves is not encrypted here",
    "floatingIPs": "there are no floating addresses here: pods lose those of annotations",
    "natOutgoingAddress": "pods leave under the address of their node's interface instead",
    "natOutgoingExclusions": "pods reach other nodes under their node's address all the same",
    "natPortRange": "the kernel chooses the ports",
    "workloadSourceSpoofing": "pods send from their own addresses only, whatever annotations say",
    "serviceLoopPrevention": "a packet to a service address that nobody has is not stopped here",
    "iptablesFilterDenyAction": "what is denied is dropped, never rejected",
    "nftablesFilterDenyAction": "what is denied is dropped, never rejected",
    "iptablesFilterAllowAction": "what is allowed here still meets others' nftables rules",
    "nftablesFilterAllowAction": "what is allowed here still meets others' nftables rules",
    "allowIPIPPacketsFromWorkloads": "pods never send IP-in-IP here",
    "allowVXLANPacketsFromWorkloads": "pods never send VXLAN to the port of the nodes here",
    "externalNodesList": "hosts outside the cluster come in by chita node join or as StaticPeer",
    "routeSource": "routes follow blocks of IPAM here",
    "interfacePrefix": "interfaces of pods begin with cali here",
    "flowLogsGoldmaneServer": "flows are not sent to Goldmane",
    "policySyncPathPrefix": "there is no policy sync socket here, so Envoy is told nothing",
}
"""Fields without effect here that did change what becomes of packets, and what happens instead."""
_SIZES: Final = ("ipipMTU", "vxlanMTU", "vxlanMTUV6", "wireguardMTU", "wireguardMTUV6")
_OFF: Final = (None, False, "", 0, "Disabled", "IPPoolsOnly", "Accept", "Drop", "CalicoIPAM")
"""Values with which a field of `_CHANGED` did nothing, or what is done here."""


def felix_changes(export: Export) -> Iterator[Finding]:
    """Yield what will be otherwise with each field that is set."""
    entries = list(export.of("FelixConfiguration"))
    for entry in entries:
        yield from _fields(entry, part(entry.raw, "spec"))
    yield from _host_action(entries)


def _fields(entry: Entry, spec: Mapping[str, Any]) -> Iterator[Finding]:
    is_default = entry.name == "default"
    for field, value in spec.items():
        path = f"spec.{field}"
        if value is None or field not in SPEC.fields or value == SPEC.defaults.get(field):
            continue
        if field in USED_FIELDS:
            if is_default:
                yield finding(Effect.KEPT, entry, path, f"is {_text(value)} here too")
            else:
                message = "has no effect: only the object named default is read here"
                yield finding(Effect.CHANGES, entry, path, message)
        elif field in _SIZES:
            message = (
                f"{value}: here each node finds out what its network carries; "
                f"chita install --pod-mtu sets the MTU of pods"
            )
            yield finding(Effect.CHANGES, entry, path, message)
        elif field in _CHANGED and value not in _OFF:
            yield finding(Effect.CHANGES, entry, path, _CHANGED[field])
        else:
            yield finding(Effect.IGNORED, entry, path, "is not used here")


def _text(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)


def _host_action(entries: list[Entry]) -> Iterator[Finding]:
    """Yield a word on what pods may send to their node, where nobody wrote it.

    Felix's own default is Drop; the manifests and the operator of Calico set Accept in the
    environment of the daemon, which no export has.
    """
    field = "spec.defaultEndpointToHostAction"
    message = (
        "is not written: here Accept, which Calico's manifests set by "
        "FELIX_DEFAULTENDPOINTTOHOSTACTION; write Drop if your daemons have none"
    )
    for entry in entries:
        written = part(entry.raw, "spec").get("defaultEndpointToHostAction")
        if entry.name == "default" and written is None:
            yield finding(Effect.CHANGES, entry, field, message)
