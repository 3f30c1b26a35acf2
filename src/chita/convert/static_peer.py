"""StaticPeer objects: machines that are plain WireGuard peers of a gateway."""

from __future__ import annotations

from typing import Any

from chita.convert.fields import Field, Metadata
from chita.model.static_peer import Exported, StaticPeer
from chita.model.validate.settings_formats import wireguard_key_problem
from chita.model.validate.static_peer import static_peer_problems

API_VERSION = "chita.dev/v1alpha1"


def static_peer(obj: Field) -> StaticPeer:
    """Return a static peer; one that breaks a rule is none, wherever it was stored."""
    metadata, spec = Metadata(obj), obj["spec"]
    spec.only("publicKey", "addresses", "networks", "gateway", "keepaliveSeconds")
    key = spec["publicKey"].required()
    wrong = wireguard_key_problem(key)
    if wrong is not None:
        raise spec["publicKey"].error(wrong)
    found = StaticPeer(
        name=metadata.name,
        public_key=key,
        addresses=tuple([item.address() for item in spec["addresses"].items()]),
        networks=tuple([item.cidr() for item in spec["networks"].items()]),
        gateway=spec["gateway"].required(),
        keepalive_s=spec["keepaliveSeconds"].integer(25, low=0, high=65535),
        exported=_exported(obj["status"]["exported"]),
    )
    for problem in static_peer_problems(obj.map()):
        raise spec[problem.field.removeprefix("spec.")].error(problem.message)
    return found


def _exported(said: Field) -> Exported | None:
    if not said.is_set:
        return None
    return Exported(
        gateway_key=said["gatewayKey"].text(),
        endpoint=said["endpoint"].text(),
        allowed=tuple([item.cidr() for item in said["allowedIPs"].items()]),
    )


def static_peer_object(peer: StaticPeer) -> dict[str, Any]:
    """Return the API object that says *peer*; `static_peer` reads it back."""
    made: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "StaticPeer",
        "metadata": {"name": peer.name},
        "spec": {
            "publicKey": peer.public_key,
            "addresses": [str(address) for address in peer.addresses],
            "networks": [str(net) for net in peer.networks],
            "gateway": peer.gateway,
            "keepaliveSeconds": peer.keepalive_s,
        },
    }
    if peer.exported is not None:
        made["status"] = {
            "exported": {
                "gatewayKey": peer.exported.gateway_key,
                "endpoint": peer.exported.endpoint,
                "allowedIPs": [str(net) for net in peer.exported.allowed],
            }
        }
    return made
