"""A node's clock set back, as far as others and its own agent can tell.

The kernel has one clock for all namespaces (time namespaces leave CLOCK_REALTIME alone), and it is
the machine's. So it is the *earlier* life of the node whose clock was ahead: for a moment its
WireGuard engine is one that adds so many seconds to the time in its handshakes (TAI64N, WireGuard
whitepaper section 5.1), and the agent finds the time noted that it would have noted then. After
that everything is as usual. Others have seen later handshakes than they get now, which is what a
clock that was set back is to them.
"""

from __future__ import annotations

import shutil
import signal
import struct
import time
from pathlib import Path

from chita.errors import UnsupportedError
from chita.lab.cluster import Lab
from chita.lab.faults_node import await_engines, engine_pids, kill_engines
from chita.lab.removal import end_processes

_ENGINE = "wireguard-go"
_TAI64_EPOCH = struct.pack("<Q", 0x400000000000000A)
_GO_EPOCH = struct.pack("<q", -62135596800)
"""Seconds from the year 1 to 1970, which Go's time.Unix() adds just before: so the constant that is
found next to it is the one in the handshake's time."""

_NEIGHBOURHOOD_BYTES = 32


def set_clock_back(lab: Lab, node: str, seconds: int) -> None:
    """Let *node* have lived with a clock that was *seconds* ahead; return when it is up again.

    Raises:
        UnsupportedError: this build of wireguard-go can't be changed so.
        EngineError: the node does not come up.
    """
    place, home = lab.topology.node(node), lab.layout.node(node)
    directory = home.directory / "fast-clock"
    directory.mkdir(exist_ok=True)
    _write_fast_engine(directory / _ENGINE, seconds)
    _stop(lab, node)
    lab.start_agent(place, engines=directory)
    lab.wait_for_agents([node])
    lab.wait(
        f"handshakes of {node}",
        f"agent-{node}",
        lambda: _has_shaken_hands(lab, node),
    )
    _stop(lab, node)
    (home.state / "clock").write_text(f"{time.time() + seconds:.0f}\n", encoding="ascii")
    lab.start_agent(place)
    lab.wait_for_agents([node])


def forget_clock(lab: Lab, node: str) -> None:
    """Let nobody remember: the agent's note goes, and the engines that saw later handshakes."""
    _stop(lab, node)
    (lab.layout.node(node).state / "clock").unlink(missing_ok=True)
    others = [place.name for place in lab.topology.nodes if place.name != node]
    for other in others:
        kill_engines(lab.layout.node(other).run)
    await_engines(lab, others)
    lab.start_agent(lab.topology.node(node))
    lab.wait_for_agents([node])


def _stop(lab: Lab, node: str) -> None:
    lab.processes.stop(f"agent-{node}", signal.SIGTERM)
    end_processes(engine_pids(lab.layout.node(node).run))


def _has_shaken_hands(lab: Lab, node: str) -> bool:
    """Whether some peer has answered a handshake: it has seen the time in it."""
    return any(peer["handshake_age_s"] is not None for peer in lab.status(node)["peers"])


def _write_fast_engine(path: Path, seconds: int) -> None:
    """Write a copy of the engine whose handshakes are *seconds* ahead."""
    found = shutil.which(_ENGINE)
    if found is None:
        raise UnsupportedError(f"{_ENGINE} is not installed; the kernel's WireGuard has one clock")
    path.write_bytes(with_fast_clock(Path(found).read_bytes(), seconds))
    path.chmod(0o755)


def with_fast_clock(code: bytes, seconds: int) -> bytes:
    """Return the program *code* of wireguard-go, with handshakes that are *seconds* ahead.

    Raises:
        UnsupportedError: the place is not found, or there are several.
    """
    places = [
        at
        for at in _all(code, _TAI64_EPOCH)
        if _GO_EPOCH in code[max(0, at - _NEIGHBOURHOOD_BYTES) : at]
    ]
    if len(places) != 1:
        raise UnsupportedError(
            f"set a clock back: this {_ENGINE} has {len(places)} places that look like its time, "
            "not one; it is of another build or processor"
        )
    (at,) = places
    ahead = struct.pack("<Q", struct.unpack("<Q", _TAI64_EPOCH)[0] + seconds)
    return code[:at] + ahead + code[at + len(ahead) :]


def _all(code: bytes, wanted: bytes) -> list[int]:
    found, at = [], code.find(wanted)
    while at >= 0:
        found.append(at)
        at = code.find(wanted, at + 1)
    return found
