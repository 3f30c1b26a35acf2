"""What is known of where a node stands, each fact with how it is known.

Answers of metadata services come from outside: a network may redirect 169.254.169.254 to a login
page, or a container may stand in for it. So every text is checked before it becomes a fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from chita.errors import ParseError
from chita.model.net import Address, Cidr

_T = TypeVar("_T")


class Provider(StrEnum):
    """Whose network it is; the values are the first part of a location's name."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    OPENSTACK = "openstack"


class Source(StrEnum):
    """How a fact is known, the strongest first."""

    LABEL = "label"
    """A label of the Node."""
    PROVIDER_ID = "providerID"
    """The Node's ``spec.providerID``."""
    NODE = "node"
    """The Node's ``status.addresses``."""
    METADATA = "metadata"
    """The metadata service on 169.254.169.254."""
    CONFIG_DRIVE = "config drive"
    """OpenStack's metadata on a disk."""
    DMI = "DMI"
    """What the firmware says of the machine."""


class Fact(msgspec.Struct, Generic[_T], frozen=True):
    """A value and how it is known."""

    value: _T
    source: Source


class CloudFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a node's place; None: nothing says."""

    provider: Fact[str] | None = None
    region: Fact[str] | None = None
    zone: Fact[str] | None = None
    network_id: Fact[str] | None = None
    """The provider's own name of the network; equal private ranges of two are not one."""
    private_addresses: Fact[tuple[Address, ...]] | None = None
    public_addresses: Fact[tuple[Address, ...]] | None = None
    """Where the internet can dial the node; often on none of its interfaces (1:1 NAT)."""
    wire_mtu_bytes: Fact[int] | None = None
    """What the provider says that its network carries."""

    @property
    def location(self) -> str:
        """``<provider>-<region>``; empty unless both are known."""
        if self.provider is None or self.region is None:
            return ""
        return f"{self.provider.value}-{self.region.value}"


NOTHING = CloudFacts()


def combined(*facts: CloudFacts) -> CloudFacts:
    """Return each fact as the first of *facts* that has it says."""
    result = NOTHING
    for given in reversed(facts):
        known = {
            field: value
            for field in CloudFacts.__struct_fields__
            if (value := getattr(given, field)) is not None
        }
        result = msgspec.structs.replace(result, **known)
    return result


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of regions, zones and networks: what a label's value may be (RFC 1123 in spirit)."""

_NOT_PUBLIC = tuple(
    Cidr.parse(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3", "::/8", "fc00::/7", "fe80::/10",
        "ff00::/8",
    )
)  # fmt: skip
"""Private, link-local, loopback, multicast (IANA special-purpose registries).

198.18.0.0/15, for tests of network devices (RFC 2544), is the lab's internet and therefore public.
"""


def name_fact(text: str, source: Source) -> Fact[str] | None:
    """Return the fact of a name; None when *text* is empty or cannot be one."""
    return Fact(text, source) if _NAME.fullmatch(text) else None


def address_fact(texts: Iterable[str], source: Source) -> Fact[tuple[Address, ...]] | None:
    """Return the fact of the addresses among *texts*, each once; None when there are none."""
    found = tuple(dict.fromkeys(_addresses(texts)))
    return Fact(found, source) if found else None


def public_fact(texts: Iterable[str], source: Source) -> Fact[tuple[Address, ...]] | None:
    """Return the fact of the addresses that anybody may dial; None when there are none.

    A floating address of a private range (an OpenStack without the internet) is none: other clouds
    would dial a stranger.
    """
    found = tuple(
        address
        for address in dict.fromkeys(_addresses(texts))
        if not any(address in network for network in _NOT_PUBLIC)
    )
    return Fact(found, source) if found else None


def mtu_fact(mtu_bytes: int | None, source: Source) -> Fact[int] | None:
    """Return the fact of an MTU; None when none is given or IPv6 could not use it (RFC 8200)."""
    if mtu_bytes is None or not 1280 <= mtu_bytes <= 65535:
        return None
    return Fact(mtu_bytes, source)


def decoded(document: bytes, kind: type[_T]) -> _T | None:
    """Return *document* as *kind*; None when it is something else, HTML above all."""
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _addresses(texts: Iterable[str]) -> Iterable[Address]:
    for text in texts:
        try:
            yield Address.parse(text.strip().strip("[]"))
        except ParseError:
            continue
