"""Certificates: what is in them, and who reads them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chita.api.auth import ApiConfig, read_kubeconfig
from chita.errors import EngineError, InputError
from chita.server import pki
from chita.server.users import User, user_of

if TYPE_CHECKING:
    from pathlib import Path


def test_authority_is_kept(tmp_path: Path) -> None:
    """Made once, then read; the key only for its owner; a half-lost one is told, not remade."""
    first = pki.load_or_make_authority(tmp_path)
    second = pki.load_or_make_authority(tmp_path)

    assert first.certificate_pem == second.certificate_pem
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(EngineError, match=r"restore ca\.crt"):
        pki.load_or_make_authority(tmp_path)


def test_server_certificate_names(tmp_path: Path) -> None:
    authority = pki.load_or_make_authority(tmp_path)
    made = authority.server(["api.example.com", "192.0.2.1", "2001:db8::1", "192.0.2.1"])
    certificate = x509.load_pem_x509_certificate(made.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["api.example.com"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == [
        "192.0.2.1",
        "2001:db8::1",
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_request_is_signed_for_our_names_only(tmp_path: Path) -> None:
    """Whatever the request calls itself, the certificate says what the server decided."""
    authority = pki.load_or_make_authority(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:masters")])
    request = x509.CertificateSigningRequestBuilder().subject_name(wish).sign(key, hashes.SHA256())
    text = request.public_bytes(serialization.Encoding.PEM).decode()
    signed = authority.sign_request(text, "system:node:a", ["system:nodes"])
    certificate = x509.load_pem_x509_certificate(signed)

    assert certificate.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate_pem))
    broken = text[:60] + ("A" if text[60] != "A" else "B") + text[61:]
    for bad in ("", "nonsense", broken):
        with pytest.raises(InputError, match="csr"):
            authority.sign_request(bad, "system:node:a", [])


def test_request_with_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    authority = pki.load_or_make_authority(tmp_path)
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    text = request.public_bytes(serialization.Encoding.PEM).decode()

    with pytest.raises(InputError, match="ECDSA"):
        authority.sign_request(text, "system:node:a", [])


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param((), None, id="no-name"),
        pytest.param(((("organizationName", "system:masters"),),), None, id="group-only"),
        pytest.param(((("commonName", "x"),),), User("x", ()), id="name"),
        pytest.param(
            (
                (("organizationName", "a"),),
                (("organizationName", "b"),),
                (("commonName", "x"),),
            ),
            User("x", ("a", "b")),
            id="groups",
        ),
    ],
)
def test_user_of(subject: tuple[tuple[tuple[str, str], ...], ...], expected: User | None) -> None:
    assert expected == user_of({"subject": subject})


def test_node_needs_both_name_and_group() -> None:
    """A name alone makes no node, nor does a group."""
    assert User("system:node:a", ("system:nodes",)).node == "a"
    assert not User("system:node:a", ()).node
    assert not User("a", ("system:nodes",)).node
    assert user_of(None) is None


@pytest.mark.parametrize("url", ["https://192.0.2.1:6443", "https://[2001:db8::1]:6443"])
def test_a_kubeconfig_is_read_back(tmp_path: Path, url: str) -> None:
    authority = pki.load_or_make_authority(tmp_path)
    identity = authority.client("admin", ["system:masters"])
    path = tmp_path / "admin.kubeconfig"
    path.write_bytes(pki.kubeconfig(url, authority.certificate_pem, identity))

    assert read_kubeconfig(path) == ApiConfig(
        server=url,
        ca_pem=authority.certificate_pem.decode(),
        client_certificate_pem=identity.certificate.decode(),
        client_key_pem=identity.key.decode(),
    )
