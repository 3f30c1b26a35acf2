"""A host joins a real server with a URL, a token and a fingerprint, through the commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from chita.agent.membership import completed, fingerprint, verified_authority
from chita.agent.settings import AgentSettings
from chita.cli.main import root
from chita.errors import ApiError, InputError
from server_process import ServerProcess, running_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def test_what_token_prints_makes_a_member(server: ServerProcess, tmp_path: Path) -> None:
    printed = CliRunner().invoke(root, ["node", "token", "--kubeconfig", str(server.kubeconfig)])
    assert printed.exit_code == 0, printed.output
    _, *command = shlex.split(printed.output)
    state = tmp_path / "state"

    joined = CliRunner().invoke(root, [*command, "--name", "vm-1", "--state-dir", str(state)])

    assert joined.exit_code == 0, joined.output
    settings = completed(AgentSettings(node="", state_dir=state))
    assert ("vm-1", server.url, state / "ca.crt") == (
        settings.node,
        settings.server,
        settings.ca_file,
    )
    assert (state / "node.pem").exists()


def test_another_authority_gets_no_token(server: ServerProcess) -> None:
    other = "sha256:" + "0" * 64
    with pytest.raises(InputError, match=r"another CA than you were told.*was not sent"):
        verified_authority(server.url, other)


def test_the_right_fingerprint_in_capitals(server: ServerProcess) -> None:
    expected = server.authority.read_text()
    hexadecimal = fingerprint(expected).removeprefix("sha256:").upper()
    assert expected == verified_authority(server.url, f"sha256:{hexadecimal}")


@pytest.mark.parametrize(
    ("url", "ca_hash", "message"),
    [
        pytest.param("http://127.0.0.1:1", "sha256:0", "write https://HOST:PORT", id="scheme"),
        pytest.param("https://127.0.0.1:1", "md5:0", "write sha256:", id="hash"),
    ],
)
def test_bad_words(url: str, ca_hash: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        verified_authority(url, ca_hash)


def test_nobody_there() -> None:
    with pytest.raises(ApiError, match="does not answer"):
        verified_authority("https://127.0.0.1:1", "sha256:0")


def test_an_agent_that_never_joined_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chita node join"):
        completed(AgentSettings(node="", state_dir=tmp_path))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "membership.json").write_text("{")
    with pytest.raises(InputError, match=r"membership.json.*join again"):
        completed(AgentSettings(node="", state_dir=tmp_path))
