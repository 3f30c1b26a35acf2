"""Faults of a running lab: made, remembered, mended, in the underlay and among the processes."""

from __future__ import annotations

import signal

from chita.errors import NotFoundError
from chita.lab.cluster import Lab
from chita.lab.faults import (
    AgentKilled,
    CloudCutOff,
    Fault,
    LinkDown,
    PacketLoss,
    ServerStopped,
    break_underlay,
    mend_underlay,
)


def break_lab(lab: Lab, fault: Fault) -> None:
    """Make *fault* happen; it is recorded first, so that it can be mended whatever comes.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
    """
    check_target(lab, fault)
    lab.state.add_fault(fault)
    match fault:
        case AgentKilled(node):
            lab.processes.stop(f"agent-{node}", signal.SIGKILL)
        case ServerStopped():
            lab.processes.stop("server", signal.SIGKILL)
        case LinkDown() | CloudCutOff() | PacketLoss():
            break_underlay(fault, lab.topology)


def heal_lab(lab: Lab) -> list[Fault]:
    """Mend every recorded fault; return them. With none there is nothing to do."""
    state = lab.state.read()
    faults = list(state.faults) if state is not None else []
    # The server first: agents that are started need it.
    for fault in sorted(faults, key=lambda fault: not isinstance(fault, ServerStopped)):
        _mend(lab, fault)
        lab.state.remove_fault(fault)
    return faults


def _mend(lab: Lab, fault: Fault) -> None:
    match fault:
        case AgentKilled(node):
            if lab.processes.find(f"agent-{node}") is None:
                lab.start_agent(lab.topology.node(node))
            lab.wait_for_agents([node])
        case ServerStopped():
            if lab.processes.find("server") is None:
                lab.start_server()
        case LinkDown() | CloudCutOff() | PacketLoss():
            mend_underlay(fault, lab.topology)


def check_target(lab: Lab, fault: Fault) -> None:
    """Raise when what *fault* is to break does not exist.

    Raises:
        NotFoundError: there is no such node or cloud; the message has the names there are.
    """
    match fault:
        case LinkDown(name) | AgentKilled(name):
            known = [node.name for node in lab.topology.nodes]
        case CloudCutOff(name) | PacketLoss(name, _):
            known = [cloud.name for cloud in lab.topology.clouds]
        case ServerStopped():
            return
    if name not in known:
        raise NotFoundError(f"{fault}: there is no '{name}'; write one of {', '.join(known)}")
