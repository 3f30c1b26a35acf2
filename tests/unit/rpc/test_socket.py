"""The agent's socket: questions, answers, refusals, lifetimes."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from chita.errors import ApiError, InputError, NotFoundError
from chita.rpc.client import ask, ask_async, call_cni, call_cni_async
from chita.rpc.messages import (
    Answer,
    CniAnswer,
    CniRequest,
    NodeStateRequest,
    Refusal,
    Reply,
    Request,
    StatusRequest,
    VersionRequest,
    decode_cni,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from chita.rpc.server import serving


async def answer(request: Request) -> Reply:
    match request:
        case CniRequest(environment):
            return CniAnswer(0, environment["CNI_COMMAND"].encode())
        case StatusRequest():
            return Answer({"ready": True, "text": "two\nlines"})
        case VersionRequest():
            raise NotFoundError("no version")
        case _:
            await asyncio.Event().wait()
            raise AssertionError


@pytest.mark.parametrize(
    "request_",
    [
        CniRequest(environment={"CNI_COMMAND": "ADD"}, config='{"a":\n1}'),
        StatusRequest(),
        NodeStateRequest(),
        VersionRequest(),
    ],
)
def test_a_request_is_one_line_that_reads_back(request_: Request) -> None:
    line = encode_request(request_)

    assert line.count(b"\n") == 1
    assert decode_request(line) == request_


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type":"reboot"}\n', b"\xff\n"])
def test_anything_else_is_no_request(line: bytes) -> None:
    with pytest.raises(InputError):
        decode_request(line)


def test_replies_read_back() -> None:
    for reply in (Answer({"a": 1}), Refusal("no")):
        assert decode_reply(encode_reply(reply)) == reply
    assert decode_cni(encode_reply(CniAnswer(1, b"{}"))) == CniAnswer(1, b"{}")
    with pytest.raises(InputError):
        decode_cni(b"?\n")
    with pytest.raises(InputError):
        decode_reply(b"0{}\n")


def test_questions_over_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "run" / "agent.sock"

    async def scenario() -> None:
        async with serving(path, answer):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            expected = {"ready": True, "text": "two\nlines"}
            assert await ask_async(path, StatusRequest()) == expected
            assert await asyncio.to_thread(ask, path, StatusRequest()) == expected
            call = CniRequest(environment={"CNI_COMMAND": "ADD"}, config="")
            assert await call_cni_async(path, call) == CniAnswer(0, b"ADD")
            assert await asyncio.to_thread(call_cni, path, call) == CniAnswer(0, b"ADD")
            with pytest.raises(ApiError, match="refuses: no version"):
                await ask_async(path, VersionRequest())
            with pytest.raises(ApiError, match="in time"):
                await ask_async(path, NodeStateRequest(), timeout_s=0.02)
        assert not path.exists()

    asyncio.run(scenario())


def test_one_connection_carries_many_questions_and_survives_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"

    async def scenario() -> list[bytes]:
        async with serving(path, answer):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"nonsense\n" + encode_request(StatusRequest()))
            lines = [await reader.readline(), await reader.readline()]
            writer.close()
            return lines

    first, second = asyncio.run(scenario())

    assert isinstance(decode_reply(first), Refusal)
    assert isinstance(decode_reply(second), Answer)


def test_a_socket_left_behind_is_replaced_and_a_successors_is_left(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def scenario() -> None:
        async with serving(path, answer):
            assert await ask_async(path, StatusRequest())
            async with serving(path, answer):
                pass
            # The inner one took the name and removed its own: the outer must not complain.

    asyncio.run(scenario())

    assert list(tmp_path.iterdir()) == []


def test_stopping_does_not_wait_for_an_unanswered_question(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"

    async def scenario() -> None:
        asked = asyncio.Event()

        async def never(_request: Request) -> Reply:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        async with asyncio.timeout(5):
            async with serving(path, never):
                asking = asyncio.create_task(ask_async(path, NodeStateRequest()))
                await asked.wait()
            with pytest.raises(ApiError, match="closed the connection"):
                await asking

    asyncio.run(scenario())


def test_no_agent_is_said_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="is `chita agent` running"):
        ask(tmp_path / "agent.sock", StatusRequest())


def test_a_path_the_kernel_refuses_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)

    async def scenario() -> None:
        async with serving(path, answer):
            pass

    with pytest.raises(InputError, match="choose another path"):
        asyncio.run(scenario())
