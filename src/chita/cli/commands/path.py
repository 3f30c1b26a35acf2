"""``chita path``: how one node reaches another, rung by rung."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from chita.cli.agents import node_paths, socket_option, statuses
from chita.cli.connection import kubeconfig_option, running_cluster
from chita.cli.output import Output, output_option, print_json
from chita.desired.paths import Path as NodePath
from chita.desired.paths import PathKind, Rung, RungState
from chita.errors import NotFoundError
from chita.fabric.path import paths


@click.command()
@click.argument("source")
@click.argument("destination")
@output_option
@socket_option
@kubeconfig_option
def path(
    source: str, destination: str, output: Output, socket: Path | None, kubeconfig: Path | None
) -> None:
    r"""Say how node SOURCE reaches node DESTINATION: every rung, why it is refused, since when.

    What SOURCE's agent does, when it answers here; else what the published records say, by the same
    function, without what its probes found out. Exits 1 when there is no way.

    \b
    Example:
        chita path aws-3 openstack-1
    """
    if source == destination:
        raise click.UsageError(f"{source} needs no way to itself: name two nodes")
    status = statuses(socket).get(source)
    if status is not None:
        known = node_paths(status)
    else:
        cluster = running_cluster(kubeconfig)
        if source not in cluster.nodes:
            raise _unknown(source, sorted(cluster.nodes))
        known = paths(cluster, source)
    if destination not in known:
        raise _unknown(destination, sorted(known))
    found = known[destination]
    basis = "agent" if status is not None else "records"
    if output is Output.JSON:
        print_json({"from": source, "basis": basis, **path_fields(found)})
    else:
        _print(source, found, basis)
    sys.exit(1 if found.kind is PathKind.NONE else 0)


def path_fields(found: NodePath) -> dict[str, object]:
    """Return *found* as ``-o json`` prints it."""
    return {
        "to": found.node,
        "kind": found.kind,
        "reason": found.reason,
        "relays": found.relays,
        "outer": str(found.outer) if found.outer else None,
        "mtu": found.mtu_bytes,
        "rungs": [
            {
                "kind": rung.kind,
                "state": rung.state,
                "reason": rung.reason,
                "since": _time(rung.since_s) if rung.since_s else None,
                "outer": str(rung.outer) if rung.outer else None,
                "relays": rung.relays,
                "mtu": rung.mtu_bytes,
            }
            for rung in found.rungs
        ],
    }


def _print(source: str, found: NodePath, basis: str) -> None:
    size = f", {found.mtu_bytes} bytes" if found.mtu_bytes else ""
    through = f" through {', '.join(found.relays)}" if found.relays else ""
    click.echo(f"{source} -> {found.node}: {found.kind}{through}{size}")
    click.echo(f"  {found.reason}")
    if found.rungs:
        click.echo()
    for rung in found.rungs:
        mark = "*" if rung.state is RungState.USED else " "
        click.echo(f"{mark} {rung.kind:<18} {rung.state:<9} {_detail(rung)}")
    if basis == "records":
        click.echo(
            f"\nFrom the published records: the agent of {source} does not answer here, so what "
            f"its probes found out is not known. On {source}: chita path {source} {found.node}",
            err=True,
        )


def _detail(rung: Rung) -> str:
    size = f" ({rung.mtu_bytes} bytes)" if rung.mtu_bytes else ""
    since = f", since {_time(rung.since_s)}" if rung.since_s else ""
    return f"{rung.reason}{size}{since}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _unknown(name: str, known: list[str]) -> NotFoundError:
    return NotFoundError(f"there is no node '{name}'; there are {', '.join(known)}")
