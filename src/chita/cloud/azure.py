"""Azure: the Instance Metadata Service's two documents to facts.

Source: Azure documentation, "Azure Instance Metadata Service" and "Retrieve load balancer
information". A standard public address is missing in the first and stands in the second, which is
why cloud-provider-azure reads both.
"""

from __future__ import annotations

import re

import msgspec

from chita.cloud.facts import (
    NOTHING,
    CloudFacts,
    Fact,
    Provider,
    Source,
    address_fact,
    decoded,
    name_fact,
    public_fact,
)
from chita.model.net import Address

INSTANCE_PATH = "/metadata/instance?api-version=2021-02-01"
LOAD_BALANCER_PATH = "/metadata/loadbalancer?api-version=2020-10-01"
HEADERS = {"Metadata": "true"}

_LOCATION = re.compile(r"[a-z][a-z0-9]{0,62}")


class _HeldAddress(msgspec.Struct, frozen=True, rename="camel"):
    private_ip_address: str = ""
    public_ip_address: str = ""


class _Family(msgspec.Struct, frozen=True, rename="camel"):
    ip_address: tuple[_HeldAddress, ...] = ()


class _Interface(msgspec.Struct, frozen=True):
    ipv4: _Family = _Family()
    ipv6: _Family = _Family()


class _Network(msgspec.Struct, frozen=True):
    interface: tuple[_Interface, ...] = ()


class _Compute(msgspec.Struct, frozen=True, rename="camel"):
    location: str
    az_environment: str
    zone: str = ""


class _Instance(msgspec.Struct, frozen=True):
    compute: _Compute
    network: _Network = _Network()


class _Frontend(msgspec.Struct, frozen=True, rename="camel"):
    frontend_ip_address: str = ""
    private_ip_address: str = ""


class _Balancer(msgspec.Struct, frozen=True, rename="camel"):
    public_ip_addresses: tuple[_Frontend, ...] = ()


class _LoadBalancer(msgspec.Struct, frozen=True):
    loadbalancer: _Balancer = _Balancer()


def facts(instance: bytes, load_balancer: bytes = b"") -> CloudFacts:
    """Return what the answers say; nothing unless *instance* is one of Azure's.

    The zone is ``<location>-<number>`` as in Kubernetes' label; without zones it is not stated,
    since a bare fault domain's number repeats everywhere. Azure publishes no MTU and no network.
    """
    answer = decoded(instance, _Instance)
    if answer is None:
        return NOTHING
    location = answer.compute.location
    if not _LOCATION.fullmatch(location) or not answer.compute.az_environment:
        return NOTHING
    families = [f for i in answer.network.interface for f in (i.ipv4, i.ipv6)]
    addresses = [address for family in families for address in family.ip_address]
    private = address_fact([a.private_ip_address for a in addresses], Source.METADATA)
    zone = answer.compute.zone
    return CloudFacts(
        provider=Fact(Provider.AZURE, Source.METADATA),
        region=Fact(location, Source.METADATA),
        zone=name_fact(f"{location}-{zone}", Source.METADATA) if zone else None,
        private_addresses=private,
        public_addresses=public_fact(
            [*(a.public_ip_address for a in addresses), *_frontends(load_balancer, private)],
            Source.METADATA,
        ),
    )


def _frontends(document: bytes, private: Fact[tuple[Address, ...]] | None) -> list[str]:
    """Return the public addresses that lead to one of our *private* ones."""
    answer = decoded(document, _LoadBalancer) or _LoadBalancer()
    ours = {str(address) for address in private.value} if private else set()
    return [
        frontend.frontend_ip_address
        for frontend in answer.loadbalancer.public_ip_addresses
        if frontend.private_ip_address.strip("[]") in ours
    ]
