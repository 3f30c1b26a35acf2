"""Who we are to the API server, and how we know it is the server: a kubeconfig, or parts of one."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from chita.errors import InputError


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A server and the credentials for it."""

    server: str
    """Base URL, such as ``https://198.18.0.10:6443``."""
    ca_pem: str
    client_certificate_pem: str = ""
    client_key_pem: str = ""
    token: str = ""
    """Bearer token, used when there is no client certificate."""

    def headers(self) -> dict[str, str]:
        """Return the headers that say who we are, if a certificate does not."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that trusts only the configured authority.

        The standard library loads key pairs from files alone: they are written to a directory
        that is gone again when this returns.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca_pem)
        if self.client_certificate_pem:
            with tempfile.TemporaryDirectory(prefix="chita-") as directory:
                pair = Path(directory) / "pair.pem"
                pair.touch(mode=0o600)
                pair.write_text(self.client_certificate_pem + "\n" + self.client_key_pem)
                context.load_cert_chain(pair)
        return context


def read_kubeconfig(path: Path, context: str = "") -> ApiConfig:
    """Return the server and credentials of a kubeconfig's current (or named) context.

    Raises:
        InputError: the file is missing or not a kubeconfig, or the context is not complete.
    """
    try:
        document = yaml.safe_load(path.read_text())
        wanted = context or document["current-context"]
        chosen = _named(document, "contexts", "context", wanted)
        cluster = _named(document, "clusters", "cluster", chosen["cluster"])
        user = _named(document, "users", "user", chosen["user"])
        return ApiConfig(
            server=str(cluster["server"]).rstrip("/"),
            ca_pem=_pem(cluster, "certificate-authority", path),
            client_certificate_pem=_pem(user, "client-certificate", path),
            client_key_pem=_pem(user, "client-key", path),
            token=str(user.get("token", "")),
        )
    except OSError as error:
        raise InputError(f"kubeconfig {path}: {error.strerror}; set --kubeconfig") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"kubeconfig {path} is not usable: {error!r}") from error


def _named(document: Mapping[str, Any], kind: str, field: str, name: str) -> Mapping[str, Any]:
    for entry in document[kind]:
        if entry["name"] == name:
            found: Mapping[str, Any] = entry[field]
            return found
    raise KeyError(f"no {field} named {name}")


def _pem(section: Mapping[str, Any], field: str, kubeconfig: Path) -> str:
    """Return a PEM given inline (``<field>-data``, base64) or as a file; empty when neither is."""
    if f"{field}-data" in section:
        return base64.b64decode(section[f"{field}-data"]).decode()
    if field in section:
        return (kubeconfig.parent / str(section[field])).read_text()
    return ""
