"""``chita webhook``: the reviews of a Kubernetes cluster's API server, without the controller."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from chita.cli.log_options import logging_options


def endpoint(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; without a host all addresses are meant.

    Raises:
        BadParameter: *text* has another form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) <= 65535:
        raise click.BadParameter(f"{text!r}: give HOST:PORT or :PORT, such as 127.0.0.1:9473")
    return host.strip("[]"), int(port)


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Credentials for kube-apiserver; else those of the pod that this runs in.",
)
@click.option(
    "--listen",
    default=":9473",
    show_default=True,
    help="HOST:PORT to answer on, TLS always; without HOST on all addresses.",
)
@click.option(
    "--name",
    multiple=True,
    help="A further host name or address for the certificate; repeat for more.",
)
@logging_options
def webhook(
    kubeconfig: Path | None, listen: str, name: tuple[str, ...], log_format: str, log_level: str
) -> None:
    r"""Answer admission reviews until SIGTERM; `chita controller --webhook` has its own.

    \b
    Example:
        chita webhook --kubeconfig /etc/kubernetes/admin.conf --listen 127.0.0.1:9473
    """
    # Imported here: the webhook's libraries take longer to load than most commands to run.
    import asyncio

    from chita.api.auth import read_kubeconfig
    from chita.install.node import in_cluster_kubeconfig
    from chita.telemetry.log import LogFormat, configure
    from chita.webhook.main import Settings, run

    host, port = endpoint(listen)
    configure(format_=LogFormat(log_format), level=log_level)
    if kubeconfig is not None:
        config = read_kubeconfig(kubeconfig)
    else:
        with tempfile.NamedTemporaryFile("w", prefix="chita-") as file:
            file.write(in_cluster_kubeconfig(os.environ))
            file.flush()
            config = read_kubeconfig(Path(file.name))
    asyncio.run(run(config, Settings(host=host, port=port, names=name)))
