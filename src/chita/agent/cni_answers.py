"""What CNI calls, attachments and results have to do with each other: pure translations."""

from __future__ import annotations

from pathlib import Path

from chita.agent.attachments import Attachment, AttachmentKey
from chita.cni.errors import CniError
from chita.cni.spec import LATEST, VERSIONS, CniCall, Interface, IpConfig, Result, parse_config
from chita.dataplane.pod_interface import GATEWAYS, HOST_MAC, PodInterface


def answer_version(config: str) -> str:
    """Return the version to answer an error in."""
    try:
        version = parse_config(config).get("cniVersion")
    except CniError:
        return LATEST
    return version if isinstance(version, str) and version in VERSIONS else LATEST


def attachment_key(call: CniCall) -> AttachmentKey:
    """Return what tells the attachment of *call* from others."""
    return AttachmentKey(call.config.name, call.container, call.interface)


def pod_interface(record: Attachment) -> PodInterface:
    """Return the interface that *record* is about."""
    return PodInterface(
        host_interface=record.host_interface,
        namespace=Path(record.netns),
        addresses=record.addresses,
        mtu_bytes=record.mtu_bytes,
        pod_interface=record.key.interface,
    )


def add_result(call: CniCall, record: Attachment) -> Result:
    """Return what an ADD that made *record* answers."""
    pod = pod_interface(record)
    return Result(
        interfaces=(
            Interface(name=pod.host_interface, mac=HOST_MAC, mtu_bytes=pod.mtu_bytes),
            Interface(
                name=pod.pod_interface,
                mac=pod.pod_mac,
                mtu_bytes=pod.mtu_bytes,
                sandbox=record.netns,
            ),
        ),
        ips=tuple(
            IpConfig(address=address, gateway=GATEWAYS[address.family], interface=1)
            for address in pod.addresses
        ),
        dns=call.config.dns,
    )
