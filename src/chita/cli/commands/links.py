"""``chita links``: how every node reaches every other."""

from __future__ import annotations

from pathlib import Path

import click

from chita.cli.agents import node_paths, socket_option, statuses
from chita.cli.commands.path import path_fields
from chita.cli.connection import kubeconfig_option, running_cluster
from chita.cli.output import Output, output_option, print_json
from chita.desired.paths import Path as NodePath
from chita.fabric.path import paths


@click.command()
@output_option
@socket_option
@kubeconfig_option
def links(output: Output, socket: Path | None, kubeconfig: Path | None) -> None:
    r"""List how every node reaches every other.

    \b
    Example:
        chita links -o json
    """
    known: dict[str, dict[str, NodePath]] = {}
    agents = statuses(socket)
    if socket is None:
        cluster = running_cluster(kubeconfig)
        known = {name: paths(cluster, name) for name in sorted(cluster.nodes)}
    known |= {name: node_paths(status) for name, status in agents.items()}
    rows = [
        {"from": name, "basis": "agent" if name in agents else "records", **path_fields(found)}
        for name, reached in known.items()
        for found in reached.values()
    ]
    if output is Output.JSON:
        print_json(rows)
        return
    for row in rows:
        relays = row["relays"]
        assert isinstance(relays, tuple)
        kind = f"{row['kind']}{' by ' if relays else ''}{', '.join(relays)}"
        click.echo(f"{row['from']:<16} {row['to']:<16} {kind:<24} {row['mtu']:>5}  {row['reason']}")
