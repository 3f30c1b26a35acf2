"""``chita server``: run the API server of a cluster without Kubernetes."""

from __future__ import annotations

from pathlib import Path

import click

from chita.cli.log_options import logging_options


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r}: give HOST:PORT, such as 127.0.0.1:6443 or [::1]:6443")
    return host.strip("[]"), int(port)


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/chita"),
    show_default=True,
    help="Directory of the database and the certificates; made with mode 0700.",
)
@click.option(
    "--listen",
    multiple=True,
    default=["127.0.0.1:6443"],
    show_default=True,
    help="HOST:PORT to serve on, TLS always; repeat for more. Port 0 takes a free one.",
)
@click.option(
    "--listen-fd",
    multiple=True,
    type=click.IntRange(min=3),
    help="A listening socket that this process inherits; repeat for more.",
)
@click.option(
    "--name",
    multiple=True,
    help="A further host name or address for the server's certificate; repeat for more.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an administrator's kubeconfig here at each start (mode 0600).",
)
@click.option(
    "--join-token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with a token of at least 16 characters that nodes may join with.",
)
@click.option(
    "--history",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Writes to remember, so that a watch can resume after a break.",
)
@click.option(
    "--controller/--no-controller",
    default=True,
    show_default=True,
    help="Collect garbage in this process: addresses of vanished pods, records of deleted nodes.",
)
@click.option(
    "--ipam-grace",
    type=click.FloatRange(min=1),
    default=900,
    show_default=True,
    help="Seconds that an address must look leaked before it is freed.",
)
@logging_options
def server(  # noqa: PLR0913, PLR0917 - click passes one argument per option
    data_dir: Path,
    listen: tuple[str, ...],
    listen_fd: tuple[int, ...],
    name: tuple[str, ...],
    kubeconfig: Path | None,
    join_token_file: Path | None,
    history: int,
    controller: bool,  # noqa: FBT001 - click passes a flag by position's name
    ipam_grace: float,
    log_format: str,
    log_level: str,
) -> None:
    r"""Run the API server: Kubernetes conventions on one SQLite file.

    It stops on SIGTERM. Everything acknowledged survives a crash.

    \b
    Example:
        chita server --data-dir /var/lib/chita --kubeconfig admin.kubeconfig
    """
    # Imported here: the server's libraries take longer to load than most commands to run.
    import asyncio
    from functools import partial

    from chita.controller.main import control
    from chita.server.main import Endpoint, ServerSettings, serve
    from chita.telemetry.log import LogFormat, configure

    configure(format_=LogFormat(log_format), level=log_level)
    token = join_token_file.read_text().strip() if join_token_file else None
    settings = ServerSettings(
        data_dir=data_dir,
        listen=tuple(Endpoint(*_endpoint(text)) for text in listen if text),
        inherited_fds=listen_fd,
        names=name,
        kubeconfig=kubeconfig,
        join_token=token,
        history_events=history,
    )
    controlling = [("controller", partial(control, ipam_grace_s=ipam_grace))]
    asyncio.run(serve(settings, controlling if controller else []))
