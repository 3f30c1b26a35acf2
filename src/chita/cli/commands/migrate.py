"""``chita migrate``: take a cluster over from Calico, flannel or kubenet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from chita.cli.output import Output, output_option, print_json
from chita.cli.session import filename_option, read_entries
from chita.migrate.addresses import Held
from chita.migrate.conversion import conversion
from chita.migrate.export import Export
from chita.migrate.export import export as export_of
from chita.migrate.finding import Effect, Finding
from chita.migrate.report import Report
from chita.migrate.report import report as report_of

if TYPE_CHECKING:
    from chita.convert.documents import Object


@click.group()
def migrate() -> None:
    r"""Take a cluster over from Calico, flannel or kubenet, node by node.

    \b
    Example:
        chita migrate report -f calico-export.yaml
    """


@migrate.command()
@filename_option
@output_option
def report(filenames: Sequence[str], output: Output) -> None:
    r"""Say what will differ from the network whose objects are in FILE; change nothing.

    Calico's objects as projectcalico.org/v3 or crd.projectcalico.org/v1, Kubernetes' own beside
    them where pods, nodes and policies should count. Each finding is refused (not valid here, left
    out), changes (works otherwise afterwards), ignored (no effect here) or kept.

    Exits 0 when nothing is refused or changes, 1 when something is or does, 2 when a document can't
    be read.

    \b
    Example:
        chita migrate report -f examples/migrate/calico-export.yaml -o json
    """
    found = report_of(_read(filenames))
    match output:
        case Output.JSON:
            print_json(found)
        case Output.TEXT:
            _print_report(found)
    sys.exit(1 if found.differs else 0)


@migrate.command()
@filename_option
@output_option
def convert(filenames: Sequence[str], output: Output) -> None:
    r"""Print the objects to apply instead of Calico's objects in FILE.

    As projectcalico.org/v3, without what a server set: the same policy for every flow, and every
    block and address with the handle that has it. Text output is YAML that `chita apply` and
    `kubectl apply` take. What is left out is told on the standard error.

    Exits 0 when all was converted, 1 when an object is not valid here, 2 when a document can't be
    read.

    \b
    Example:
        chita migrate convert -f calico-export.yaml > chita-objects.yaml
    """
    converted = conversion(_read(filenames))
    match output:
        case Output.JSON:
            print_json({"apiVersion": "v1", "kind": "List", "items": converted.objects})
        case Output.TEXT:
            _print_yaml(converted.objects)
    refused = [found for found in converted.findings if found.effect is Effect.REFUSED]
    for found in refused:
        click.echo(f"error: {_line(found)}", err=True)
    sys.exit(1 if refused else 0)


def _read(filenames: Sequence[str]) -> Export:
    documents = read_entries(filenames)
    for problem in documents.problems:
        click.echo(f"error: {problem}", err=True)
    if documents.problems:
        sys.exit(2)
    return export_of(documents.entries)


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
