"""``chita delete``: remove resources of the running cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chita.api.client import ApiClient
from chita.cli.connection import connected, kubeconfig_option, resource_named
from chita.errors import ApiError, ConflictError, NotFoundError


@click.command()
@click.argument("resource")
@click.argument("names", nargs=-1, required=True)
@click.option("-n", "--namespace", default="default", show_default=True)
@kubeconfig_option
def delete(resource: str, names: tuple[str, ...], namespace: str, kubeconfig: Path | None) -> None:
    r"""Delete the RESOURCEs called NAMES.

    One that cannot be deleted does not stop the others. Exits 1 when there was one.

    \b
    Example:
        chita delete networkpolicies allow-web -n shop
    """
    kind = resource_named(resource)
    where = namespace if kind.is_namespaced else ""

    async def remove(client: ApiClient) -> int:
        failed = 0
        for name in names:
            what = f"{kind.kind.lower()}/{name}"
            try:
                await client.delete(kind, name, where)
            except (NotFoundError, ConflictError, ApiError) as error:
                failed += 1
                click.echo(f"error: {what}: {error}", err=True)
            else:
                click.echo(f"{what} deleted")
        return failed

    sys.exit(1 if connected(kubeconfig, remove) else 0)
