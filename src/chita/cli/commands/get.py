"""``chita get``: show resources of the running cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chita.cli.connection import connected, kubeconfig_option, resource_named


@click.command()
@click.argument("resource")
@click.argument("name", required=False, default="")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace.")
@click.option("-l", "--selector", default="", help="Only those with these labels, such as app=web.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
@kubeconfig_option
def get(  # noqa: PLR0913, PLR0917 - one parameter an option
    resource: str,
    name: str,
    namespace: str,
    all_namespaces: bool,  # noqa: FBT001 - a flag of the command line
    selector: str,
    output: str,
    kubeconfig: Path | None,
) -> None:
    r"""Show RESOURCE (a plural or a kind), all of it or the one called NAME.

    \b
    Example:
        chita get globalnetworkpolicies -o yaml
    """
    kind = resource_named(resource)
    if name and (all_namespaces or selector):
        raise click.UsageError("a NAME is of one namespace and needs no selector")
    where = "" if all_namespaces or not kind.is_namespaced else namespace
    if output == "table":
        table = connected(
            kubeconfig, lambda client: client.table(kind, where, name, label_selector=selector)
        )
        _print_table(table, with_namespace=kind.is_namespaced and all_namespaces)
        return
    found: Any
    if name:
        found = connected(kubeconfig, lambda client: client.get(kind, name, where))
    else:
        listed = connected(
            kubeconfig, lambda client: client.list(kind, where, label_selector=selector)
        )
        found = {"apiVersion": "v1", "kind": "List", "items": listed.items}
    _print_object(found, output)


def _print_table(table: dict[str, Any], *, with_namespace: bool) -> None:
    columns = [
        index for index, column in enumerate(table["columnDefinitions"]) if not column["priority"]
    ]
    head = [table["columnDefinitions"][index]["name"].upper() for index in columns]
    rows = [[str(row["cells"][index]) for index in columns] for row in table["rows"] or ()]
    if with_namespace:
        head.insert(0, "NAMESPACE")
        for cells, row in zip(rows, table["rows"] or (), strict=True):
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    for cells in [head, *rows]:
        pairs = zip(cells, widths, strict=True)
        click.echo("  ".join(cell.ljust(width) for cell, width in pairs).rstrip())


def _print_object(value: Any, output: str) -> None:
    # Imported here: only these two forms need them.
    import json

    import yaml

    if output == "json":
        click.echo(json.dumps(value, indent=2))
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False), nl=False)
