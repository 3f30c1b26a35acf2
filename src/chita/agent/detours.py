"""The agent's detours: it serves streams where it is a gateway, and dials where no UDP passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from chita.agent.facts import Observed
from chita.agent.record import OwnRecord
from chita.dataplane.detour.engine import Dial, Serve, Task
from chita.dataplane.detour.process import DetourProcess
from chita.errors import ChitaError
from chita.fabric.candidates import is_dialable
from chita.fabric.detours import detours, is_udp_blocked, stream_address
from chita.fabric.health import Health
from chita.model.cluster import ClusterState
from chita.model.epochs import epochs_of, port_in
from chita.model.node import FabricNode
from chita.telemetry.log import logger

EVERY_S = 0.5
BLOCKED_S = 3.0
"""How long no UDP must have answered before streams are opened: neither a moment's outage has any,
nor a node that others have only just learned of."""
FREE_S = 5.0
"""How long UDP must answer again before the streams are closed."""

ENTRY_PORT = 24480
"""First UDP port of loopback that leads into a stream; each gateway has two."""

_LOG = logger("detours")


class Detours:
    """Keeps the processes that the state of the fabric asks for."""

    def __init__(
        self,
        record: OwnRecord,
        directory: Path,
        known: Callable[[], ClusterState],
        health: Callable[[], Health],
        changed: Callable[[Mapping[str, int]], None],
    ) -> None:
        """*changed* is told which nodes are dialled in streams, with the port that leads there."""
        self._record = record
        self._directory = directory
        self._known = known
        self._health = health
        self._changed = changed
        self._told: Mapping[str, int] = {}
        self._running: set[str] = set()
        self._turned_s: float | None = None
        """Since when UDP is otherwise than the streams assume."""
        serving = self._process("serve").task
        if isinstance(serving, Serve):  # an earlier agent's, whose streams go on
            self._running.add("serve")
            record.observed = msgspec.structs.replace(
                record.observed, tcp_relay_port=serving.listen_port
            )

    async def run(self) -> NoReturn:
        """Look twice a second, for ever."""
        self._stop_all()
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self._serve()
                self._dial(asyncio.get_running_loop().time())
            except ChitaError as error:
                _LOG.warning("detour refused", why=str(error))

    def _serve(self) -> None:
        """Serve streams while others may dial us; what cannot be served is not published."""
        cluster, own = self._known(), self._record.value
        port = cluster.setting.tcp_relay_port
        if own is None or not port or not is_dialable(own) or not own.gateway_weight:
            if "serve" in self._running:
                self._stop("serve")
                self._publish(0)
            return
        base = own.wireguard_port - own.wireguard_epoch % 2
        self._ensure("serve", Serve(port, (port_in(0, base), port_in(1, base))))
        is_up = self._process("serve").is_running
        self._publish(port if is_up else 0)

    def _publish(self, port: int) -> None:
        self._observe(msgspec.structs.replace(self._record.observed, tcp_relay_port=port))

    def _observe(self, observed: Observed) -> None:
        """Have our record say what we found out, if that is news."""
        if observed != self._record.observed:
            self._record.observed = observed
            self._changed(self._told)

    def _dial(self, now_s: float) -> None:
        cluster = self._known()
        is_blocked = is_udp_blocked(cluster, self._record.node, self._health())
        if is_blocked != bool(self._told):
            if self._turned_s is None:
                self._turned_s = now_s
            if now_s - self._turned_s < (BLOCKED_S if is_blocked else FREE_S):
                return
        self._turned_s = None
        self._observe(msgspec.structs.replace(self._record.observed, udp_passes=not is_blocked))
        chosen = detours(cluster, self._record.node) if is_blocked else []
        entries = {node.name: ENTRY_PORT + 2 * i for i, node in enumerate(chosen)}
        tasks = {
            f"dial-{task.listen_port}": task
            for node in chosen
            for task in _dials(node, entries[node.name])
        }
        for name in [it for it in self._running if it.startswith("dial-") and it not in tasks]:
            self._stop(name)
        for name, task in tasks.items():
            self._ensure(name, task)
        if entries != self._told:
            _LOG.info("streams", to=", ".join(entries) or "nobody")
            self._told = entries
            self._changed(entries)

    def _ensure(self, name: str, task: Task) -> None:
        self._running.add(name)
        self._process(name).ensure(task)

    def _stop(self, name: str) -> None:
        self._running.discard(name)
        self._process(name).stop()

    def _stop_all(self) -> None:
        """End what an earlier agent dialled: whether UDP is blocked is found out anew."""
        for file in self._directory.glob("detour-dial-*.pid"):
            self._process(file.stem.removeprefix("detour-")).stop()

    def _process(self, name: str) -> DetourProcess:
        return DetourProcess(f"detour-{name}", self._directory)


def _dials(node: FabricNode, entry: int) -> list[Dial]:
    """Return the streams to a gateway, one for each epoch of its keys."""
    address = str(stream_address(node))
    return [
        Dial(address, node.tcp_relay_port, port_in(epoch, entry), parity=epoch % 2)
        for epoch in epochs_of(node)
    ]
