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
    "--store",
    type=click.Choice(["sqlite", "etcd"]),
    default="sqlite",
    show_default=True,
    help="Where the objects are: in a file of --data-dir, or in etcd 3.4 or newer.",
)
@click.option(
    "--etcd-endpoints",
    metavar="URL,...",
    help="Client URLs of etcd's members, such as https://10.0.0.1:2379, with commas between.",
)
@click.option(
    "--etcd-cacert",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of the authority that signed etcd's certificates; else the system's.",
)
@click.option(
    "--etcd-cert",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of this server's client certificate for etcd.",
)
@click.option(
    "--etcd-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of the private key of --etcd-cert.",
)
@click.option(
    "--etcd-prefix",
    default="/chita/",
    show_default=True,
    help="What all keys in etcd begin with: clusters that share an etcd need one each.",
)
@click.option(
    "--etcd-timeout",
    type=click.FloatRange(min=0.5),
    default=5.0,
    show_default=True,
    help="Seconds that one answer of etcd may take.",
)
@click.option(
    "--etcd-compaction-interval",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    help="Seconds of history that etcd keeps; 0 leaves it to etcd's --auto-compaction-retention.",
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
    store: str,
    etcd_endpoints: str | None,
    etcd_cacert: Path | None,
    etcd_cert: Path | None,
    etcd_key: Path | None,
    etcd_prefix: str,
    etcd_timeout: float,
    etcd_compaction_interval: float,
    controller: bool,  # noqa: FBT001 - click passes a flag by position's name
    ipam_grace: float,
    log_format: str,
    log_level: str,
) -> None:
    r"""Run the API server: Kubernetes conventions on one SQLite file, or on etcd.

    It stops on SIGTERM. Everything acknowledged survives a crash.

    \b
    Example:
        chita server --data-dir /var/lib/chita --kubeconfig admin.kubeconfig
        chita server --store etcd --etcd-endpoints https://10.0.0.1:2379,https://10.0.0.2:2379
    """
    # Imported here: the server's libraries take longer to load than most commands to run.
    import asyncio
    from functools import partial

    from chita.controller.main import control
    from chita.server.main import Endpoint, ServerSettings, SqliteFile, serve
    from chita.store.etcd.settings import EtcdSettings, check_prefix, parse_endpoints
    from chita.telemetry.log import LogFormat, configure

    configure(format_=LogFormat(log_format), level=log_level)
    token = join_token_file.read_text().strip() if join_token_file else None
    place: SqliteFile | EtcdSettings = SqliteFile()
    if store == "etcd":
        place = EtcdSettings(
            endpoints=parse_endpoints(etcd_endpoints or ""),
            cacert=etcd_cacert,
            cert=etcd_cert,
            key=etcd_key,
            prefix=check_prefix(etcd_prefix),
            timeout_s=etcd_timeout,
            compaction_s=etcd_compaction_interval,
        )
    elif etcd_endpoints:
        raise click.UsageError("--etcd-endpoints has no effect without --store etcd")
    settings = ServerSettings(
        data_dir=data_dir,
        listen=tuple(Endpoint(*_endpoint(text)) for text in listen if text),
        inherited_fds=listen_fd,
        names=name,
        kubeconfig=kubeconfig,
        join_token=token,
        history_events=history,
        store=place,
    )
    controlling = [("controller", partial(control, ipam_grace_s=ipam_grace))]
    asyncio.run(serve(settings, controlling if controller else []))
