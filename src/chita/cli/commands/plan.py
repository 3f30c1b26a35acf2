"""``chita plan``: what a change would do, before it is applied."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from chita.cli.flow_changes import FlowChange
from chita.cli.impact import Impact, impact
from chita.cli.output import Output, output_option, print_json
from chita.cli.session import (
    Documents,
    changed_world,
    load_world,
    read_entries,
    world_of,
    world_options,
)
from chita.convert.documents import Entry
from chita.convert.entities import group_kind


@click.command()
@world_options
@click.option(
    "--change",
    "changes",
    multiple=True,
    metavar="FILE",
    help="Objects to put, over those of the same kind and name; may be repeated.",
)
@click.option(
    "--delete",
    "deletions",
    multiple=True,
    metavar="FILE",
    help="Objects to take away, by kind and name; may be repeated.",
)
@output_option
def plan(
    filenames: Sequence[str],
    kubeconfig: Path | None,
    changes: Sequence[str],
    deletions: Sequence[str],
    output: Output,
) -> None:
    r"""Show what a change would do: flows, policies, sets and nodes; change nothing.

    The first -f is the world as it is, every further one a change to it, as with --change.
    Without -f the change is to the running cluster.

    Exits 0 when nothing would change, 1 when something would, 2 when a file cannot be read.
    With -o json: an object of the lists newlyAllowed and newlyDenied (from, to, port, protocol,
    family), policiesAdded, policiesChanged, policiesRemoved (keys), sets (set, of, added,
    removed) and nodes (node, setsChanged, policiesChanged, endpointsChanged).

    \b
    Example:
        chita plan -f world.yaml -f new-policy.yaml
        chita plan -f world.yaml --delete old-policy.yaml -o json
        chita plan --change new-policy.yaml
    """
    changed = read_entries([*filenames[1:], *changes])
    gone = read_entries(deletions)
    if len(filenames) + len(changes) + len(deletions) < 1 + bool(filenames):
        raise click.UsageError(
            "name the world and a change: -f WORLD -f CHANGE, or --change or --delete FILE; "
            "without -f it is one to the running cluster"
        )
    if filenames:
        documents = read_entries(filenames[:1])
        before = world_of(documents)
        after = world_of(_applied(documents, changed, gone), before=before.cluster)
    else:
        before = load_world((), kubeconfig)
        after = changed_world(before, changed, gone)
    found = impact(before, after)
    match output:
        case Output.JSON:
            print_json(found)
        case Output.TEXT:
            _print_text(found)
    sys.exit(0 if found.is_nothing else 1)


def _applied(documents: Documents, changed: Documents, gone: Documents) -> Documents:
    """Return the world with *changed* put into it and *gone* taken out.

    What is wrong in the world itself has been told already and is not told again.
    """
    entries: Mapping[object, Entry] = {
        **{_identity(entry): entry for entry in documents.entries},
        **{_identity(entry): entry for entry in changed.entries},
    }
    away = {_identity(entry) for entry in gone.entries}
    kept = tuple(entry for identity, entry in entries.items() if identity not in away)
    return Documents(kept, (*changed.problems, *gone.problems))


def _identity(entry: Entry) -> object:
    return (*group_kind(entry.raw), entry.namespace or "default", entry.name)


def _print_text(found: Impact) -> None:
    if found.is_nothing:
        click.echo("nothing changes")
        return
    for word, policies in (
        ("added", found.policies_added),
        ("changed", found.policies_changed),
        ("removed", found.policies_removed),
    ):
        for policy in policies:
            click.echo(f"policy {word}: {policy}")
    for word, flows in (("allowed", found.newly_allowed), ("denied", found.newly_denied)):
        for flow in flows:
            click.echo(f"newly {word}: {_flow(flow)}")
    for each in found.sets:
        click.echo(f"set {each.of}: {each.added} added, {each.removed} removed")
    for node in found.nodes:
        click.echo(
            f"node {node.node}: {node.endpoints_changed} endpoints, "
            f"{node.policies_changed} policies, {node.sets_changed} sets change"
        )


def _flow(flow: FlowChange) -> str:
    return f"{flow.from_} -> {flow.to} {flow.protocol} {flow.port} (IPv{flow.family})"
