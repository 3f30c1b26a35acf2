"""The cluster's certificates: an authority of our own, a server's and the clients' certificates.

Made on the first start and kept in the data directory, keys readable by their owner only. ECDSA on
P-256 throughout: small, fast to sign, and taken by every client.
"""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chita.api.private_file import write_private
from chita.errors import EngineError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
CLOCK_SKEW = timedelta(minutes=5)  # a node's clock may be behind ours


class Identity(msgspec.Struct, frozen=True):
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates for this cluster."""

    def __init__(self, identity: Identity) -> None:
        self.certificate_pem = identity.certificate
        self._certificate = x509.load_pem_x509_certificate(identity.certificate)
        key = serialization.load_pem_private_key(identity.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def server(self, names: Sequence[str], at: datetime | None = None) -> Identity:
        """Return a new server certificate for host names and addresses, made *at* a time or now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            _name("chita-server"),
            key.public_key(),
            ExtendedKeyUsageOID.SERVER_AUTH,
            self.server_names(names),
            at=at,
        )
        return Identity(certificate, _private_pem(key))

    @staticmethod
    def server_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
        """Return host names and addresses as a server certificate has them."""
        return x509.SubjectAlternativeName([_alternative(name) for name in dict.fromkeys(names)])

    def client(self, user: str, groups: Sequence[str]) -> Identity:
        """Return a new client certificate and key for a user."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            _name(user, groups), key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH
        )
        return Identity(certificate, _private_pem(key))

    def sign_request(self, request_pem: str, user: str, groups: Sequence[str]) -> bytes:
        """Return a client certificate for the key of a signing request; its names are ignored.

        Raises:
            InputError: it is no signing request, its signature is wrong, or its key is too weak.
        """
        try:
            request = x509.load_pem_x509_csr(request_pem.encode())
        except ValueError as error:
            raise InputError(f"csr: not a PEM certificate signing request: {error}") from error
        key = request.public_key()
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise InputError("csr: it must be signed by its own ECDSA key (P-256 or larger)")
        if key.curve.key_size < 256:
            raise InputError(f"csr: {key.curve.name} is too short; use P-256")
        return self._sign(_name(user, groups), key, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier,
        *extensions: x509.ExtensionType,
        at: datetime | None = None,
    ) -> bytes:
        builder = _builder(subject, self._certificate.subject, key, LEAF_DAYS, at)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        builder = builder.add_extension(_authority_key(self._certificate), False)
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        return _public_pem(builder.sign(self._key, hashes.SHA256()))


def load_or_make_authority(directory: Path) -> Authority:
    """Return the authority kept in *directory*, made there if there is none.

    Raises:
        EngineError: the files can't be read or written.
    """
    certificate, key = directory / "ca.crt", directory / "ca.key"
    try:
        if not key.exists():
            made = new_authority()
            write_private(certificate, made.certificate)
            write_private(key, made.key)  # last: its presence says that both are there
        return Authority(Identity(certificate.read_bytes(), key.read_bytes()))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"certificate authority in {directory}: {error}; restore ca.crt and ca.key, or remove "
            "both to found a new cluster (every node must join again)"
        ) from error


def kubeconfig(server: str, authority: bytes, identity: Identity) -> bytes:
    """Return a kubeconfig for *server* (a URL), with everything inline."""

    def text(content: bytes) -> str:
        return base64.b64encode(content).decode()

    # Written out: URLs and base64 need no quotes, and a YAML library takes 60 ms of the start.
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: chita
  cluster:
    server: {server}
    certificate-authority-data: {text(authority)}
users:
- name: admin
  user:
    client-certificate-data: {text(identity.certificate)}
    client-key-data: {text(identity.key)}
contexts:
- name: chita
  context:
    cluster: chita
    user: admin
current-context: chita
""".encode()


def new_authority(at: datetime | None = None) -> Identity:
    """Return the certificate and key of a new authority, made *at* a time or now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("chita-ca")
    builder = _builder(subject, subject, key.public_key(), AUTHORITY_DAYS, at)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    builder = builder.add_extension(
        x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        ),
        True,
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
    )
    return Identity(_public_pem(builder.sign(key, hashes.SHA256())), _private_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    days: int,
    at: datetime | None,
) -> x509.CertificateBuilder:
    now = at or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _authority_key(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _name(common: str, organizations: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _public_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
