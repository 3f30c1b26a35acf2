"""Who this node is: its client certificate, WireGuard key and VTEP address, kept across restarts.

Private keys are made here, never leave the node and are readable by root alone. A reboot must not
rotate them by accident (it would break every tunnel until all others have heard).
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chita.agent.settings import AgentSettings
from chita.api.auth import ApiConfig, read_kubeconfig
from chita.api.client import ApiClient
from chita.api.private_file import write_private
from chita.errors import InputError, ParseError
from chita.fabric.keys import decode_key, private_key_text
from chita.model.node import NODE_PREFIX, NODES

JOIN_PATH = "/chita/v1/join"

_KEY_BEGIN = "-----BEGIN PRIVATE KEY-----"  # RFC 7468 section 10


async def api_config(settings: AgentSettings) -> ApiConfig:
    """Return the credentials of this node, joining the cluster first where it has none yet.

    Raises:
        InputError: nothing says which server, or there is neither certificate nor token.
        ApiError: the server refused the token or did not answer.
    """
    if settings.kubeconfig is not None:
        return read_kubeconfig(settings.kubeconfig)
    if not settings.server or settings.ca_file is None:
        raise InputError("the agent needs --kubeconfig, or --server and --ca-file")
    try:
        ca_pem = settings.ca_file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InputError(f"CA certificate {settings.ca_file}: {error}") from error
    file = credentials_file(settings)
    why_not = why_unusable(file, ca_pem, datetime.now(UTC))
    if why_not:
        if not settings.join_token:
            raise InputError(f"{why_not}: pass --token to join")
        joining = ApiConfig(server=settings.server, ca_pem=ca_pem, token=settings.join_token)
        async with ApiClient(joining) as client:
            write_private(file, (await admission(client, settings.node, settings.host)).encode())
    certificate, key = parted(file.read_text(encoding="ascii"))
    return ApiConfig(
        server=settings.server,
        ca_pem=ca_pem,
        client_certificate_pem=certificate,
        client_key_pem=key,
    )


def credentials_file(settings: AgentSettings) -> Path:
    """Return where the node's certificate and its key are: in one file, so that they fit."""
    return settings.state_dir / "node.pem"


async def admission(client: ApiClient, node: str, host: str = "") -> str:
    """Return a certificate for *node* and the new key that it is for, PEM after PEM.

    Raises:
        ApiError: the server refused or did not answer.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    asked = {"node": node, "csr": signing_request(node, key)}
    answer = await client.post(JOIN_PATH, asked | ({"host": host} if host else {}))
    return f"{str(answer['certificate']).strip()}\n{key_pem.decode()}"


def parted(pair: str) -> tuple[str, str]:
    """Return the certificate and the key of an `admission`."""
    certificate, begin, key = pair.partition(_KEY_BEGIN)
    return certificate, begin + key


def why_unusable(certificate_file: Path, ca_pem: str, now: datetime) -> str:
    """Return why this node cannot use its client certificate; empty when it can.

    The server would end the connection without a word, so it is looked at here.

    Raises:
        InputError: *ca_pem* is no certificate.
    """
    try:
        authorities = x509.load_pem_x509_certificates(ca_pem.encode())
    except ValueError as error:
        raise InputError(f"the CA certificate is not readable: {error}") from error
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except FileNotFoundError:
        return f"{certificate_file.parent} has no client certificate yet"
    except ValueError as error:
        return f"{certificate_file} is not readable ({error})"
    if not any(_is_issued_by(certificate, authority) for authority in authorities):
        return f"{certificate_file} is of another CA than this server's"
    if certificate.not_valid_after_utc < now:
        return f"{certificate_file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def signing_request(node: str, key: ec.EllipticCurvePrivateKey) -> str:
    """Return the PEM request for a node's client certificate, named as Kubernetes names nodes."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES),
            x509.NameAttribute(NameOID.COMMON_NAME, NODE_PREFIX + node),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def wireguard_private_key(file: Path) -> str:
    """Return the WireGuard key in *file*, base64; it is made the first time.

    Raises:
        InputError: the file holds something else.
    """
    if not file.exists():
        write_private(file, private_key_text(X25519PrivateKey.generate()).encode())
    key = file.read_text(encoding="ascii", errors="replace").strip()
    try:
        decode_key(key)
    except ParseError as error:
        raise InputError(f"{file}: {error}; remove it, and a new one is made") from error
    return key


def preshared_key(file: Path) -> str:
    """Return the pre-shared key in *file*, base64, as ``wg genpsk`` prints it.

    Raises:
        InputError: there is none, it holds something else, or others may read it.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        key = file.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise InputError(f"pre-shared key {file}: {error.strerror}") from error
    if mode & 0o077:
        raise InputError(f"pre-shared key {file}: others may read it (mode {mode:o}): chmod 600")
    try:
        raw = decode_key(key)
    except ParseError as error:
        raise InputError(f"pre-shared key {file}: {error}; make one: wg genpsk") from error
    if not any(raw):
        # All zero is no key to WireGuard (whitepaper 5.2): tunnels would do without, unnoticed.
        raise InputError(f"pre-shared key {file}: all zero stands for none; make one: wg genpsk")
    return key


class PreviousKey(msgspec.Struct, frozen=True):
    """A public key that is about to go."""

    epoch: int
    public_key: str
    preshared: str = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What others must know to reach this node."""

    node: str
    wireguard_public_key: str
    wireguard_epoch: int = 0
    wireguard_preshared: str = ""
    """Fingerprint of the pre-shared key that goes with it; empty: none."""
    static_public_key: str = ""
    """For static peers; it never changes."""
    previous: PreviousKey | None = None
    """The WireGuard key before, while somebody needs it."""
    vtep_mac: str
