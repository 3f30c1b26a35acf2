"""How a server reaches its etcd: endpoints, certificates, time-outs."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from chita.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMES = ("http", "https")


class EtcdSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One etcd cluster, and which of its keys are ours.

    *timeout_s* bounds one answer of etcd; a write that has to find out whether it happened takes
    up to three times as long. *compaction_s* is how often history older than that is dropped from
    etcd; 0 leaves it to etcd's own ``--auto-compaction-retention``.
    """

    endpoints: tuple[str, ...]
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    prefix: str = "/chita/"
    timeout_s: float = 5.0
    compaction_s: float = 300.0

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS settings, None when no endpoint asks for TLS.

        Raises:
            InputError: a file can't be read, or certificate and key don't belong together.
        """
        if not any(endpoint.startswith("https:") for endpoint in self.endpoints):
            if self.cacert or self.cert or self.key:
                raise InputError(
                    "--etcd-cacert, --etcd-cert and --etcd-key have no effect on http:// "
                    "endpoints: write https://, or leave them out"
                )
            return None
        context = ssl.create_default_context(
            cafile=str(_readable("--etcd-cacert", self.cacert)) if self.cacert else None
        )
        if (self.cert is None) != (self.key is None):
            raise InputError("--etcd-cert and --etcd-key belong together: give both or none")
        if self.cert is not None:
            cert, key = _readable("--etcd-cert", self.cert), _readable("--etcd-key", self.key)
            try:
                context.load_cert_chain(cert, key)
            except ssl.SSLError as error:
                raise InputError(
                    f"--etcd-cert {cert} with --etcd-key {key}: {error}; give the PEM certificate "
                    "and the private key that belongs to it"
                ) from error
        return context


def parse_endpoints(text: str) -> tuple[str, ...]:
    """Return the URLs of a list with commas, as etcdctl takes it.

    Raises:
        InputError: it is empty, or one is not ``http(s)://HOST:PORT``.
    """
    endpoints = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not endpoints:
        raise InputError("--etcd-endpoints is empty; give https://HOST:2379, with commas between")
    for endpoint in endpoints:
        _check_endpoint(endpoint)
    return endpoints


def check_prefix(prefix: str) -> str:
    """Return *prefix* when it can stand before all of our keys.

    Raises:
        InputError: it does not start and end with a slash, so that others' keys could match it.
    """
    if len(prefix) < 3 or not prefix.startswith("/") or not prefix.endswith("/"):
        raise InputError(f"--etcd-prefix {prefix!r}: start and end with a slash, such as /chita/")
    return prefix


def _check_endpoint(endpoint: str) -> None:
    try:
        url = urlsplit(endpoint)
        is_complete = url.scheme in SCHEMES and url.hostname and url.port
    except ValueError:
        is_complete = False
    if not is_complete or url.path or url.query or url.username:
        raise InputError(f"etcd endpoint {endpoint!r}: write it as https://HOST:2379")


def _readable(option: str, path: Path | None) -> Path:
    try:
        if path is not None and path.read_bytes():
            return path
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}; give a PEM file") from error
    raise InputError(f"{option} {path}: the file is empty; give a PEM file")


def names_of(endpoints: Sequence[str]) -> str:
    """Return the endpoints as a message names them."""
    return ", ".join(endpoints)
