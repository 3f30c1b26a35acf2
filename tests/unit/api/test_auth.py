"""Reading a kubeconfig: where credentials may stand, and what is said when they do not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from chita.api.auth import ApiConfig, read_kubeconfig
from chita.errors import InputError

CA, CERTIFICATE, KEY = "ca\n", "certificate\n", "key\n"


def inline(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return a kubeconfig's document with one context, ``here``."""
    server = {"server": "https://192.0.2.1:6443/", "certificate-authority-data": inline(CA)}
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
        "clusters": [{"name": "one", "cluster": server if cluster is None else cluster}],
        "users": [{"name": "me", "user": user or {}}],
        **changes,
    }


def write(directory: Path, document: Any) -> Path:
    path = directory / "kubeconfig"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    (directory / "ca.crt").write_text(CA)
    (directory / "me.crt").write_text(CERTIFICATE)
    (directory / "me.key").write_text(KEY)
    (directory / "me.token").write_text("from-file\n")
    return path


BARE = ApiConfig(server="https://192.0.2.1:6443", ca_pem=CA)
FULL = ApiConfig(
    server="https://192.0.2.1:6443",
    ca_pem=CA,
    client_certificate_pem=CERTIFICATE,
    client_key_pem=KEY,
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(kubeconfig(), BARE, id="anonymous-server-without-slash"),
        pytest.param(
            kubeconfig(
                user={
                    "client-certificate-data": inline(CERTIFICATE),
                    "client-key-data": inline(KEY),
                }
            ),
            FULL,
            id="inline",
        ),
        pytest.param(
            kubeconfig(
                {"server": "https://192.0.2.1:6443", "certificate-authority": "ca.crt"},
                {"client-certificate": "me.crt", "client-key": "me.key"},
            ),
            FULL,
            id="files-beside-it",
        ),
        pytest.param(
            kubeconfig(user={"token": "inline"}),
            ApiConfig(server=BARE.server, ca_pem=CA, token="inline"),
            id="token",
        ),
        pytest.param(
            kubeconfig(user={"token": "inline", "tokenFile": "me.token"}),
            ApiConfig(server=BARE.server, ca_pem=CA, token="from-file"),
            id="token-file-wins",
        ),
    ],
)
def test_read(tmp_path: Path, document: dict[str, Any], expected: ApiConfig) -> None:
    assert expected == read_kubeconfig(write(tmp_path, document))


def test_named_context(tmp_path: Path) -> None:
    """A context that is asked for wins over the current one."""
    document = kubeconfig(
        clusters=[
            {"name": "one", "cluster": {"server": "https://192.0.2.1"}},
            {
                "name": "two",
                "cluster": {"server": "https://192.0.2.2", "certificate-authority": "ca.crt"},
            },
        ]
    )
    document["contexts"].append({"name": "there", "context": {"cluster": "two", "user": "me"}})

    assert "https://192.0.2.2" == read_kubeconfig(write(tmp_path, document), "there").server


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(kubeconfig() | {"current-context": "no"}, "no context named no", id="context"),
        pytest.param(kubeconfig(users=[]), "no user named me", id="user"),
        pytest.param(kubeconfig(clusters=None), "no cluster named one", id="clusters-null"),
        pytest.param(kubeconfig({"certificate-authority-data": inline(CA)}), "no server", id="url"),
        pytest.param({}, "no current-context", id="empty"),
        pytest.param("a: [", "not usable", id="bad-yaml"),
        pytest.param("just words", "not usable", id="no-mapping"),
        pytest.param(
            kubeconfig({"server": "https://x", "certificate-authority-data": "no base64!"}),
            "not usable",
            id="bad-base64",
        ),
        pytest.param(
            kubeconfig({"server": "https://x", "certificate-authority": "gone.crt"}),
            "gone.crt of kubeconfig .*: No such file",
            id="missing-file-is-named",
        ),
        pytest.param(
            kubeconfig({"server": "https://x"}), "nothing says which server to trust", id="no-ca"
        ),
        pytest.param(
            kubeconfig(user={"exec": {"command": "aws"}}), "exec is not supported", id="exec"
        ),
    ],
)
def test_refused(tmp_path: Path, document: Any, expected: str) -> None:
    """The message names the file and what is wrong in it."""
    with pytest.raises(InputError, match=expected):
        read_kubeconfig(write(tmp_path, document))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: No such file or directory; set --kubeconfig"):
        read_kubeconfig(tmp_path / "absent")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(ApiConfig(server="https://x", ca_pem="no pem"), "the CA certificate", id="ca"),
        pytest.param(ApiConfig(server="https://x", ca_pem=""), "the CA certificate", id="no-ca"),
    ],
)
def test_unusable_certificates(config: ApiConfig, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        config.ssl_context()
