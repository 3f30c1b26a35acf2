"""What each cloud's metadata service answers: the provider's documents, headers and tokens.

Who asks is told by the source address, as there. Only what a node's agent may want is served: of
the hundreds of keys those that say where a node stands. Sources of paths and forms: the same as of
`chita.cloud`, which reads them.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chita.convert.documents import Object
from chita.lab.netns import entered, netns_path
from chita.lab.places import METADATA_ADDRESS, Cloud, NodePlace
from chita.lab.topology import Topology
from chita.lab.underlay import Provider
from chita.lab.world import World

PORT = 80

_ZONE = "topology.kubernetes.io/zone"

_LONGEST_TTL_S = 21600
"""Of a token of AWS's."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A node as its cloud knows it."""

    name: str
    mac: str
    region: str
    zone: str
    """As Kubernetes' zone label has it; empty: the provider's first."""
    network: str
    """The cloud's name: what ids of networks are made from."""
    mtu_bytes: int
    private: tuple[str, ...]
    public: tuple[str, ...]


class CloudMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The service of one cloud."""

    namespace: str
    """Path of the router's network namespace."""
    provider: Provider
    instances: tuple[Instance, ...]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = {}


_NOT_FOUND = Reply(status=404)
_FORBIDDEN = Reply(status=403)


def metadata_services(world: World, topology: Topology) -> list[CloudMetadata]:
    """Return the services of *topology*'s clouds; a cloud without one is not among them."""
    zones = {node["metadata"]["name"]: _zone(node) for node in world.of_kind("Node")}
    return [
        CloudMetadata(
            namespace=str(netns_path(cloud.namespace)),
            provider=cloud.provider,
            instances=tuple(_instance(cloud, node, zones[node.name]) for node in cloud.nodes),
        )
        for cloud in topology.clouds
        if cloud.has_metadata
    ]


def _zone(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get(_ZONE) or "")


def _instance(cloud: Cloud, node: NodePlace, zone: str) -> Instance:
    _, _, region = cloud.location.partition("-")
    return Instance(
        name=node.name,
        mac=node.mac,
        region=region,
        zone=zone,
        network=cloud.name,
        mtu_bytes=cloud.mtu_bytes,
        private=tuple(str(address) for address in node.private_addresses),
        public=tuple(str(address) for address in node.public_addresses),
    )


def answering(namespace: Path) -> bool:
    """Whether the service of the router in *namespace* accepts connections."""
    with entered(namespace), socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((str(METADATA_ADDRESS), PORT)) == 0


class Service:
    """The service of one cloud, with the tokens it gave out."""

    def __init__(self, metadata: CloudMetadata) -> None:
        self._provider = metadata.provider
        self._by_address = {
            address: instance for instance in metadata.instances for address in instance.private
        }
        self._tokens: dict[str, Instance] = {}

    def answer(self, source: str, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Return what *source* is told; *path* includes the query, *headers* ignore case."""
        instance = self._by_address.get(source)
        if instance is None:
            return _FORBIDDEN
        match self._provider:
            case Provider.AWS:
                return self._aws(instance, method, path, headers)
            case Provider.GCP:
                return _gcp(instance, method, path, headers)
            case Provider.AZURE:
                return _azure(instance, method, path, headers)
            case _:
                return _openstack(instance, method, path)

    def _aws(self, instance: Instance, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """IMDSv2 alone: a token by PUT, not through a proxy, valid for whom it was given to."""
        if method == "PUT" and path == "/latest/api/token":
            if "X-Forwarded-For" in headers:
                return _FORBIDDEN
            ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if not ttl.isdigit() or not 1 <= int(ttl) <= _LONGEST_TTL_S:
                return Reply(status=400)
            token = secrets.token_urlsafe(40)
            self._tokens[token] = instance
            return Reply(body=token, headers={"X-aws-ec2-metadata-token-ttl-seconds": ttl})
        if self._tokens.get(headers.get("X-aws-ec2-metadata-token", "")) != instance:
            return Reply(status=401)
        key = path.removeprefix("/latest/meta-data/")
        text = _aws_texts(instance).get(key, "") if method == "GET" else ""
        return Reply(body=text) if text else _NOT_FOUND


def _aws_texts(instance: Instance) -> dict[str, str]:
    vpc = "vpc-" + hashlib.sha256(instance.network.encode()).hexdigest()[:17]
    return {
        "placement/region": instance.region,
        "placement/availability-zone": instance.zone or f"{instance.region}a",
        "local-ipv4": _first(instance.private, 4),
        "public-ipv4": _first(instance.public, 4),
        "mac": instance.mac,
        "hostname": instance.name,
        f"network/interfaces/macs/{instance.mac}/vpc-id": vpc,
    }


def _gcp(instance: Instance, method: str, path: str, headers: Mapping[str, str]) -> Reply:
    if headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in headers:
        return _FORBIDDEN
    if method != "GET" or path != "/computeMetadata/v1/instance/?recursive=true":
        return _NOT_FOUND
    zone = instance.zone or f"{instance.region}-a"
    public = _first(instance.public, 4)
    interface = {
        "accessConfigs": [{"externalIp": public, "type": "ONE_TO_ONE_NAT"}] if public else [],
        "ip": _first(instance.private, 4),
        "mac": instance.mac,
        "mtu": instance.mtu_bytes,
        "network": f"projects/100000000001/networks/{instance.network}",
    }
    document = {
        "name": instance.name,
        "zone": f"projects/100000000001/zones/{zone}",
        "networkInterfaces": [interface],
    }
    return _json(document, {"Metadata-Flavor": "Google"})


def _azure(instance: Instance, method: str, path: str, headers: Mapping[str, str]) -> Reply:
    """Answer as IMDS does; a public address is a standard one, in the balancer's document.

    Nothing tells of the 1400 bytes that the network carries, nor does it there.
    """
    if headers.get("Metadata", "").lower() != "true":
        return Reply(status=400)
    resource, _, query = path.partition("?")
    if method != "GET" or not query.startswith("api-version="):
        return Reply(status=400)
    if resource == "/metadata/instance":
        return _json(_azure_instance(instance))
    if resource == "/metadata/loadbalancer" and instance.public:
        pairs = [
            {"frontendIpAddress": public, "privateIpAddress": private}
            for family in (4, 6)
            if (public := _first(instance.public, family))
            and (private := _first(instance.private, family))
        ]
        return _json({"loadbalancer": {"publicIpAddresses": pairs, "inboundRules": []}})
    return _NOT_FOUND


def _azure_instance(instance: Instance) -> object:
    zone = instance.zone.removeprefix(f"{instance.region}-") or "1"
    families = {
        f"ipv{family}": {
            "ipAddress": [
                {"privateIpAddress": address, "publicIpAddress": ""}
                for address in instance.private
                if (":" in address) == (family == 6)
            ]
        }
        for family in (4, 6)
    }
    return {
        "compute": {
            "azEnvironment": "AzurePublicCloud",
            "location": instance.region,
            "name": instance.name,
            "zone": zone,
        },
        "network": {
            "interface": [{**families, "macAddress": instance.mac.replace(":", "").upper()}]
        },
    }


def _openstack(instance: Instance, method: str, path: str) -> Reply:
    """Answer as Nova does: no region, the floating address in the EC2-style tree, maybe empty."""
    if method != "GET":
        return _NOT_FOUND
    documents: dict[str, object] = {
        "/openstack/latest/meta_data.json": {
            "uuid": _uuid(f"instance/{instance.name}"),
            "name": instance.name,
            "availability_zone": instance.zone or "nova",
        },
        "/openstack/latest/network_data.json": {
            "links": [
                {
                    "id": "tap0",
                    "type": "ovs",
                    "mtu": instance.mtu_bytes,
                    "ethernet_mac_address": instance.mac,
                }
            ],
            "networks": [
                {
                    "id": f"network{index}",
                    "link": "tap0",
                    "type": "ipv6" if ":" in address else "ipv4",
                    "ip_address": address,
                    "network_id": _uuid(f"network/{instance.network}"),
                }
                for index, address in enumerate(instance.private)
            ],
        },
    }
    if path in documents:
        return _json(documents[path])
    texts = {
        "/latest/meta-data/local-ipv4": _first(instance.private, 4),
        "/latest/meta-data/public-ipv4": _first(instance.public, 4),
    }
    return Reply(body=texts[path]) if path in texts else _NOT_FOUND


def _first(addresses: tuple[str, ...], family: int) -> str:
    """Return the first address of *family*; empty when there is none."""
    return next((text for text in addresses if (":" in text) == (family == 6)), "")


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _json(document: object, headers: dict[str, str] | None = None) -> Reply:
    body = msgspec.json.encode(document).decode()
    return Reply(body=body, headers={"Content-Type": "application/json", **(headers or {})})
