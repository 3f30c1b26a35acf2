"""UDP through TCP and TLS, by the programs themselves, in a namespace of their own."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chita.dataplane.detour.engine import Dial, Serve
from chita.dataplane.detour.process import DetourProcess
from chita.dataplane.netlink.namespace import in_own_thread
from network_namespace import fresh_namespaces

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

ENGINE, ENTRY, STREAM = 51820, 20000, 443


@pytest.fixture
def space() -> Iterator[Path]:
    with fresh_namespaces(1) as spaces:
        yield spaces[0]


def udp(space: Path, port: int) -> socket.socket:
    opened = in_own_thread(space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    opened.bind(("127.0.0.1", port))
    opened.settimeout(0.1)
    return opened


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what


def answer(gateway: socket.socket) -> tuple[bytes, tuple[str, int]] | None:
    try:
        return gateway.recvfrom(2000)
    except TimeoutError:
        return None


def test_both_ways_and_after_a_break(space: Path, tmp_path: Path) -> None:
    gateway, node = udp(space, ENGINE), udp(space, 40000)
    server, dialler = DetourProcess("serve", tmp_path), DetourProcess("dial", tmp_path)
    serve = Serve(STREAM, (1, ENGINE))
    dial = Dial("127.0.0.1", STREAM, ENTRY, parity=1)
    try:
        assert in_own_thread(space, lambda: server.ensure(serve))
        assert in_own_thread(space, lambda: dialler.ensure(dial))
        assert not in_own_thread(space, lambda: dialler.ensure(dial)), "the same task is running"

        def passes(word: bytes) -> bool:
            node.sendto(word, ("127.0.0.1", ENTRY))
            seen = answer(gateway)
            if seen is None or seen[0] != word:
                return False
            gateway.sendto(word[::-1], seen[1])
            back = answer(node)
            return back is not None and back[0] == word[::-1]

        wait_for(lambda: passes(b"there"), f"no way: {dialler.log_path.read_text()}")
        server.stop()
        assert not server.is_running
        in_own_thread(space, lambda: server.ensure(serve))
        wait_for(lambda: passes(b"again"), f"not again: {dialler.log_path.read_text()}")
    finally:
        for process in (server, dialler):
            process.stop()
        for opened in (gateway, node):
            opened.close()
    assert not dialler.is_running


def test_a_taken_port_is_named(space: Path, tmp_path: Path) -> None:
    taken = in_own_thread(space, lambda: socket.create_server(("", STREAM)))
    server = DetourProcess("serve", tmp_path)
    try:
        in_own_thread(space, lambda: server.ensure(Serve(STREAM, (ENGINE, ENGINE + 1))))
        wait_for(lambda: not server.is_running, "it should have given up")
        assert "tcpRelayPort" in server.log_path.read_text()
    finally:
        server.stop()
        taken.close()
