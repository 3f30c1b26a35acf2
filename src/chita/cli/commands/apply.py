"""``chita apply``: make the running cluster hold the objects of files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from chita.api.client import ApiClient, Object, PatchType
from chita.api.kinds import resource_of
from chita.cli.connection import connected, kubeconfig_option
from chita.cli.session import filename_option, read_entries
from chita.errors import ChitaError, NotFoundError

FIELD_MANAGER = "chita"


@click.command()
@filename_option
@kubeconfig_option
def apply(filenames: Sequence[str], kubeconfig: Path | None) -> None:
    r"""Create or change the objects of FILEs, by server-side apply; leave all else alone.

    One object that is refused does not stop the others. What is stored and has no effect, or
    another than written, is a warning. Exits 1 when an object was refused.

    \b
    Example:
        chita apply -f policy.yaml
    """
    documents = read_entries(filenames)
    for problem in documents.problems:
        click.echo(f"error: {problem}", err=True)

    warnings: list[str] = []

    async def put(client: ApiClient) -> int:
        refused = 0
        for entry in documents.entries:
            what = f"{entry.kind.lower()}/{entry.name}"
            warnings.clear()
            try:
                done = await _applied(client, entry.raw)
                for warning in warnings:
                    click.echo(f"warning: {entry.source}: {what}: {warning}", err=True)
                click.echo(f"{what} {done}")
            except ChitaError as error:
                refused += 1
                click.echo(f"error: {entry.source}: {what}: {error}", err=True)
        return refused

    refused = connected(kubeconfig, put, warnings.append)
    sys.exit(1 if refused or documents.problems else 0)


async def _applied(client: ApiClient, obj: Object) -> str:
    """Apply one object; return what became of it, in kubectl's words."""
    resource = resource_of(obj)
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    if resource.is_namespaced and not namespace:
        namespace = "default"
    try:
        before = _content(await client.get(resource, name, namespace))
    except NotFoundError:
        before = None
    stored = await client.patch(
        resource,
        name,
        obj,
        namespace=namespace,
        patch_type=PatchType.APPLY,
        query={"fieldManager": FIELD_MANAGER, "force": "true"},
    )
    if before is None:
        return "created"
    return "unchanged" if _content(stored) == before else "configured"


def _content(obj: Object) -> Object:
    """Return *obj* without the server's notes on who wrote it when, and without its status."""
    notes = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in notes}
    return {**obj, "metadata": metadata, "status": None}
