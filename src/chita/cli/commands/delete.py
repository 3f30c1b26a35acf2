"""``chita delete``: remove resources of the running cluster."""

from __future__ import annotations

from pathlib import Path

import click

from chita.api.client import ApiClient
from chita.cli.connection import connected, kubeconfig_option, resource_named


@click.command()
@click.argument("resource")
@click.argument("names", nargs=-1, required=True)
@click.option("-n", "--namespace", default="default", show_default=True)
@kubeconfig_option
def delete(resource: str, names: tuple[str, ...], namespace: str, kubeconfig: Path | None) -> None:
    r"""Delete the RESOURCEs called NAMES.

    \b
    Example:
        chita delete networkpolicies allow-web -n shop
    """
    kind = resource_named(resource)
    where = namespace if kind.is_namespaced else ""

    async def remove(client: ApiClient) -> None:
        for name in names:
            await client.delete(kind, name, where)
            click.echo(f"{kind.kind.lower()}/{name} deleted")

    connected(kubeconfig, remove)
