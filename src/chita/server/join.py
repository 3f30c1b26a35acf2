"""How a node becomes a member: a join token buys it a certificate and its mesh addresses.

Token, addresses and the node's object are ordinary writes to the store. Records that no API shows
have resources of their own: ``jointokens`` holds hashes, ``meshaddresses`` one key per address, so
that creating the key is the compare-and-swap that gives the address out once and for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.errors import ConflictError, ExhaustedError, InputError
from chita.model.kinds import known_kind
from chita.model.names import dns_subdomain_problem
from chita.model.node import EXTERNAL, HOST_LABEL, NODE_PREFIX, NODES
from chita.server import status
from chita.server.authorization import MESH_ANNOTATIONS
from chita.server.registry import Options
from chita.store.store import Key

if TYPE_CHECKING:
    from chita.server.pki import Authority
    from chita.server.registry import Registry
    from chita.store.store import Object

TOKENS = "jointokens.chita.dev"
ADDRESSES = "meshaddresses.chita.dev"
MESH_IPV4 = ipaddress.IPv4Network("100.64.0.0/16")  # of RFC 6598, shared address space
MESH_IPV6 = ipaddress.IPv6Network("fd00:100:64::/64")
MAX_NODES = MESH_IPV4.num_addresses - 2
MAX_NODE_NAME = 64 - len(NODE_PREFIX)  # X.520: a common name has at most 64 characters
MIN_TOKEN = 16  # characters
NEVER = "never"


class HostKind(StrEnum):
    """What joins."""

    NODE = ""
    """A node that runs pods."""
    EXTERNAL = EXTERNAL
    """A host that runs none: policy applies to it by its label."""


class JoinRequest(msgspec.Struct, frozen=True):
    """What a node sends: its name, and a PEM certificate signing request for its own key."""

    node: str
    csr: str
    host: HostKind = HostKind.NODE


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What it gets: its certificate, the authority's, and its addresses on the mesh."""

    node: str
    certificate: str
    ca: str
    mesh_ipv4: str = msgspec.field(name="meshIPv4")
    mesh_ipv6: str = msgspec.field(name="meshIPv6")


class Joining:
    """Admits nodes."""

    def __init__(self, registry: Registry, authority: Authority) -> None:
        self._registry = registry
        self._store = registry.store
        self._authority = authority
        self._one_at_a_time = asyncio.Lock()  # two joins of one node must agree on its address

    @property
    def authority_pem(self) -> bytes:
        """The certificate of the authority that signs for nodes and for the server itself."""
        return self._authority.certificate_pem

    async def add_token(self, token: str, lifetime: timedelta | None) -> None:
        """Accept *token* from now on; None: for ever. Only its hash is kept.

        Raises:
            InputError: it is short enough to be guessed.
        """
        if len(token) < MIN_TOKEN:
            raise InputError(
                f"join token: {len(token)} characters; at least {MIN_TOKEN}, "
                "such as `openssl rand -hex 16` prints"
            )
        expires = NEVER if lifetime is None else (datetime.now(UTC) + lifetime).isoformat()
        digest = _hash(token)
        key = Key(TOKENS, "", digest)
        value = {"metadata": {"name": digest}, "expires": expires}
        known = self._store.get(key)
        if known is None:
            await self._store.create(key, value)
        elif known.object["expires"] != expires:
            await self._store.update(key, value, expected=known.revision)

    async def new_token(self, lifetime: timedelta) -> str:
        """Return a new random token that is accepted for *lifetime*."""
        token = secrets.token_urlsafe(24)
        await self.add_token(token, lifetime)
        return token

    def is_valid(self, token: str) -> bool:
        """Whether *token* is one of ours and has not expired."""
        digest = _hash(token)
        now = datetime.now(UTC)
        found = False
        for stored in self._store.list(TOKENS).items:
            expires = stored.object["expires"]
            is_current = expires == NEVER or datetime.fromisoformat(expires) > now
            found |= is_current and hmac.compare_digest(stored.key.name, digest)
        return found

    async def join(self, asked: JoinRequest) -> JoinAnswer:
        """Admit a node; the token was checked. Again for a known node: it keeps its addresses.

        Raises:
            InputError: the name or the signing request is malformed.
            RefusedError: 507 when no address is left.
        """
        name = asked.node
        if len(name) > MAX_NODE_NAME or dns_subdomain_problem(name):
            raise InputError(
                f"node: {name!r}: letters a-z, digits, '-' and '.', at most {MAX_NODE_NAME} "
                "characters (a certificate's name has 64 with its prefix)"
            )
        certificate = self._authority.sign_request(asked.csr, NODE_PREFIX + name, [NODES])
        async with self._one_at_a_time:
            number = await self._number(name)
            ipv4, ipv6 = str(MESH_IPV4[number]), str(MESH_IPV6[number])
            annotations = dict(zip(MESH_ANNOTATIONS, (ipv4, ipv6), strict=True))
            await self._keep_node(name, annotations, _labels(asked.host))
        return JoinAnswer(
            node=name,
            certificate=certificate.decode(),
            ca=self._authority.certificate_pem.decode(),
            mesh_ipv4=ipv4,
            mesh_ipv6=ipv6,
        )

    async def _number(self, name: str) -> int:
        """Return the node's number, which is the host part of both of its addresses.

        Raises:
            ExhaustedError: all are given out.
        """
        taken: set[int] = set()
        for stored in self._store.list(ADDRESSES).items:
            if stored.object["node"] == name:
                return int(stored.key.name)
            taken.add(int(stored.key.name))
        for number in range(1, MAX_NODES + 1):
            if number in taken:
                continue
            key = Key(ADDRESSES, "", str(number))
            try:
                await self._store.create(key, {"metadata": {"name": str(number)}, "node": name})
            except ConflictError:  # another server on the same store was faster
                continue
            return number
        raise ExhaustedError(f"join {name}: all {MAX_NODES} mesh addresses are given out")

    async def _keep_node(
        self, name: str, annotations: dict[str, str], labels: dict[str, str]
    ) -> None:
        kind = known_kind("v1", "Node")

        def annotated(node: Object) -> Object:
            metadata = node["metadata"]
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
            if labels:
                metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
            metadata.pop("resourceVersion", None)  # a lost race is run again
            return node

        value: dict[str, Any] = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "annotations": annotations, "labels": labels},
            "spec": {},
        }
        try:
            await self._registry.create(kind, "", value, Options(manager="chita-join"))
        except status.RefusedError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._registry.change(kind, "", name, annotated, Options(manager="chita-join"))


def _labels(host: HostKind) -> dict[str, str]:
    """Return what a node is labelled by what it joined as; once external, it stays so."""
    match host:
        case HostKind.NODE:
            return {}
        case HostKind.EXTERNAL:
            return {HOST_LABEL: EXTERNAL}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
