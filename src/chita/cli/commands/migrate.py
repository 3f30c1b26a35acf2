"""``chita migrate``: take a cluster over from Calico, flannel or kubenet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chita.cli.output import Output, output_option, print_json
from chita.cli.session import read_entries, world_options
from chita.errors import InputError
from chita.migrate.addresses import Held
from chita.migrate.conversion import conversion, of_node
from chita.migrate.export import Export
from chita.migrate.export import export as export_of
from chita.migrate.finding import Effect, Finding
from chita.migrate.report import Report
from chita.migrate.report import report as report_of
from chita.model.net import Cidr

if TYPE_CHECKING:
    from chita.convert.documents import Object
    from chita.migrate.plan import Plan
    from chita.migrate.step import Step


_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def migrate() -> None:
    r"""Take a cluster over from Calico, flannel or kubenet, node by node.

    \b
    Example:
        chita migrate report -f calico-export.yaml
    """


def source_options(command: _Command) -> _Command:
    """Give *command* the parameters *filenames*, *kubeconfig* and *pod_cidrs*."""
    command = click.option(
        "--pod-cidr",
        "pod_cidrs",
        multiple=True,
        metavar="CIDR",
        help="A pod network of the cluster (controller-manager's --cluster-cidr), for kubenet and "
        "canal; else the smallest one that holds what nodes have. May be repeated.",
    )(command)
    return world_options(command)


@migrate.command()
@source_options
@output_option
def report(
    filenames: Sequence[str], kubeconfig: Path | None, pod_cidrs: Sequence[str], output: Output
) -> None:
    r"""Say what will differ from the network that runs now; change nothing.

    FILE has Calico's objects as projectcalico.org/v3 or crd.projectcalico.org/v1, or Nodes with
    their podCIDRs (flannel, kubenet); pods, policies and the ConfigMap of flannel count where they
    are there. Each finding is refused (not valid here, left out), changes (works otherwise
    afterwards), ignored (no effect here) or kept.

    Exits 0 when nothing is refused or changes, 1 when something is or does, 2 when a document can't
    be read.

    \b
    Example:
        chita migrate report -f examples/migrate/calico-export.yaml -o json
    """
    found = report_of(_read(filenames, kubeconfig), _cidrs(pod_cidrs))
    match output:
        case Output.JSON:
            print_json(found)
        case Output.TEXT:
            _print_report(found)
    sys.exit(1 if found.differs else 0)


@migrate.command()
@source_options
@click.option(
    "--node",
    default="",
    help="Only who has which address of this node's blocks: once its old daemon has stopped.",
)
@output_option
def convert(
    filenames: Sequence[str],
    kubeconfig: Path | None,
    pod_cidrs: Sequence[str],
    node: str,
    output: Output,
) -> None:
    r"""Print the objects to apply instead of those of the network that runs now.

    As projectcalico.org/v3, without what a server set: the same policy for every flow, and every
    block and address with the handle that has it. Text output is YAML that `chita apply` and
    `kubectl apply` take. What is left out is told on the standard error.

    Exits 0 when all was converted, 1 when an object is not valid here, 2 when a document can't be
    read.

    \b
    Example:
        chita migrate convert -f examples/migrate/calico-export.yaml > chita-objects.yaml
    """
    converted = conversion(_read(filenames, kubeconfig), _cidrs(pod_cidrs))
    objects = of_node(converted, node) if node else converted.objects
    if node and not objects:
        raise InputError(f"node {node} has no block in the export")
    match output:
        case Output.JSON:
            print_json({"apiVersion": "v1", "kind": "List", "items": objects})
        case Output.TEXT:
            _print_yaml(objects)
    refused = [found for found in converted.findings if found.effect is Effect.REFUSED]
    for found in refused:
        click.echo(f"error: {_line(found)}", err=True)
    sys.exit(1 if refused else 0)


@migrate.command()
@source_options
@output_option
def plan(
    filenames: Sequence[str], kubeconfig: Path | None, pod_cidrs: Sequence[str], output: Output
) -> None:
    r"""Print the steps of taking the cluster over, each with its way back; do none of them.

    What is done once before, for each node in its order, and once after; and what reaches what
    while some nodes have moved and others have not.

    \b
    Example:
        chita migrate plan -f examples/migrate/calico-export.yaml
    """
    from chita.migrate.plan import plan as plan_of

    del pod_cidrs
    found = plan_of(_read(filenames, kubeconfig))
    match output:
        case Output.JSON:
            print_json(found)
        case Output.TEXT:
            _print_plan(found)


def _print_plan(found: Plan) -> None:
    click.echo(f"Taking over from {found.source}\n\nOnce, before the first node")
    _print_steps(found.prepare)
    click.echo("\nThe nodes, in this order")
    for node in found.nodes:
        is_what = [
            text
            for text, is_so in (
                ("gateway", node.is_gateway),
                ("control plane", node.is_control_plane),
            )
            if is_so
        ]
        click.echo("  " + "  ".join([node.name, f"location {node.location}", *is_what]))
    click.echo("\nFor each NODE")
    _print_steps(found.each)
    click.echo("\nBetween nodes that have moved and nodes that have not")
    for reach in found.meanwhile:
        why = f": {reach.why}" if reach.why else ""
        click.echo(f"  {reach.works:<6}  {reach.traffic}{why}")
    for advice in found.advice:
        click.echo(f"  {advice}")
    click.echo("\nOnce, after the last node")
    _print_steps(found.finish)


def _print_steps(steps: Sequence[Step]) -> None:
    for number, step in enumerate(steps, start=1):
        click.echo(f"{number:>3}. {step.title}")
        for command in step.commands:
            click.echo(f"       {command}")
        click.echo(f"     traffic: {step.effect}")
        for command in step.back:
            click.echo(f"     back: {command}")


def _read(filenames: Sequence[str], kubeconfig: Path | None) -> Export:
    if not filenames:
        # Imported here: the client's libraries take longer to load than files to be read.
        from chita.cli.connection import connected
        from chita.migrate.cluster import read_export

        return connected(kubeconfig, read_export)
    documents = read_entries(filenames)
    for problem in documents.problems:
        click.echo(f"error: {problem}", err=True)
    if documents.problems:
        sys.exit(2)
    return export_of(documents.entries)


def _cidrs(texts: Sequence[str]) -> list[Cidr]:
    return [Cidr.parse(text) for text in texts]


def _print_yaml(objects: Sequence[Object]) -> None:
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes a value that stands twice in full each time, as people do."""

        def ignore_aliases(self, data: Any) -> bool:
            """Return that nothing becomes an anchor."""
            del data
            return True

    for obj in objects:
        click.echo("---")
        click.echo(yaml.dump(obj, Dumper=Plain, sort_keys=False, width=100), nl=False)


def _line(found: Finding) -> str:
    where = f"{found.file}:{found.line}: " if found.file else ""
    return where + ": ".join(part for part in (found.what, found.field, found.message) if part)


_HEADS = {
    Effect.REFUSED: "Refused: not valid here and left out; mend these first",
    Effect.CHANGES: "Changes: works otherwise afterwards",
    Effect.IGNORED: "Ignored: has no effect here",
    Effect.KEPT: "Kept",
}


def _print_report(found: Report) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
    click.echo(f"from {found.source}: {kinds or 'nothing to carry over'}")
    for effect, head in _HEADS.items():
        lines = [_line(each) for each in found.findings if each.effect is effect]
        if lines:
            click.echo(f"\n{head} ({len(lines)})")
            for line in lines:
                click.echo(f"  {line}")
    if found.pools:
        click.echo("\nPools")
        for pool in found.pools:
            click.echo(f"  {pool.name}  {pool.cidr}  {pool.carriage} {pool.mode}")
    if found.nodes:
        click.echo("\nAddresses kept")
        for node in found.nodes:
            blocks = ", ".join(node.blocks) or "no block"
            borrowed = f", {node.borrowed} borrowed" if node.borrowed else ""
            click.echo(f"  {node.node or 'no node'}: {node.addresses} in {blocks}{borrowed}")
        for held in found.addresses:
            click.echo(f"    {held.address}  {_owner(held)}")


def _owner(held: Held) -> str:
    if held.pod:
        return f"{held.pod} on {held.node}"
    return f"{held.use or held.handle} of {held.node or 'nobody'}"
