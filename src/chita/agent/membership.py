"""How a host that only knows a URL, a token and a fingerprint becomes a member of the cluster.

The token proves the host to the server; the fingerprint proves the server to the host, before the
token is sent (as kubeadm's ``--discovery-token-ca-cert-hash``). What was learned is kept in the
state directory, so that the agent needs no options afterwards.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chita.agent.settings import AgentSettings
from chita.errors import ApiError, InputError

AUTHORITY_PATH = "/chita/v1/ca"
HASH = "sha256:"
TIMEOUT_S = 10.0
MAX_AUTHORITY_BYTES = 1 << 16

_FILE = "membership.json"
_AUTHORITY_FILE = "ca.crt"


class Membership(msgspec.Struct, frozen=True):
    """Which cluster this host belongs to, and as whom."""

    node: str
    server: str
    """Base URL."""
    preshared_key_file: str = ""
    """Absolute; empty: there is none."""


def fingerprint(authority_pem: str) -> str:
    """Return ``sha256:`` and the hash of the authority's public key (its SubjectPublicKeyInfo).

    Raises:
        InputError: *authority_pem* is no certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(authority_pem.encode())
    except ValueError as error:
        raise InputError(f"the CA certificate is not readable: {error}") from error
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return HASH + hashlib.sha256(key).hexdigest()


def verified_authority(server: str, expected: str) -> str:
    """Return the server's CA certificate (PEM) if its fingerprint is *expected*. Blocking.

    Nothing is sent but the request for it, and nothing in the answer is believed but what the
    fingerprint proves.

    Raises:
        InputError: *server* is no https URL, or the certificate is another one.
        ApiError: the server does not answer.
    """
    url = urlsplit(server)
    if url.scheme != "https" or not url.hostname:
        raise InputError(f"{server!r} is no server: write https://HOST:PORT")
    if not expected.startswith(HASH):
        raise InputError(f"--ca-hash: {expected!r}: write {HASH} and 64 digits, as printed by "
                         "`chita node token`")  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        url.hostname, url.port or 443, timeout=TIMEOUT_S, context=context
    )
    try:
        connection.request("GET", AUTHORITY_PATH)
        answer = connection.getresponse()
        content = answer.read(MAX_AUTHORITY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise ApiError(f"{server} does not answer: {error}", status=0) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ApiError(f"{server}{AUTHORITY_PATH}: {answer.status} {answer.reason}: is it a Chita "
                       "server?", status=answer.status)  # fmt: skip
    authority_pem = content.decode("ascii", errors="replace")
    found = fingerprint(authority_pem)
    if not hmac.compare_digest(found, expected.lower()):
        raise InputError(
            f"{server} has another CA than you were told: {found}; the token was not sent. Ask "
            "`chita node token` on an administrator's machine, or somebody is in between"
        )
    return authority_pem


def remember(state_dir: Path, membership: Membership, authority_pem: str) -> Path:
    """Write down which cluster this host is to join; return the file with its CA certificate."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = state_dir / _AUTHORITY_FILE
    authority.write_text(authority_pem, encoding="ascii")
    (state_dir / _FILE).write_bytes(msgspec.json.encode(membership) + b"\n")
    return authority


def completed(settings: AgentSettings) -> AgentSettings:
    """Return *settings* with what `remember` wrote in place of what they leave out.

    Raises:
        InputError: neither says which node this is, or the file is damaged.
    """
    file = settings.state_dir / _FILE
    known: Membership | None = None
    try:
        known = msgspec.json.decode(file.read_bytes(), type=Membership)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{file}: {error}; join again: chita node join") from error
    if known is None:
        if not settings.node:
            raise InputError("the agent needs --node, or to have joined: chita node join")
        return settings
    if known.preshared_key_file and settings.preshared_key_file is None:
        file = Path(known.preshared_key_file)
        settings = msgspec.structs.replace(settings, preshared_key_file=file)
    if settings.kubeconfig is not None or settings.server:
        return msgspec.structs.replace(settings, node=settings.node or known.node)
    return msgspec.structs.replace(
        settings,
        node=settings.node or known.node,
        server=known.server,
        ca_file=settings.ca_file or settings.state_dir / _AUTHORITY_FILE,
    )
