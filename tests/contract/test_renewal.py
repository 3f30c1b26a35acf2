"""A member renews its certificate at a real server; connections go on and new ones use it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chita.agent.identity import api_config, credentials_file, parted
from chita.agent.renewal import due_in_s, keep_renewed, renew
from chita.agent.settings import AgentSettings
from chita.api.client import ApiClient
from chita.api.kinds import CORE
from chita.errors import ApiError, InputError
from server_process import TOKEN, ServerProcess, running_server

WAIT_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def settings(server: ServerProcess, directory: Path) -> AgentSettings:
    return AgentSettings(
        node="n1",
        server=server.url,
        ca_file=server.authority,
        join_token=TOKEN,
        state_dir=directory / "state",
    )


def short_lived(server: ServerProcess, life: timedelta) -> str:
    """Return a certificate of n1 that the server's own authority signed, and its key."""
    directory = server.directory / "data"
    (authority,) = list(directory.rglob("ca.crt"))
    signer = load_pem_private_key(authority.with_name("ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.load_pem_x509_certificate(authority.read_bytes()).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode() + key_pem.decode()


def end_of(pair: str) -> datetime:
    return x509.load_pem_x509_certificate(pair.encode()).not_valid_after_utc


@pytest.mark.slow
def test_a_running_agent_renews_and_goes_on(server: ServerProcess, tmp_path: Path) -> None:
    """When the old certificate has ended, a new connection is opened with the new one."""
    chosen = settings(server, tmp_path)
    file = credentials_file(chosen)

    async def act() -> None:
        await api_config(chosen)
        file.write_text(short_lived(server, timedelta(seconds=3)))
        before = file.read_text()
        config = await api_config(chosen)
        async with ApiClient(config) as client, ApiClient(config) as left_alone:
            task = asyncio.create_task(keep_renewed(chosen, client))
            async with asyncio.timeout(WAIT_S):
                while file.read_text() == before:  # noqa: ASYNC110 - another task's file
                    await asyncio.sleep(0.01)
                while datetime.now(UTC) < end_of(before):  # noqa: ASYNC110 - the clock's own event
                    await asyncio.sleep(0.05)
                # Two at once: one of them needs a connection of its own.
                await asyncio.gather(*[client.list(CORE["Node"]) for _ in range(2)])
                with pytest.raises(ApiError):
                    await left_alone.list(CORE["Node"])
            assert not task.done()
            task.cancel()

    asyncio.run(act())

    after = file.read_text()
    assert end_of(after) > datetime.now(UTC) + timedelta(days=300)
    assert due_in_s(file, datetime.now(UTC)) > timedelta(days=200).total_seconds()
    assert 0o600 == file.stat().st_mode & 0o777


@pytest.mark.slow
def test_what_the_server_does_not_give_changes_nothing(
    server: ServerProcess, tmp_path: Path
) -> None:
    """A node cannot get another's certificate; the file and the client stay as they were."""
    chosen = settings(server, tmp_path)
    file = credentials_file(chosen)

    async def act() -> None:
        config = await api_config(chosen)
        before = file.read_text()
        async with ApiClient(config) as client:
            with pytest.raises(ApiError):
                await renew("n2", client, file)
            assert (before, config) == (file.read_text(), client.config)
            wrong = msgspec.structs.replace(config, client_key_pem=parted(other)[1])
            with pytest.raises(InputError, match="certificate and key"):
                client.renew(wrong)
            assert config == client.config

    other = short_lived(server, timedelta(days=1))
    asyncio.run(act())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "node.pem"
    file.write_text("nonsense")
    with pytest.raises(InputError, match=r"node\.pem is not readable.*join again"):
        due_in_s(file, datetime.now(UTC))
