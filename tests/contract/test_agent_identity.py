"""Who a node is: it joins a real server once, keeps what it got, and says what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from chita.agent.identity import api_config, why_unusable, wireguard_private_key
from chita.agent.settings import AgentSettings
from chita.api.client import ApiClient
from chita.api.kinds import CHITA, CORE
from chita.api.private_file import write_private
from chita.api.refusals import UNTRUSTED
from chita.errors import ApiError, InputError
from chita.fabric.keys import public_key
from chita.server.pki import load_or_make_authority
from server_process import TOKEN, ServerProcess, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def settings(server: ServerProcess, directory: Path, *, token: str = TOKEN) -> AgentSettings:
    return AgentSettings(
        node="n1",
        server=server.url,
        ca_file=server.authority,
        join_token=token,
        state_dir=directory / "state",
    )


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.slow
def test_a_node_joins_once(server: ServerProcess, tmp_path: Path) -> None:
    """The second start needs no token, and the credentials are those of the first."""

    async def act() -> None:
        first = await api_config(settings(server, tmp_path))
        again = await api_config(settings(server, tmp_path, token=""))
        assert first == again
        async with ApiClient(again) as client:
            assert [] == (await client.list(CORE["Pod"])).items
            with pytest.raises(ApiError, match="n2") as refused:
                await client.create(
                    {
                        "apiVersion": "chita.dev/v1alpha1",
                        "kind": "FabricNode",
                        "metadata": {"name": "n2"},
                        "spec": {"location": "x"},
                    }
                )
            assert refused.value.status == 403
            assert CHITA["FabricNode"].plural in str(refused.value)

    asyncio.run(act())

    state = tmp_path / "state"
    assert 0o600 == mode(state / "node.pem")
    assert 0o700 == mode(state)
    assert not list(state.glob("*.new"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"join_token": ""}, "no client certificate yet: pass --token", id="no-token"),
        pytest.param({"server": ""}, "--server and --ca-file", id="no-server"),
        pytest.param({"ca_file": None}, "--server and --ca-file", id="no-ca"),
        pytest.param({"ca_file": Path("/absent/ca")}, "/absent/ca", id="missing-ca"),
        pytest.param({"kubeconfig": Path("/absent/conf")}, "/absent/conf", id="kubeconfig"),
    ],
)
def test_what_is_missing_is_said(
    server: ServerProcess, tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    wanted = msgspec.structs.replace(settings(server, tmp_path), **changes)

    with pytest.raises(InputError, match=expected):
        asyncio.run(api_config(wanted))


def test_a_refused_token_is_no_outage(server: ServerProcess, tmp_path: Path) -> None:
    """It has a status: the agent ends with it instead of trying for ever."""
    with pytest.raises(ApiError) as refused:
        asyncio.run(api_config(settings(server, tmp_path, token="wrong-token-wrong")))

    assert refused.value.status in {401, 403}
    assert not (tmp_path / "state" / "node.pem").exists()


@pytest.mark.slow
def test_a_server_whose_ca_was_replaced(server: ServerProcess, tmp_path: Path) -> None:
    """With the old CA file the server is not trusted; with the new one the node joins again."""
    asyncio.run(api_config(settings(server, tmp_path)))
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    with running_server(other_directory) as other:
        stale = msgspec.structs.replace(
            settings(server, tmp_path), server=other.url, state_dir=tmp_path / "fresh"
        )
        with pytest.raises(ApiError, match="use the CA certificate") as untrusted:
            asyncio.run(api_config(stale))
        assert untrusted.value.reason == UNTRUSTED

        with pytest.raises(InputError, match="of another CA than this server's: pass --token"):
            asyncio.run(api_config(settings(other, tmp_path, token="")))

        config = asyncio.run(api_config(settings(other, tmp_path)))
        assert why_unusable(tmp_path / "state" / "node.pem", config.ca_pem, datetime.now(UTC)) == ""


def certificate_of(directory: Path) -> tuple[Path, str]:
    (directory / "ca").mkdir()
    authority = load_or_make_authority(directory / "ca")
    file = directory / "node.crt"
    file.write_bytes(authority.client("system:node:n1", ["system:nodes"]).certificate)
    return file, authority.certificate_pem.decode()


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    file, authority = certificate_of(tmp_path)
    end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc

    assert "" == why_unusable(file, authority, end - timedelta(minutes=1))
    assert "expired on" in why_unusable(file, authority, end + timedelta(minutes=1))


def test_an_authority_may_be_a_bundle(tmp_path: Path) -> None:
    """While a CA is being replaced the file has both."""
    file, authority = certificate_of(tmp_path)
    (tmp_path / "other").mkdir()
    other = load_or_make_authority(tmp_path / "other").certificate_pem.decode()

    assert "" == why_unusable(file, other + authority, datetime.now(UTC))
    assert "of another CA" in why_unusable(file, other, datetime.now(UTC))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    file, authority = certificate_of(tmp_path)
    file.write_text("nonsense")

    assert "node.crt is not readable" in why_unusable(file, authority, datetime.now(UTC))
    with pytest.raises(InputError, match="CA certificate is not readable"):
        why_unusable(file, "nonsense", datetime.now(UTC))


def test_the_wireguard_key_is_made_once(tmp_path: Path) -> None:
    """A restart must not rotate it: every tunnel would break until all others have heard."""
    first = wireguard_private_key(tmp_path / "state" / "wireguard.0.key")

    assert first == wireguard_private_key(tmp_path / "state" / "wireguard.0.key")
    assert 0o600 == mode(tmp_path / "state" / "wireguard.0.key")
    assert len(public_key(first)) == 44
    shutil.rmtree(tmp_path / "state")
    assert first != wireguard_private_key(tmp_path / "state" / "wireguard.0.key")


def test_a_damaged_wireguard_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "wireguard.0.key").write_text("short")

    with pytest.raises(InputError, match=r"wireguard\.0\.key: .*; remove it"):
        wireguard_private_key(tmp_path / "wireguard.0.key")


def test_private_files_stay_private_when_replaced(tmp_path: Path) -> None:
    """Also when an earlier attempt left its half behind for all to read."""
    (tmp_path / ".node.key.new").write_text("left behind")
    (tmp_path / ".node.key.new").chmod(0o644)

    write_private(tmp_path / "node.key", b"secret")

    assert 0o600 == mode(tmp_path / "node.key")
