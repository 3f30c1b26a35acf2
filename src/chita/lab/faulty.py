"""Faults of a running lab: made, remembered, mended; in the network, in nodes, in the API."""

from __future__ import annotations

import asyncio
import signal

from chita.api.kinds import CORE
from chita.convert.kubernetes import LOCATION
from chita.lab.cluster import Lab
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
from chita.lab.faults_clock import forget_clock, set_clock_back
from chita.lab.faults_node import await_engines, kill_engines
from chita.lab.faults_underlay import break_underlay, check_place, mend_underlay


def break_lab(lab: Lab, fault: Fault) -> None:
    """Make *fault* happen; it is recorded first, so that it can be mended whatever comes.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
        EngineError: there is no process to kill.
    """
    check_place(fault, lab.topology)
    others = faults_of(lab)
    lab.state.add_fault(fault)
    match fault:
        case AgentKilled(node):
            lab.processes.stop(f"agent-{node}", signal.SIGKILL)
        case EngineKilled(node):
            kill_engines(lab.layout.node(node).run)
        case ClockBack(node, seconds):
            set_clock_back(lab, node, seconds)
        case ServerStopped():
            lab.processes.stop("server", signal.SIGKILL)
        case WrongLocation(node, location):
            _label(lab, node, location)
        case (
            LinkDown() | CloudCutOff() | PacketLoss() | ForwardingBroken() | WanMtu()
            | UdpBlocked() | NatRestarted() | NatSwitched()
        ):  # fmt: skip
            break_underlay(fault, lab.topology, others)


def heal_lab(lab: Lab) -> list[Fault]:
    """Mend every recorded fault; return them. With none there is nothing to do."""
    faults = faults_of(lab)
    # The server first: agents that are started need it.
    for fault in sorted(faults, key=lambda fault: not isinstance(fault, ServerStopped)):
        mend_lab(lab, fault)
    return faults


def mend_lab(lab: Lab, fault: Fault) -> None:
    """Mend one fault, and forget it."""
    match fault:
        case AgentKilled(node):
            if lab.processes.find(f"agent-{node}") is None:
                lab.start_agent(lab.topology.node(node))
            lab.wait_for_agents([node])
        case EngineKilled(node):
            await_engines(lab, [node])
        case ClockBack(node, _):
            forget_clock(lab, node)
        case ServerStopped():
            if lab.processes.find("server") is None:
                lab.start_server()
        case WrongLocation(node, _):
            _label(lab, node, None)
        case (
            LinkDown() | CloudCutOff() | PacketLoss() | ForwardingBroken() | WanMtu()
            | UdpBlocked() | NatRestarted() | NatSwitched()
        ):  # fmt: skip
            mend_underlay(fault, lab.topology, faults_of(lab))
    lab.state.remove_fault(fault)


def faults_of(lab: Lab) -> list[Fault]:
    """Return the faults that are made, in order."""
    state = lab.state.read()
    return list(state.faults) if state is not None else []


def _label(lab: Lab, node: str, location: str | None) -> None:
    """Set the location label of a Node; None: as the world has it."""
    if location is None:
        obj = next(obj for obj in lab.world.of_kind("Node") if obj["metadata"]["name"] == node)
        location = lab.topology.node_object(obj)["metadata"]["labels"].get(LOCATION)

    async def patch() -> None:
        async with lab.client() as client:
            body = {"metadata": {"labels": {LOCATION: location}}}
            await client.patch(CORE["Node"], node, body)

    asyncio.run(patch())
