"""``chita links``: how every node reaches every other, as measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from chita.cli.agents import agent_sockets, socket_option
from chita.cli.connection import kubeconfig_option, running_cluster
from chita.cli.output import Output, output_option, print_json
from chita.errors import ApiError
from chita.fabric.path import paths
from chita.rpc.client import ask
from chita.rpc.messages import LinksRequest

_COLUMNS = "{:<14} {:<14} {:<18} {:>5} {:>8} {:>8} {:>6} {:>7}  {}"


@click.command()
@output_option
@socket_option
@kubeconfig_option
def links(output: Output, socket: Path | None, kubeconfig: Path | None) -> None:
    r"""List how every node reaches every other: path, round trip, loss, packet size, age.

    The agent of this node asks all others over the mesh. Without an agent here, what the published
    records say, with nothing measured.

    \b
    Example:
        chita links -o json
    """
    answer = _measured(socket)
    if answer is None:
        answer = {"basis": "records", "silent": [], "links": _from_records(kubeconfig)}
    if output is Output.JSON:
        print_json(answer)
        return
    click.echo(_COLUMNS.format("FROM", "TO", "PATH", "MTU", "P50 ms", "P99 ms", "LOSS", "AGE", ""))
    for row in answer["links"]:
        click.echo(_line(row).rstrip())
    if answer["silent"]:
        click.echo(f"\nno answer from the agents of {', '.join(answer['silent'])}", err=True)
    if answer["basis"] == "records":
        click.echo(
            "\nFrom the published records: no agent answers here, so nothing is measured.", err=True
        )


def _measured(socket: Path | None) -> dict[str, Any] | None:
    """Return what the first agent within reach gathered; None: there is none."""
    for path in [socket] if socket is not None else agent_sockets():
        try:
            return {"basis": "agents", **ask(path, LinksRequest(), timeout_s=30)}
        except ApiError:
            if socket is not None:
                raise
    return None


def _from_records(kubeconfig: Path | None) -> list[dict[str, Any]]:
    cluster = running_cluster(kubeconfig)
    return [
        {
            "from": name,
            "to": found.node,
            "kind": found.kind,
            "relays": found.relays,
            "mtu": found.mtu_bytes,
            "reason": found.reason,
        }
        for name in sorted(cluster.nodes)
        for found in paths(cluster, name).values()
    ]


def _line(row: dict[str, Any]) -> str:
    loss = row.get("lossPercent")
    since = row.get("since")
    relays = f"by {', '.join(row['relays'])}" if row["relays"] else ""
    return _COLUMNS.format(
        row["from"],
        row["to"],
        row["kind"],
        row["mtu"] or "-",
        _ms(row.get("rttP50Ms")),
        _ms(row.get("rttP99Ms")),
        "-" if loss is None else f"{loss:g}%",
        "-" if since is None else _age(time.time() - since),
        relays or (row["reason"] if row["kind"] == "none" else ""),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
