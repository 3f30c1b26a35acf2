"""``chita controller``: what runs once in a cluster whose API is Kubernetes'."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chita.cli.log_options import logging_options

if TYPE_CHECKING:
    from chita.controller.main import Beside


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Credentials for kube-apiserver; else those of the pod that this runs in.",
)
@click.option(
    "--initial",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="YAML of objects to create unless they are there.",
)
@click.option(
    "--webhook",
    metavar="HOST:PORT",
    help="Also answer the API server's admission reviews there, as `chita webhook` does.",
)
@logging_options
def controller(
    kubeconfig: Path | None,
    initial: Path | None,
    webhook: str | None,
    log_format: str,
    log_level: str,
) -> None:
    r"""Run the controller until SIGTERM; `chita server` has its own.

    \b
    Example:
        chita controller --kubeconfig /etc/kubernetes/admin.conf
    """
    # Imported here: the controller's libraries take longer to load than most commands to run.
    import asyncio

    from chita.api.auth import read_kubeconfig
    from chita.controller.initial import read_objects
    from chita.controller.main import run
    from chita.install.node import in_cluster_kubeconfig
    from chita.telemetry.log import LogFormat, configure

    configure(format_=LogFormat(log_format), level=log_level)
    if kubeconfig is not None:
        config = read_kubeconfig(kubeconfig)
    else:
        with tempfile.NamedTemporaryFile("w", prefix="chita-") as file:
            file.write(in_cluster_kubeconfig(os.environ))
            file.flush()
            config = read_kubeconfig(Path(file.name))
    objects = read_objects(initial) if initial is not None else ()
    asyncio.run(run(config, objects, [_reviewing(webhook)] if webhook is not None else ()))


def _reviewing(listen: str) -> Beside:
    """Return the webhook, which answers in every replica."""
    from functools import partial

    from chita.cli.commands.webhook import endpoint
    from chita.webhook.main import Settings, keep_reviewing

    host, port = endpoint(listen)
    return "webhook", partial(keep_reviewing, settings=Settings(host=host, port=port))
