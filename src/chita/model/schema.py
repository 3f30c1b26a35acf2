"""A small language in which the structure of API objects is written down once.

Validation walks it, defaults come from it, and OpenAPI schemas of CRDs can be printed from it, so
each node has what OpenAPI has and no more. What a text means beyond its pattern is a `Format`,
whose check is in `chita.model.validate.formats`; rules over several fields are functions in
`chita.model.validate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from chita.model.kinds import Kind


class Format(StrEnum):
    """What a text is, beyond being one; the values are those of OpenAPI's ``format``."""

    ANY = ""
    SELECTOR = "calico-selector"
    SELECTOR_OR_GLOBAL = "calico-selector-or-global"
    """A selector, or ``global()`` alone."""
    CIDR = "cidr"
    """A network with a prefix length and without host bits."""
    CIDR_LOOSE = "cidr-loose"
    """A network with a prefix length; host bits are ignored (Kubernetes ``ipBlock``)."""
    CIDR_OR_ADDRESS = "cidr-or-ip"
    CIDR_OR_ADDRESS_LOOSE = "cidr-or-ip-loose"
    """As a network set has them: host bits are ignored."""
    ADDRESS = "ip"
    CLUSTER_IP = "cluster-ip"
    """An address, or None for a headless Service."""
    MAC = "mac"
    DNS_LABEL = "dns-label"
    DNS_SUBDOMAIN = "dns-subdomain"
    LABEL_KEY = "label-key"
    LABEL_VALUE = "label-value"
    ANNOTATION_KEY = "annotation-key"
    INTERFACE = "interface"
    PORT_NAME = "port-name"
    PROTOCOL = "protocol"
    """A protocol's name or number; also as an integer."""
    RULE_PORT = "rule-port"
    """A port, a range or a port's name, as rules of the v3 API have them; also an integer."""
    KUBERNETES_PORT = "kubernetes-port"
    """A port number as integer, or a port's name."""
    HTTP_PATH = "http-path"
    ADDRESS4 = "ipv4"
    ADDRESS6 = "ipv6"
    CIDR4 = "cidr-ipv4"
    CIDR6 = "cidr-ipv6"
    HOST_NETWORK4 = "cidr-or-ipv4-loose"
    """A node's own address, with or without the prefix length of its network."""
    HOST_NETWORK6 = "cidr-or-ipv6-loose"
    PEER_ADDRESS = "ip-port"
    """An address, or one with a port: ``192.0.2.1:179``, ``[2001:db8::1]:179``."""
    PORT_RANGE = "port-range"
    """A port or a range of ports, never a name; also an integer."""
    AS_NUMBER = "as-number"
    """4 bytes (RFC 6793), also as two numbers with a dot (RFC 5396); also an integer."""
    COMMUNITY = "bgp-community"
    """``aa:nn`` of 16 bits each (RFC 1997), or ``aa:nn:mm`` of 32 (RFC 8092)."""
    DURATION = "duration"
    """As Go writes one: ``1h30m``, ``90s``."""
    REGEX = "regex"
    """A regular expression as Go's: without look-around and back references."""
    WIREGUARD_KEY = "wireguard-key"
    """32 bytes in base64."""
    DSCP = "dscp"
    """0 to 63, or a name of RFC 2474, 2597 or 3246; also an integer."""


class Spelling(StrEnum):
    """Whether upper and lower case letters of a choice differ."""

    EXACT = "exact"
    ANY_CASE = "any-case"


class Pattern(msgspec.Struct, frozen=True):
    """What the whole of a text matches, and an *example* of it for who must mend one."""

    expression: str
    example: str


class Text(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A string. *choices*, when there are any, are all it may be."""

    format: Format = Format.ANY
    pattern: Pattern | None = None
    choices: tuple[str, ...] = ()
    spelling: Spelling = Spelling.EXACT
    """Of *choices*."""
    max_length: int | None = None


class Whole(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An integer within *minimum* and *maximum*, both included; or one of *choices*."""

    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[int, ...] = ()


class Number(msgspec.Struct, frozen=True, tag=True):
    """A finite number."""


class Flag(msgspec.Struct, frozen=True, tag=True):
    """True or false."""


class WholeOrText(msgspec.Struct, frozen=True, tag=True):
    """An integer or a string, which *format* checks as text."""

    format: Format


class ListOf(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A list of *item*s; *unique* ones if so, and null among them if *nullable*."""

    item: Schema
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    nullable: bool = False


class MapOf(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An object with keys of the user's choice."""

    value: Schema
    key: Format = Format.ANY


class Cel(msgspec.Struct, frozen=True):
    """A rule over several fields, as kube-apiserver checks it: an expression and its *message*.

    Of what a function of `chita.model.validate` says of the same object; never stricter. CEL:
    https://kubernetes.io/docs/reference/using-api/cel/.
    """

    expression: str
    message: str


class Record(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An object with the *fields* named here.

    *hints* has, for fields that are somewhere else or of another kind, what to write instead.
    An *open* record may have other fields too, which are not looked at.
    """

    fields: Mapping[str, Schema] = {}
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = {}
    hints: Mapping[str, str] = {}
    rules: tuple[Cel, ...] = ()
    open: bool = False


class Anything(msgspec.Struct, frozen=True, tag=True):
    """Any value: not looked at."""


Schema = Text | Whole | Number | Flag | WholeOrText | ListOf | MapOf | Record | Anything


class KindSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The structure of one kind's objects below ``metadata``, and what their names may be."""

    of: Kind
    name: Format = Format.DNS_SUBDOMAIN
    fields: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    open: bool = False
    """Whether fields beyond *fields* are ignored: Kubernetes' own kinds have many more."""

    def record(self, metadata: Schema) -> Record:
        """Return the whole object's schema, with *metadata*."""
        head = {"apiVersion": Text(), "kind": Text(), "metadata": metadata}
        return Record(
            fields={**head, **self.fields},
            required=("apiVersion", "kind", "metadata", *self.required),
            open=self.open,
        )
