"""A node whose label names a location where it does not stand; one whose clock went back."""

from __future__ import annotations

from chita.errors import EngineError
from chita.lab.faults import ClockBack, WrongLocation
from chita.lab.probe import Allowed, Expectation, Flow, run_flows
from chita.lab.scenarios.bench import Bench
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.scenarios.pairs import PORT
from chita.model.net import TCP

NODE, CLAIMED = "gcp-2", "aws-eu-west-1"
"""Stands in a private range that the claimed location has too: its address is a neighbour's."""

_REPORTED_S = 60.0
_REACHED_S = 30.0
_AFTERWARDS_S = 5.0
_HOUR_S = 3600


def wrong_label(bench: Bench, times: int) -> list[Figure]:
    """Label a node of GCP as standing in AWS: it is told, and still reached from everywhere."""
    told, unreached = [], []
    for _ in range(times):
        bench.broken(WrongLocation(NODE, CLAIMED))
        try:
            told.append(bench.until("reported", lambda: bool(_reports(bench)), s=_REPORTED_S))
            bench.notes.append(_reports(bench)[0])
        except EngineError as error:
            bench.notes.append(f"a label that is wrong: {error}")
        bench.watch(_AFTERWARDS_S)
        silent = _silent(bench)
        if silent:
            bench.notes.append(f"no answer from {NODE} to {', '.join(silent)}")
        unreached.append(float(len(silent)))
        bench.settle()
    return [
        Figure(
            what="until it is reported",
            unit="s",
            values=tuple(told),
            mark=Mark(worst_at_most=_REPORTED_S),
        ),
        Figure(
            what="nodes that get no answer from its pod 5 s later",
            unit="nodes",
            values=tuple(unreached),
            mark=Mark(worst_at_most=0),
        ),
    ]


def clock_back(bench: Bench, times: int) -> list[Figure]:
    """Set a node's clock back by an hour; it is told, and what is told to mend it mends it."""
    told, mended = [], []
    for _ in range(times):
        bench.broken(ClockBack(NODE, _HOUR_S))
        told.append(
            bench.until("told", lambda: "clock" in bench.status(NODE)["problems"], s=_REPORTED_S)
        )
        bench.notes.append(bench.status(NODE)["problems"]["clock"])
        cut_off = _silent(bench)
        bench.notes.append(f"no answer from it meanwhile to {', '.join(cut_off) or 'nobody'}")
        bench.chita("fabric", "rotate-keys")
        mended.append(
            bench.until("reached from everywhere", lambda: not _silent(bench), s=_REACHED_S)
        )
        bench.settle()
    return [
        Figure(
            what="until it is told, with the mend",
            unit="s",
            values=tuple(told),
            mark=Mark(worst_at_most=_REPORTED_S),
        ),
        Figure(
            what="reached from all nodes after that mend (new keys)",
            unit="s",
            values=tuple(mended),
            mark=Mark(worst_at_most=_REACHED_S),
        ),
    ]


def _reports(bench: Bench) -> list[str]:
    """Return what agents say is wrong that names the node and the location it claims."""
    found = []
    for node in bench.nodes:
        for problem in bench.status(node)["fabric_problems"]:
            text = f"{problem['about']}: {problem['message']}; {problem['mend']}"
            if CLAIMED in text and NODE in text:
                found.append(f"{node} says: {text}")
    return found


def _silent(bench: Bench) -> list[str]:
    """Return the nodes whose pods get no answer from those of the mislabelled node."""
    others = [node for node in bench.nodes if node != NODE]
    flows = [
        Flow(
            namespace=bench.end(node, "a").namespace,
            destination=bench.end(NODE, "b").addresses[4],
            protocol=TCP,
            port=PORT,
            expected=Expectation.ANSWER,
        )
        for node in others
    ]
    outcomes = run_flows(flows, attempts=1, timeout_s=0.5)
    return [
        node
        for node, outcome in zip(others, outcomes, strict=True)
        if not isinstance(outcome, Allowed)
    ]
