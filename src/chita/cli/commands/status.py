"""``chita status``: what this node's agent says of itself."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from chita.cli.output import print_json
from chita.rpc.client import DEFAULT_SOCKET, ask
from chita.rpc.messages import MetricsRequest, StatusRequest


class StatusOutput(StrEnum):
    """What ``-o`` may be."""

    TEXT = "text"
    JSON = "json"
    PROMETHEUS = "prometheus"


@click.command()
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOCKET,
    show_default=True,
    help="The agent's socket.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(StatusOutput, case_sensitive=False),
    default=StatusOutput.TEXT,
    show_default=True,
    help="How to print the answer; json is stable, prometheus is its numbers as metrics.",
)
def status(socket: Path, output: StatusOutput) -> None:
    r"""Say how this node's agent is; exit 1 when it is not in sync.

    \b
    Example:
        chita status --socket /run/chita-lab/nodes/aws-1/run/agent.sock
    """
    if output is StatusOutput.PROMETHEUS:
        click.echo(ask(socket, MetricsRequest()), nl=False)
        return
    answer: dict[str, Any] = ask(socket, StatusRequest())
    if output is StatusOutput.JSON:
        print_json(answer)
    else:
        _print(answer)
    sys.exit(0 if answer["in_sync"] else 1)


def _print(answer: dict[str, Any]) -> None:
    state = "in sync" if answer["in_sync"] else "not in sync"
    click.echo(f"{answer['node']} in {answer['location']}: {state}, version {answer['version']}")
    click.echo(
        f"  {answer['endpoints']} pods here, {answer['workloads']} in the cluster, "
        f"{answer['policies']} policies, {answer['routes']} routes"
    )
    click.echo(
        f"  last sync {answer['last_sync_ms']} ms, {answer['writes']} kernel writes, "
        f"{answer['rss_bytes'] / 1e6:.0f} MB"
    )
    for title in ("refused", "problems", "interrupted"):
        for what, why in answer[title].items():
            click.echo(f"  {title}: {what}: {why}")
    ways = answer["ways"]
    down = [way for way in ways if way["verdict"] == "down"]
    click.echo(f"  {len(ways)} ways to other nodes are probed, {len(down)} of them are down")
    for way in down:
        click.echo(f"  down: {_way(way['way'])}: {way['reason']}")
    ages = {peer["node"]: peer["handshake_age_s"] for peer in answer["peers"]}
    for node, path in answer["paths"].items():
        age = ages.get(node)
        seen = f", handshake {age:.0f} s ago" if age is not None else ""
        click.echo(
            f"  {node:<16} {path['kind']:<10} {path['mtu_bytes']:>5}{seen}  {path['reason']}"
        )


def _way(way: dict[str, Any]) -> str:
    match way["type"]:
        case "Transit":
            return f"{way['location']} through {way['relay']}"
        case "Direct":
            return f"tunnel with {way['node']}"
        case _:
            return f"network to {way['node']}"
