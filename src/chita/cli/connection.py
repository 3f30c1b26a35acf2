"""The running cluster, for commands that talk to it: which one, and as whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chita.api.auth import read_kubeconfig
from chita.api.client import ApiClient
from chita.api.kinds import RESOURCES, Resource
from chita.errors import InputError, NotFoundError
from chita.lab.layout import Layout
from chita.mirror.snapshot import read_cluster
from chita.model.cluster import ClusterState

_Command = TypeVar("_Command", bound=Callable[..., Any])
_T = TypeVar("_T")


def kubeconfig_option(command: _Command) -> _Command:
    """Give *command* the option ``--kubeconfig``, as its parameter *kubeconfig*."""
    return click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Credentials of the cluster; else KUBECONFIG, else those of the lab that runs.",
    )(command)


def print_warning(text: str) -> None:
    """Print what the server wants the user to know."""
    click.echo(f"warning: {text}", err=True)


def connected(
    kubeconfig: Path | None,
    act: Callable[[ApiClient], Awaitable[_T]],
    on_warning: Callable[[str], None] = print_warning,
) -> _T:
    """Return what *act* returns, given a client of the cluster.

    The server's warnings go to *on_warning* as they come.

    Raises:
        InputError: nothing says which cluster.
    """
    path = kubeconfig or Layout().kubeconfig
    if kubeconfig is None and not path.exists():
        raise InputError("which cluster? give --kubeconfig, set KUBECONFIG, or: chita lab up")

    async def run() -> _T:
        async with ApiClient(read_kubeconfig(path), on_warning=on_warning) as client:
            return await act(client)

    return asyncio.run(run())


def running_cluster(kubeconfig: Path | None) -> ClusterState:
    """Return the running cluster's state, by the agents' own conversion."""
    return connected(kubeconfig, read_cluster)


def resource_named(word: str) -> Resource:
    """Return the resource that a user calls *word*: a plural, a kind or ``plural.group``.

    Of several groups with the same plural, the Calico API comes first, as its users expect of a
    tool of this network; ``networkpolicies.networking.k8s.io`` names Kubernetes' own.

    Raises:
        NotFoundError: none is called so.
    """
    wanted = word.lower()
    found = [
        resource
        for resource in RESOURCES.values()
        if wanted in (resource.plural, resource.kind.lower(), f"{resource.plural}.{resource.group}")
    ]
    if not found:
        known = ", ".join(sorted({resource.plural for resource in RESOURCES.values()}))
        raise NotFoundError(f"no resource is called '{word}'; there are {known}")
    return min(found, key=lambda resource: resource.group != "projectcalico.org")
