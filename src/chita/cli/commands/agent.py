"""``chita agent``: run the agent of this node."""

from __future__ import annotations

from pathlib import Path

import click

from chita.cli.log_options import logging_options


@click.command()
@click.option("--node", default="", help="This node's name in the API; else the one it joined as.")
@click.option("--server", default="", help="URL of `chita server`, such as https://10.0.0.5:6443.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Certificate by which the server is known.",
)
@click.option(
    "--token",
    envvar="CHITA_JOIN_TOKEN",
    default="",
    help="Join token, used once; better in the environment variable CHITA_JOIN_TOKEN.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Credentials for kube-apiserver, instead of --server, --ca-file and --token.",
)
@click.option(
    "--psk-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Pre-shared key of all nodes (`wg genpsk`), a second factor of every tunnel; mode 0600.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/chita"),
    show_default=True,
    help="Keys, certificate and attachments; made with mode 0700.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/run/chita"),
    show_default=True,
    help="The agent's socket and its engines'.",
)
@click.option(
    "--pod-mtu",
    type=click.IntRange(min=1280, max=65535),
    help="MTU of pods' interfaces in bytes; else what the node's network carries less 50.",
)
@click.option(
    "--resync",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds between comparisons with the kernel when nothing happens.",
)
@logging_options
def agent(  # noqa: PLR0913, PLR0917 - one parameter an option
    node: str,
    server: str,
    ca_file: Path | None,
    token: str,
    kubeconfig: Path | None,
    psk_file: Path | None,
    state_dir: Path,
    run_dir: Path,
    pod_mtu: int | None,
    resync: float,
    log_format: str,
    log_level: str,
) -> None:
    r"""Run the agent of this node until SIGTERM; the kernel keeps what it was given.

    A host that was joined (`chita node join`) needs no options.

    \b
    Example:
        chita agent --node aws-1 --server https://198.18.0.10:6443 --ca-file ca.crt
    """
    # Imported here: the agent's libraries take longer to load than most commands to run.
    import asyncio

    from chita.agent.main import run
    from chita.agent.membership import completed
    from chita.agent.settings import AgentSettings
    from chita.telemetry.log import LogFormat, configure

    configure(format_=LogFormat(log_format), level=log_level)
    settings = AgentSettings(
        node=node,
        server=server.rstrip("/"),
        ca_file=ca_file,
        join_token=token,
        kubeconfig=kubeconfig,
        preshared_key_file=psk_file,
        state_dir=state_dir,
        run_dir=run_dir,
        pod_mtu_bytes=pod_mtu,
        resync_s=resync,
    )
    asyncio.run(run(completed(settings)))
