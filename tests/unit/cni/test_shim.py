"""The CNI binary as the runtime starts it: codes, forms and what it needs of its interpreter."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chita.cni.errors import ErrorCode
from chita.cni.install import BINARY, CONFLIST, binary_text, install, real_interpreter, uninstall
from chita.cni.spec import VERSIONS, Command
from chita.errors import InputError
from chita.rpc.messages import CniAnswer, CniRequest, cni_line, decode_request

CONFIG = '{"cniVersion":"1.1.0","name":"net","type":"chita-cni"}'
ADD = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
}


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The installed binary; its agent's socket would be ``agent.sock`` beside ``bin``."""
    install(tmp_path / "bin", tmp_path / "net.d", socket=tmp_path / "agent.sock")
    return tmp_path / "bin" / BINARY


def call(
    shim: Path, environment: Mapping[str, str], config: str | bytes = CONFIG
) -> tuple[int, bytes]:
    done = subprocess.run(
        [str(shim)],
        env=dict(environment),
        input=config.encode() if isinstance(config, str) else config,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.stderr == b""
    return done.returncode, done.stdout


@contextmanager
def agent(path: Path, answer: bytes | None) -> Iterator[list[CniRequest]]:
    """Answer one request at *path* with *answer*; None closes without one. Yields what came."""
    seen: list[CniRequest] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as stream:
                request = decode_request(stream.readline())
                assert isinstance(request, CniRequest)
                seen.append(request)
                if answer is not None:
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield seen
        thread.join(10)


@pytest.mark.parametrize(
    ("environment", "config", "code", "text"),
    [
        pytest.param({}, CONFIG, 4, "CNI_COMMAND", id="no-command"),
        pytest.param({"CNI_COMMAND": "PUT"}, CONFIG, 4, "'PUT'", id="unknown-command"),
        pytest.param(
            {"CNI_COMMAND": "ADD", "CNI_IFNAME": "eth0"}, CONFIG, 4,
            "CNI_CONTAINERID, CNI_NETNS", id="missing-variables-are-all-named",
        ),
        pytest.param(ADD, "{", 6, "network configuration", id="cut-off-json"),
        pytest.param(ADD, "[]", 6, "not a JSON object", id="not-an-object"),
        pytest.param(ADD, "", 6, "network configuration", id="no-input"),
        pytest.param(ADD, b'{"name":"\xff"}', 6, "UTF-8", id="not-utf-8"),
        pytest.param(ADD, '{"cniVersion":"9.0.0"}', 1, "9.0.0", id="version-of-the-future"),
        pytest.param(ADD, '{"name":"net"}', 1, "cniVersion", id="no-version"),
        pytest.param(ADD, CONFIG, 11, "is it running", id="agent-not-running"),
        pytest.param(
            {**ADD, "CNI_COMMAND": "DEL"}, CONFIG, 11, "is it running", id="agent-not-running-del"
        ),
        pytest.param({"CNI_COMMAND": "STATUS"}, CONFIG, 50, "is it running", id="status"),
        pytest.param({"CNI_COMMAND": "GC"}, CONFIG, 11, "is it running", id="gc"),
        pytest.param(
            ADD, CONFIG[:-1] + ',"socket":"/nowhere/else.sock"}', 11, "/nowhere/else.sock",
            id="socket-of-the-configuration",
        ),
    ],
)  # fmt: skip
def test_without_an_agent(
    shim: Path, environment: dict[str, str], config: str | bytes, code: int, text: str
) -> None:
    """What is wrong with the input is said also while the agent is away."""
    status, output = call(shim, environment, config)
    answer = json.loads(output)

    assert status == 1
    assert (answer["code"], text in answer["msg"]) == (code, True), answer
    assert answer["cniVersion"] in VERSIONS


@pytest.mark.parametrize("config", ['{"cniVersion":"0.4.0"}', "", '{"cniVersion":"9.9.9"}'])
def test_version_needs_no_agent(shim: Path, config: str) -> None:
    status, output = call(shim, {"CNI_COMMAND": "VERSION"}, config)
    answer = json.loads(output)

    assert status == 0
    assert answer["supportedVersions"] == list(VERSIONS)
    assert answer["cniVersion"] == (json.loads(config)["cniVersion"] if config else "1.1.0")


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        pytest.param(CniAnswer(0, b'{"ips":[]}'), 0, b'{"ips":[]}', id="result"),
        pytest.param(CniAnswer(0, b""), 0, b"", id="nothing-to-say"),
        pytest.param(CniAnswer(1, b'{"code":7}'), 1, b'{"code":7}', id="error"),
        pytest.param(CniAnswer(0, b'{"x":"' + b"y" * 300_000 + b'"}'), 0, None, id="long"),
    ],
)
def test_the_agents_answer_is_passed_on(
    shim: Path, tmp_path: Path, answer: CniAnswer, status: int, output: bytes | None
) -> None:
    with agent(tmp_path / "agent.sock", cni_line(answer)):
        actual = call(shim, ADD)

    assert actual == (status, answer.output if output is None else output)


def test_the_call_arrives_as_it_was_made(shim: Path, tmp_path: Path) -> None:
    """Whatever characters environment and configuration hold; other variables stay behind."""
    awkward = '{"cniVersion":"1.1.0","name":"a\\"b\\\\c",\n\t"é":"\u2028"}'
    environment = {**ADD, "CNI_ARGS": 'K="v";T=a\tb\\c', "SECRET": "x"}
    with agent(tmp_path / "agent.sock", b"0\n") as seen:
        call(shim, environment, awkward)

    expected = {key: value for key, value in environment.items() if key != "SECRET"}
    assert seen == [CniRequest(environment=expected, config=awkward)]


def test_an_agent_that_dies_in_the_middle_is_an_error_to_retry(shim: Path, tmp_path: Path) -> None:
    with agent(tmp_path / "agent.sock", None):
        status, output = call(shim, ADD)

    assert status == 1
    assert json.loads(output)["code"] == ErrorCode.TRY_AGAIN_LATER


def test_the_shim_and_the_service_agree(shim: Path) -> None:
    """The shim can import neither: its own tables must say the same."""
    names: dict[str, Any] = {"__name__": "shim"}
    exec(compile(shim.read_text(), str(shim), "exec"), names)  # noqa: S102 - our own file

    assert tuple(names["VERSIONS"]) == VERSIONS
    assert set(names["REQUIRED"]) == {*map(str, Command), "VERSION"}
    for name in ("INCOMPATIBLE_VERSION", "INVALID_ENVIRONMENT", "IO_FAILURE", "DECODING_FAILURE",
                 "TRY_AGAIN_LATER", "NOT_AVAILABLE"):  # fmt: skip
        assert names[name] == ErrorCode[name]


def test_the_hot_path_loads_no_parser(shim: Path, tmp_path: Path) -> None:
    """json would double the start-up time, socket nearly so: neither is imported for an ADD."""
    with agent(tmp_path / "agent.sock", b"0\n"):
        done = subprocess.run(
            [str(real_interpreter()), "-X", "importtime", "-IS", str(shim)],
            env=ADD,
            input=CONFIG.encode(),
            capture_output=True,
            check=True,
            timeout=20,
        )
    loaded = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}

    assert not loaded & {"json", "re", "enum", "socket", "site"}


def test_install_writes_what_runtimes_look_for(tmp_path: Path) -> None:
    install(tmp_path / "bin", tmp_path / "net.d", network="mesh")
    binary, conflist = tmp_path / "bin" / BINARY, tmp_path / "net.d" / CONFLIST
    interpreter = Path(binary.read_text().partition("\n")[0][2:].partition(" ")[0])
    configuration = json.loads(conflist.read_text())

    assert stat.S_IMODE(binary.stat().st_mode) == 0o755
    assert interpreter == interpreter.resolve()
    assert interpreter == Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    assert configuration["name"] == "mesh"
    assert configuration["cniVersion"] == "1.0.0"  # runtimes before 1.1 refuse 1.1.0
    assert set(configuration["cniVersions"]) <= set(VERSIONS)
    assert configuration["plugins"][0]["type"] == BINARY
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        CONFLIST,
        BINARY,
    ]

    uninstall(tmp_path / "bin", tmp_path / "net.d")
    uninstall(tmp_path / "bin", tmp_path / "net.d")

    assert not binary.exists()
    assert not conflist.exists()


def test_an_interpreter_the_kernel_would_cut_off_is_refused() -> None:
    with pytest.raises(InputError, match="too long"):
        binary_text(Path("/" + "x" * 300), Path("/run/agent.sock"))


def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="file/bin"):
        install(tmp_path / "file" / "bin", tmp_path / "net.d")
