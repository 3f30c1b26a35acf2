"""What commands that decide about flows start from: the files of ``-f``, or the running cluster.

What is wrong with a document is told on the standard error, with file and line, and the rest is
used: the answer is about the cluster that the sound part describes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from chita.cli.files import read_texts
from chita.convert.documents import Entry, WorldProblem, read_documents
from chita.convert.entities import changes, removals
from chita.convert.world import World, cluster_from_objects, host_pods, listeners, replicas
from chita.errors import InputError
from chita.model.cluster import Change, ClusterState, fold
from chita.model.validate.objects import validate

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Documents(msgspec.Struct, frozen=True):
    """All API objects of some files, in order, and what of the files is no object."""

    entries: tuple[Entry, ...]
    problems: tuple[WorldProblem, ...]


def filename_option(command: _Command) -> _Command:
    """Give *command* the option ``-f``, as its parameter *filenames*."""
    return click.option(
        "-f",
        "--filename",
        "filenames",
        multiple=True,
        required=True,
        metavar="FILE",
        help="A YAML or JSON file, a directory of them, or - for the standard input; "
        "may be repeated.",
    )(command)


def world_options(command: _Command) -> _Command:
    """Give *command* the parameters *filenames*, which may be empty, and *kubeconfig*."""
    command = click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Credentials of the running cluster, for use without -f.",
    )(command)
    return click.option(
        "-f",
        "--filename",
        "filenames",
        multiple=True,
        metavar="FILE",
        help="A YAML or JSON file, a directory of them, or - for the standard input; "
        "may be repeated. Without: the running cluster.",
    )(command)


def read_entries(names: Iterable[str]) -> Documents:
    """Return the objects of the files *names*.

    Raises:
        InputError: a file cannot be read at all.
    """
    entries: list[Entry] = []
    problems: list[WorldProblem] = []
    for name, text in read_texts(names):
        documents = read_documents(text, file=name)
        entries += documents.entries
        problems += documents.problems
    return Documents(tuple(entries), tuple(problems))


def load_world(names: Sequence[str], kubeconfig: Path | None) -> World:
    """Return the cluster that the files *names* describe; report what did not get into it.

    Without files it is the running cluster that *kubeconfig* gives access to.

    Raises:
        InputError: a file cannot be read, or none of them has an object.
        ApiError: the running cluster does not answer.
    """
    if not names:
        return _running_world(kubeconfig)
    documents = read_entries(names)
    world = world_of(documents)
    if not documents.entries:
        raise InputError(f"{', '.join(names)}: no object can be read; write Kubernetes manifests")
    return world


def _running_world(kubeconfig: Path | None) -> World:
    # Imported here: the client's libraries take longer to load than files to be read.
    from chita.api.client import ApiClient
    from chita.cli.connection import connected, resource_named
    from chita.mirror.snapshot import read_cluster

    async def read(client: ApiClient) -> World:
        cluster = await read_cluster(client)
        pods = await client.list(resource_named("pods"))
        return World(
            cluster=cluster,
            listeners=listeners(cluster, pods.items),
            host_pods=host_pods(pods.items),
            replicas=replicas(cluster, pods.items),
        )

    return connected(kubeconfig, read)


def world_of(documents: Documents, *, before: ClusterState | None = None) -> World:
    """Return the cluster of *documents*; report what did not get into it.

    Pods of *before* keep their addresses.
    """
    raw = [entry.raw for entry in documents.entries]
    world = cluster_from_objects(raw, before=before)
    problems = list(documents.problems)
    problems += [
        documents.entries[found.index].problem(found.problem.field, found.problem.message)
        for found in world.problems
    ]
    problems += _refused(documents.entries, {found.index for found in world.problems})
    for problem in sorted(problems, key=lambda each: (each.source.file, each.source.document)):
        click.echo(f"warning: {problem}", err=True)
    for notice in world.notices:
        if notice.kind not in _EXPECTED:
            click.echo(f"note: {notice.kind} {notice.name}: {notice.message}", err=True)
    return world


def changed_world(world: World, changed: Documents, gone: Documents) -> World:
    """Return *world* with the objects of *changed* put and those of *gone* taken away.

    What a cluster would derive of them (pods of a Deployment, addresses) is not there yet; what is
    wrong with them is reported.
    """
    found: list[Change] = []
    problems = [*changed.problems, *gone.problems]
    for entry in changed.entries:
        made, wrong = changes(entry.raw)
        found += made
        problems += [entry.problem(each.field, each.message) for each in wrong]
    for entry in gone.entries:
        found += removals(entry.raw)
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    return msgspec.structs.replace(world, cluster=fold(world.cluster, found))


_EXPECTED = frozenset({"Node", "Namespace", "ServiceAccount"})
"""Kinds whose objects files often leave out: making them up is no news."""


def _refused(entries: Sequence[Entry], told: Container[int]) -> Iterator[WorldProblem]:
    """Yield why the API server would refuse objects that nonetheless mean something.

    They count in the answer: leaving a policy out might allow more than it does.
    """
    for index, entry in enumerate(entries):
        if index not in told:
            for problem in validate(entry.raw):
                message = f"{problem.message} (the API server refuses the object)"
                yield entry.problem(problem.field, message)
