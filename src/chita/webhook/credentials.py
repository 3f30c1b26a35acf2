"""The webhook's certificates as one value, and which are due: pure, the time is an argument.

An authority is exchanged in three steps, so that at each moment the certificate that is served is
of an authority that the API servers have been told of: the coming one is made and told of, then it
signs, then the retired one is forgotten. Each step is one write of the Secret.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chita.server.pki import Authority, Identity, new_authority

SERVING_LEFT: Final = timedelta(days=120)
"""A certificate that is served for 365 days is exchanged with this left."""
AUTHORITY_LEFT: Final = timedelta(days=400)
"""No certificate outlives its authority; one that is exchanged still has whole ones to sign."""
SETTLED: Final = timedelta(hours=1)
"""How long each step of an exchange stands: all replicas look once a minute, API servers watch."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the Secret holds."""

    authority: Identity
    """Signs what is served."""
    serving: Identity
    coming: Identity | None = None
    """The authority that is told of already and will sign next."""
    retired: bytes = b""
    """Certificate of the authority before; some replica may still serve what it signed."""

    @property
    def bundle(self) -> bytes:
        """The authorities that API servers have to trust now, PEM."""
        coming = self.coming.certificate if self.coming is not None else b""
        return self.authority.certificate + coming + self.retired


def renewed(
    found: Credentials | None, told: bytes, names: Sequence[str], now: datetime
) -> Credentials:
    """Return what should be held; *found* itself when nothing is due.

    Args:
        found: what is held, None for nothing that can be used.
        told: the bundle that the API servers have been told of.
        names: whom the served certificate is for.
        now: the time, with its zone.
    """
    if found is None or _left(found.authority.certificate, now) <= timedelta():
        authority = new_authority(now)
        return Credentials(authority=authority, serving=_serving(authority, names, now))
    found = _exchanged(found, told, names, now)
    if _is_due(found, names, now):
        serving = _serving(found.authority, names, now)
        found = msgspec.structs.replace(found, serving=serving)
    return found


def _exchanged(found: Credentials, told: bytes, names: Sequence[str], now: datetime) -> Credentials:
    """Return *found* a step further in the exchange of its authority, if one is due."""
    replace = msgspec.structs.replace
    if (
        found.retired
        and now - _certificate(found.serving.certificate).not_valid_before_utc > SETTLED
    ):
        found = replace(found, retired=b"")
    coming = found.coming
    if coming is None:
        if _left(found.authority.certificate, now) > AUTHORITY_LEFT:
            return found
        return replace(found, coming=new_authority(now))
    is_told = coming.certificate.strip() in told
    if not is_told or _age(coming, now) <= SETTLED:
        return found
    return Credentials(
        authority=coming,
        serving=_serving(coming, names, now),
        retired=found.authority.certificate,
    )


def _is_due(found: Credentials, names: Sequence[str], now: datetime) -> bool:
    """Whether the certificate that is served ends soon, or API servers would not take it."""
    certificate = _certificate(found.serving.certificate)
    wanted = Authority.server_names(names)
    try:
        certificate.verify_directly_issued_by(_certificate(found.authority.certificate))
        kept = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, TypeError, ValueError, x509.ExtensionNotFound):
        return True
    is_future = certificate.not_valid_before_utc > now
    return is_future or wanted != kept or _left(found.serving.certificate, now) < SERVING_LEFT


def _serving(authority: Identity, names: Sequence[str], now: datetime) -> Identity:
    return Authority(authority).server(names, now)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _age(identity: Identity, now: datetime) -> timedelta:
    return now - _certificate(identity.certificate).not_valid_before_utc


def _left(pem: bytes, now: datetime) -> timedelta:
    return _certificate(pem).not_valid_after_utc - now


_PAIRS: Final = {"authority": "ca", "serving": "tls", "coming": "coming"}
"""The Secret's keys of a certificate and its key, less ``.crt`` and ``.key``."""
_RETIRED: Final = "retired.crt"


def secret_data(held: Credentials) -> dict[str, str | None]:
    """Return the ``data`` of a merge patch that makes a Secret hold *held*."""
    found: dict[str, str | None] = {_RETIRED: _text(held.retired) if held.retired else None}
    for field, name in _PAIRS.items():
        pair: Identity | None = getattr(held, field)
        found[f"{name}.crt"] = _text(pair.certificate) if pair is not None else None
        found[f"{name}.key"] = _text(pair.key) if pair is not None else None
    return found


def from_secret(data: Mapping[str, Any]) -> Credentials | None:
    """Return what a Secret's ``data`` holds; None when it is empty or can't be used."""
    try:
        plain = {key: base64.b64decode(str(text), validate=True) for key, text in data.items()}
        pairs = {
            field: _identity(plain[f"{name}.crt"], plain[f"{name}.key"])
            for field, name in _PAIRS.items()
            if f"{name}.crt" in plain
        }
        held = Credentials(retired=plain.get(_RETIRED, b""), **pairs)
        if held.retired:
            _certificate(held.retired)  # text around it would vanish in the bundle
        for authority in x509.load_pem_x509_certificates(held.bundle):
            # What signs is named in what is signed, so that of two authorities the right is taken.
            authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return None
    return held


def _identity(certificate: bytes, key: bytes) -> Identity:
    """Return a pair that belongs together, of a key as ours are.

    Raises:
        ValueError: it does not, or a part is no PEM.
        TypeError: the key is of another kind.
    """
    private = load_pem_private_key(key, None)
    if not isinstance(private, EllipticCurvePrivateKey):
        raise TypeError("the key is none of an elliptic curve")
    if _certificate(certificate).public_key() != private.public_key():
        raise ValueError("certificate and key do not belong together")
    return Identity(certificate, key)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
