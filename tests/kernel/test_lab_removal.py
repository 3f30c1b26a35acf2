"""A lab comes up beside the machine's own network and goes without a trace, from any state."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chita.errors import KernelError
from chita.lab.builder import build_underlay
from chita.lab.netns import NETNS_DIRECTORY, ip_batch, netns_names, netns_path, start_in
from chita.lab.pods import Add, Listeners
from chita.lab.probe import Allowed, TimedOut, try_flows
from chita.lab.removal import remove_everything
from chita.lab.state import Process, State, StateFile, start_ticks
from chita.lab.topology import Topology, topology
from chita.lab.underlay import Port
from chita.model.net import UDP
from lab_worlds import fresh_prefix, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

SMALL = world(
    underlay("cloud", provider="openstack"),
    node("one", "openstack", public=["198.18.1.11"]),
    node("two", "openstack"),
)


def own_network() -> dict[str, object]:
    """Return what the machine's own namespace has: links, addresses, routes, rules, forwarding."""
    found: dict[str, object] = {}
    for what in ("link", "address", "route", "rule", "-6 route"):
        command = ["ip", "-json", *what.split(), "show"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        records = json.loads(answer.stdout or "[]")
        found[what] = [
            # Counters of router advertisements' lifetimes run by themselves.
            {k: v for k, v in record.items() if k not in {"expires", "valid_life_time"}}
            for record in records
        ]
    found["forwarding"] = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii")
    return found


def test_machine_untouched(tmp_path: Path) -> None:
    """The machine's own namespace is the same before, during and after."""
    before = own_network()
    with standing(SMALL, tmp_path):
        during = own_network()

    assert before == during
    assert before == own_network()


def test_without_a_trace(tmp_path: Path) -> None:
    with standing(SMALL, tmp_path) as lab:
        prefix, directory = lab.topology.prefix, lab.state.directory
        assert sorted(lab.topology.namespaces) == netns_names(prefix)
        removed = remove_everything(lab.state, prefix=prefix)

        assert set(lab.topology.namespaces) == set(removed.namespaces)
        assert [] == netns_names(prefix)
        assert not directory.exists()
        assert () == remove_everything(lab.state, prefix=prefix).namespaces


def recorded_only(planned: Topology, state: StateFile) -> None:
    """Crash after the record, before the first namespace."""
    state.add_namespaces(planned.namespaces)


def half_the_namespaces(planned: Topology, state: StateFile) -> None:
    """Crash among the namespaces."""
    state.add_namespaces(planned.namespaces)
    ip_batch(None, [f"netns add {name}" for name in planned.namespaces[:3]])


def without_a_record(planned: Topology, state: StateFile) -> None:
    """The state file was deleted by hand."""
    build_underlay(planned, state)
    (state.directory / "state.json").unlink()


def broken_record(planned: Topology, state: StateFile) -> None:
    """The state file is nonsense."""
    build_underlay(planned, state)
    (state.directory / "state.json").write_text("{", encoding="ascii")


def bare_file(planned: Topology, state: StateFile) -> None:
    """``ip netns add`` was killed between making the file and mounting the namespace on it."""
    build_underlay(planned, state)
    (NETNS_DIRECTORY / f"{planned.prefix}late").touch()


def killed(planned: Topology, state: StateFile) -> None:
    """The whole process is killed while it builds, with whatever was made by then."""
    text = json.dumps([entry.raw for entry in SMALL.entries])
    code = (
        "import json, sys, os, signal, threading\n"
        "from pathlib import Path\n"
        "from chita.lab.builder import build_underlay\n"
        "from chita.lab.netns import netns_names\n"
        "from chita.lab.state import StateFile\n"
        "from chita.lab.topology import topology\n"
        "from chita.lab.world import parse_world\n"
        "items = '\\n---\\n'.join(json.dumps(item) for item in json.loads(sys.argv[1]))\n"
        "planned = topology(parse_world([('w', items)]), prefix=sys.argv[2])\n"
        "def strike():\n"
        "    while len(netns_names(sys.argv[2])) < 4: pass\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=strike, daemon=True).start()\n"
        "build_underlay(planned, StateFile(Path(sys.argv[3])))\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", code, text, planned.prefix, str(state.directory)]
    assert subprocess.run(command, check=False, timeout=30).returncode == -9


@pytest.mark.slow
@pytest.mark.parametrize(
    "crash",
    [
        pytest.param(recorded_only, id="recorded-only"),
        pytest.param(half_the_namespaces, id="half-the-namespaces"),
        pytest.param(without_a_record, id="without-a-record"),
        pytest.param(broken_record, id="broken-record"),
        pytest.param(bare_file, id="bare-file"),
        pytest.param(killed, id="killed"),
    ],
)
def test_after_a_crash(crash: Callable[[Topology, StateFile], None], tmp_path: Path) -> None:
    """Whatever a crash left is removed, and the lab can be built again."""
    prefix = fresh_prefix()
    planned, state = topology(SMALL, prefix=prefix), StateFile(tmp_path / "lab")
    try:
        crash(planned, state)
        remove_everything(state, prefix=prefix)
        assert [] == netns_names(prefix)
        assert not state.directory.exists()

        build_underlay(planned, state)
        assert sorted(planned.namespaces) == netns_names(prefix)
    finally:
        remove_everything(state, prefix=prefix)


@pytest.mark.slow
def test_processes(tmp_path: Path) -> None:
    """Recorded processes and those inside end; one that only has a recorded pid does not."""
    with standing(SMALL, tmp_path) as lab:
        inside = start_in(lab.path("one"), ["sleep", "60"])
        recorded = subprocess.Popen(["sleep", "60"])
        stranger = subprocess.Popen(["sleep", "60"])
        try:
            lab.state.add_process("recorded", recorded.pid)
            state = lab.state.read() or State()
            # As after the recorded one ended and its number went to a stranger.
            late = Process(name="gone", pid=stranger.pid, start_ticks=1)
            lab.state.write(State(namespaces=state.namespaces, processes=(*state.processes, late)))
            removed = remove_everything(lab.state, prefix=lab.topology.prefix)

            assert {inside.pid, recorded.pid} == set(removed.processes)
            assert inside.wait(5) != 0
            assert recorded.wait(5) != 0
            assert stranger.poll() is None
        finally:
            for process in (inside, recorded, stranger):
                process.kill()
                process.wait()


def test_stubborn_process(tmp_path: Path) -> None:
    """One that does not end when asked is killed."""
    with standing(SMALL, tmp_path) as lab:
        command = [sys.executable, "-c", _STUBBORN]
        process = start_in(lab.path("two"), command, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            remove_everything(lab.state, prefix=lab.topology.prefix)

            assert process.wait(1) == -9
        finally:
            process.kill()
            process.communicate()


_STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""


def test_sweep_spares_tests(tmp_path: Path) -> None:
    """The sweep of a real lab leaves namespaces of kernel tests alone."""
    with standing(SMALL, tmp_path) as lab:
        mine = lab.topology.namespaces
        other = StateFile(tmp_path / "other")
        swept = remove_everything(other, prefix="chita-nothing-like-this-")

        assert () == swept.namespaces
        assert all(netns_path(name).exists() for name in mine)


def test_names_taken(tmp_path: Path) -> None:
    """A second lab of the same names is refused by the kernel, and the first one stands."""
    with standing(SMALL, tmp_path) as lab:
        with pytest.raises(KernelError, match="File exists"):
            build_underlay(lab.topology, lab.state)
        assert start_ticks(os.getpid()) is not None

        async def answered() -> bool:
            listeners = Listeners()
            namespace = str(lab.path("one"))
            ports = (Port(port=51820, protocol="UDP"),)
            await listeners.add(Add(name="one", namespace=namespace, ports=ports))
            flow = lab.flow("two", "198.18.1.11", UDP, 51820)
            (outcome,) = await try_flows([flow])
            listeners.remove("one")
            assert isinstance(outcome, Allowed | TimedOut)
            return isinstance(outcome, Allowed)

        assert asyncio.run(answered())


_RESTARTER = """
import os, signal, subprocess, sys
def restart(*_):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    sys.exit()
signal.signal(signal.SIGTERM, restart)
print("ready", flush=True)
signal.pause()
"""


def test_what_is_started_while_others_end_is_ended_too(tmp_path: Path) -> None:
    """An agent that sees an engine end starts it anew, until it ends itself."""
    with standing(SMALL, tmp_path) as lab:
        space = netns_path(lab.topology.nodes[0].namespace)
        restarter = start_in(space, [sys.executable, "-c", _RESTARTER], stdout=subprocess.PIPE)
        with restarter:
            assert restarter.stdout is not None
            assert "ready" in restarter.stdout.readline()
            removal = remove_everything(lab.state, prefix=lab.topology.prefix)

        assert 2 == len(removal.processes)
        assert not any(_is_alive(pid) for pid in removal.processes)


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
