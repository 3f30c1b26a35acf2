"""Who we are to the API server, and how we know it is the server: a kubeconfig, or parts of one."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

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
        """Return a context that trusts only the configured authority, and proves who we are.

        Raises:
            InputError: a certificate or key is no PEM, or they do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=self.ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise InputError(f"the CA certificate for {self.server}: {error}") from error
        self.prove(context)
        return context

    def prove(self, context: ssl.SSLContext) -> None:
        """Let connections that *context* opens from now on prove who we are.

        The standard library loads key pairs from files alone: they are written to a directory
        that is gone again when this returns.

        Raises:
            InputError: certificate or key is no PEM, or they do not belong together.
        """
        if self.client_certificate_pem:
            with tempfile.TemporaryDirectory(prefix="chita-") as directory:
                pair = Path(directory) / "pair.pem"
                pair.touch(mode=0o600)
                pair.write_text(self.client_certificate_pem + "\n" + self.client_key_pem)
                try:
                    context.load_cert_chain(pair)
                except ssl.SSLError as error:
                    what = f"the client certificate and key for {self.server}"
                    raise InputError(f"{what}: {error}") from error


def read_kubeconfig(path: Path, context: str = "") -> ApiConfig:
    """Return the server and credentials of a kubeconfig's current (or named) context.

    Raises:
        InputError: the file is missing or not a kubeconfig, or the context is not complete.
    """
    import yaml  # here: an agent that joins and the server's own clients do without its 60 ms

    try:
        document = yaml.safe_load(path.read_text())
        wanted = context or document["current-context"]
        chosen = _named(document, "contexts", "context", wanted)
        cluster = _named(document, "clusters", "cluster", chosen["cluster"])
        user = _named(document, "users", "user", chosen["user"])
        if unusable := _NOT_SUPPORTED & user.keys():
            raise InputError(
                f"kubeconfig {path}: user {chosen['user']}: {min(unusable)} is not supported; "
                "use a client certificate or a token"
            )
        config = ApiConfig(
            server=str(cluster["server"]).rstrip("/"),
            ca_pem=_pem(cluster, "certificate-authority", path),
            client_certificate_pem=_pem(user, "client-certificate", path),
            client_key_pem=_pem(user, "client-key", path),
            token=_token(user, path),
        )
    except OSError as error:
        where = "" if error.filename in {None, str(path)} else f" of kubeconfig {path}"
        name = error.filename or path
        raise InputError(f"{name}{where}: {error.strerror}; set --kubeconfig") from error
    except KeyError as error:
        raise InputError(f"kubeconfig {path} has no {error.args[0]}") from error
    except (TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"kubeconfig {path} is not usable: {error}") from error
    if not config.ca_pem:
        raise InputError(
            f"kubeconfig {path}: cluster {chosen['cluster']} has no certificate-authority-data: "
            "nothing says which server to trust"
        )
    return config


_NOT_SUPPORTED = frozenset({"exec", "auth-provider", "username"})
"""Ways to prove who one is that kubectl has and this client has not."""


def _named(document: Mapping[str, Any], kind: str, field: str, name: str) -> Mapping[str, Any]:
    for entry in document[kind] or ():
        if entry["name"] == name:
            found: Mapping[str, Any] = entry[field] or {}
            return found
    raise KeyError(f"{field} named {name}")


def _token(user: Mapping[str, Any], kubeconfig: Path) -> str:
    """Return the bearer token, inline or from ``tokenFile`` (which wins, as in client-go)."""
    if "tokenFile" in user:
        return (kubeconfig.parent / str(user["tokenFile"])).read_text().strip()
    return str(user.get("token", ""))


def _pem(section: Mapping[str, Any], field: str, kubeconfig: Path) -> str:
    """Return a PEM given inline (``<field>-data``, base64) or as a file; empty when neither is."""
    if f"{field}-data" in section:
        return base64.b64decode(section[f"{field}-data"]).decode()
    if field in section:
        return (kubeconfig.parent / str(section[field])).read_text()
    return ""
