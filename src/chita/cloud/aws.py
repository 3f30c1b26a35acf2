"""AWS: the texts of the instance metadata service to facts.

Sources: Amazon EC2 user guide, "Use the Instance Metadata Service" and "Instance metadata
categories". Version 2 alone is spoken: a token first, so that a careless proxy gives nothing away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from chita.cloud.facts import (
    NOTHING,
    CloudFacts,
    Fact,
    Provider,
    Source,
    address_fact,
    name_fact,
    public_fact,
)

TOKEN_PATH = "/latest/api/token"  # noqa: S105  a path
TOKEN_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105  a header's name
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
TOKEN_TTL_S = 60

ROOT = "/latest/meta-data/"
KEYS = (
    "placement/region",
    "placement/availability-zone",
    "local-ipv4",
    "public-ipv4",
    "mac",
)
"""What is asked for below `ROOT`; `vpc_key` is asked for when ``mac`` is known."""

_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{16,1024}")
_REGION = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def is_token(text: str) -> bool:
    """Whether *text* may be a session token: it becomes a header of the next requests."""
    return _TOKEN.fullmatch(text) is not None


def vpc_key(mac: str) -> str | None:
    """Return the key of the network of the interface *mac*; None when that is no address."""
    return f"network/interfaces/macs/{mac}/vpc-id" if _MAC.fullmatch(mac) else None


def facts(texts: Mapping[str, str]) -> CloudFacts:
    """Return what *texts*, by key, say; nothing without a region.

    AWS publishes no MTU: the interface has it (9001 inside a VPC).
    """
    region = texts.get("placement/region", "")
    if not _REGION.fullmatch(region):
        return NOTHING
    network = vpc_key(texts.get("mac", ""))
    return CloudFacts(
        provider=Fact(Provider.AWS, Source.METADATA),
        region=Fact(region, Source.METADATA),
        zone=name_fact(texts.get("placement/availability-zone", ""), Source.METADATA),
        network_id=name_fact(texts.get(network or "", ""), Source.METADATA),
        private_addresses=address_fact([texts.get("local-ipv4", "")], Source.METADATA),
        public_addresses=public_fact([texts.get("public-ipv4", "")], Source.METADATA),
    )
