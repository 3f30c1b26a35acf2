"""The state file: written before the deed, read by another process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chita.errors import InputError
from chita.lab.faults import (
    AgentKilled,
    ClockBack,
    CloudCutOff,
    EngineKilled,
    Fault,
    ForwardingBroken,
    LinkDown,
    NatRestarted,
    NatSwitched,
    PacketLoss,
    ServerStopped,
    UdpBlocked,
    WanMtu,
    WrongLocation,
)
from chita.lab.removal import remove_everything
from chita.lab.state import Process, State, StateFile, is_running, start_ticks
from chita.lab.underlay import NatKind


def test_nothing_there(tmp_path: Path) -> None:
    assert StateFile(tmp_path / "lab").read() is None


def test_nonsense(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("[]", encoding="ascii")
    with pytest.raises(InputError, match="remove the file by hand"):
        StateFile(tmp_path).read()


def test_foreign_directory(tmp_path: Path) -> None:
    """A directory that holds something else is neither used nor removed."""
    (tmp_path / "thesis.txt").write_text("years of work", encoding="ascii")
    state = StateFile(tmp_path)
    with pytest.raises(InputError, match="name an empty one"):
        state.write(State())
    remove_everything(state, prefix="chita-tu-none-")

    assert (tmp_path / "thesis.txt").exists()
    assert StateFile(tmp_path / "missing").is_ours() is False


def test_namespaces(tmp_path: Path) -> None:
    """Names are kept in order, once."""
    state = StateFile(tmp_path / "lab")
    state.add_namespaces(("a", "b"))
    state.add_namespaces(("b", "c"))

    assert StateFile(tmp_path / "lab").read() == State(namespaces=("a", "b", "c"))


@pytest.mark.parametrize(
    "fault",
    [
        LinkDown("n"),
        CloudCutOff("c"),
        PacketLoss("c", 5),
        ForwardingBroken("n"),
        WanMtu("c", 1400),
        UdpBlocked("c"),
        NatRestarted("c", 2),
        NatSwitched(cloud="c", kind=NatKind.ENDPOINT_INDEPENDENT),
        AgentKilled("n"),
        EngineKilled("n"),
        ClockBack("n", 3600),
        ServerStopped(),
        WrongLocation("n", "aws-r"),
    ],
    ids=str,
)
def test_faults(tmp_path: Path, fault: Fault) -> None:
    """Each kind of fault survives the file, once, and is forgotten when mended."""
    state = StateFile(tmp_path)
    state.add_fault(fault)
    state.add_fault(fault)

    assert StateFile(tmp_path).read() == State(faults=(fault,))
    assert state.remove_fault(fault).faults == ()


def test_processes(tmp_path: Path) -> None:
    """A process is known by its pid and when it started."""
    state = StateFile(tmp_path)
    parent = os.getppid()
    (process,) = state.add_process("parent", parent).processes

    assert is_running(process)
    assert not is_running(Process(name="other", pid=parent, start_ticks=process.start_ticks + 1))
    assert state.remove_process(parent).processes == ()


def test_not_ourselves() -> None:
    """The process that removes a lab is never one to end."""
    own = start_ticks(os.getpid())
    assert own is not None
    assert not is_running(Process(name="self", pid=os.getpid(), start_ticks=own))


def test_no_process() -> None:
    assert start_ticks(2**22 + 1) is None
