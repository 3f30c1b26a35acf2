"""Certificates, keys and kubeconfigs of a cluster.

By the authority that `chita server` has. Which there are: Kubernetes' documentation, "PKI
certificates and requirements".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from chita.api.private_file import write_private
from chita.server.pki import Identity, kubeconfig, load_or_make_authority

MASTERS = "system:masters"
"""The group that may do everything."""

_SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")


class Credentials(msgspec.Struct, frozen=True):
    """The files of one cluster's credentials, all below one directory."""

    directory: Path
    server: str
    """URL of the API server."""

    @property
    def authority(self) -> Path:
        """The certificate that everybody trusts."""
        return self.directory / "ca.crt"

    @property
    def accounts_key(self) -> Path:
        """What signs the tokens of service accounts."""
        return self.directory / "accounts.key"

    @property
    def accounts_public_key(self) -> Path:
        """What proves them."""
        return self.directory / "accounts.pub"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of *name*."""
        return self.directory / f"{name}.kubeconfig"

    def make(self, addresses: Sequence[str], nodes: Sequence[str]) -> None:
        """Write all of them, for an API server at *addresses* and kubelets on *nodes*.

        Raises:
            EngineError: the files can't be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        authority = load_or_make_authority(self.directory)
        trusted = self.authority.read_bytes()
        self._write("apiserver", authority.server([*_SERVICE_NAMES, *addresses]))
        self._write("to-kubelets", authority.client("kube-apiserver-kubelet-client", [MASTERS]))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private(
            self.accounts_key,
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        self.accounts_public_key.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        users: dict[str, tuple[str, list[str]]] = {
            "admin": ("admin", [MASTERS]),
            "controllers": ("system:kube-controller-manager", []),
            "scheduler": ("system:kube-scheduler", []),
            "proxy": ("system:kube-proxy", []),
        }
        users |= {f"kubelet-{node}": (f"system:node:{node}", ["system:nodes"]) for node in nodes}
        for name, (user, groups) in users.items():
            text = kubeconfig(self.server, trusted, authority.client(user, groups))
            write_private(self.kubeconfig(name), text)

    def _write(self, name: str, identity: Identity) -> None:
        certificate, key = self.pair(name)
        certificate.write_bytes(identity.certificate)
        write_private(key, identity.key)
