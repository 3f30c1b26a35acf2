"""``chita path`` and ``chita links``: how nodes reach each other, and why."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chita.cli.connection import kubeconfig_option, running_cluster
from chita.cli.output import Output, output_option, print_json
from chita.desired.paths import Path as NodePath
from chita.desired.paths import PathKind
from chita.errors import NotFoundError
from chita.fabric.path import paths


@click.command()
@click.argument("source")
@click.argument("destination")
@output_option
@kubeconfig_option
def path(source: str, destination: str, output: Output, kubeconfig: Path | None) -> None:
    r"""Say how node SOURCE reaches node DESTINATION, and why not better.

    Computed from the records that nodes publish, by the same function as in their agents. Exits 1
    when there is no way.

    \b
    Example:
        chita path aws-3 openstack-1
    """
    cluster = running_cluster(kubeconfig)
    for name in (source, destination):
        if name not in cluster.nodes:
            known = ", ".join(sorted(cluster.nodes))
            raise NotFoundError(f"there is no node '{name}'; there are {known}")
    if source == destination:
        raise click.UsageError(f"{source} needs no way to itself: name two nodes")
    found = paths(cluster, source)[destination]
    if output is Output.JSON:
        print_json({**_fields(found), "from": source})
    else:
        _print(source, found)
    sys.exit(1 if found.kind is PathKind.NONE else 0)


def _print(source: str, found: NodePath) -> None:
    size = f", {found.mtu_bytes} bytes" if found.mtu_bytes else ""
    click.echo(f"{source} -> {found.node}: {found.kind}{size}")
    click.echo(f"  why:   {found.reason}")
    if found.relay:
        click.echo(f"  relay: {found.relay}, reached by {found.first_hop_kind}")
    if found.outer:
        click.echo(f"  outer: packets go to {found.outer}")


@click.command()
@output_option
@kubeconfig_option
def links(output: Output, kubeconfig: Path | None) -> None:
    r"""List how every node reaches every other.

    \b
    Example:
        chita links -o json
    """
    cluster = running_cluster(kubeconfig)
    rows = [
        {**_fields(found), "from": name}
        for name in sorted(cluster.nodes)
        for found in paths(cluster, name).values()
    ]
    if output is Output.JSON:
        print_json(rows)
        return
    for row in rows:
        via = f" by {row['relay']}" if row["relay"] else ""
        kind = f"{row['kind']}{via}"
        click.echo(f"{row['from']:<16} {row['to']:<16} {kind:<24} {row['mtu']:>5}  {row['reason']}")


def _fields(found: NodePath) -> dict[str, object]:
    return {
        "to": found.node,
        "kind": found.kind,
        "reason": found.reason,
        "relay": found.relay,
        "firstHop": found.first_hop,
        "outer": str(found.outer) if found.outer else None,
        "mtu": found.mtu_bytes,
    }
