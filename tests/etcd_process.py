"""Real etcd members on 127.0.0.1, started and ended by the tests that need them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_S = 30.0
needs_etcd = pytest.mark.skipif(
    shutil.which("etcd") is None, reason="needs etcd: apt-get install etcd-server"
)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


class Member:
    """One etcd process, which can be ended and started again with what it has."""

    def __init__(self, name: str, directory: Path, url: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.url = url
        self._directory = directory
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; see `wait`."""
        with (self._directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["etcd", "--name", self.name, "--data-dir", self.name, *self._arguments],
                cwd=self._directory,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it keep its connections and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what it answers."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            found: dict[str, Any] = json.load(answer)
            return found

    def wait(self) -> None:
        """Return when it answers as a member of a cluster with a leader."""
        end = time.monotonic() + START_S
        while True:
            try:
                self.call("/v3/kv/range", {"key": "AA=="})
            except (OSError, urllib.error.URLError):
                log = self._directory / f"{self.name}.log"
                assert time.monotonic() < end, log.read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None


@contextmanager
def running_etcd(
    directory: Path, count: int = 1, options: Sequence[str] = ()
) -> Iterator[list[Member]]:
    """Yield the *count* members of a new cluster, ended whatever happens."""
    ports = free_ports(2 * count)
    clients = [f"http://127.0.0.1:{port}" for port in ports[:count]]
    peers = [f"http://127.0.0.1:{port}" for port in ports[count:]]
    cluster = ",".join(f"m{index}={peer}" for index, peer in enumerate(peers))
    members = [
        Member(
            f"m{index}",
            directory,
            client,
            [
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={cluster}",
                *options,
            ],
        )
        for index, (client, peer) in enumerate(zip(clients, peers, strict=True))
    ]
    try:
        for member in members:
            member.start()
        for member in members:
            member.wait()
        yield members
    finally:
        for member in members:
            member.kill()
