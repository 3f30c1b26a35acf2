"""``chita install``: what brings Chita into a Kubernetes cluster, and onto a node of it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from chita.install.options import DEFAULT_POD_CIDR, Encryption, Options


@click.command()
@click.option(
    "--pod-cidr",
    "pod_cidrs",
    multiple=True,
    default=(DEFAULT_POD_CIDR,),
    show_default=True,
    help="Network of the pods; once, or once for each family.",
)
@click.option(
    "--pod-mtu",
    type=click.IntRange(min=1280, max=65535),
    help="MTU of pods' interfaces in bytes; else what each node's network carries.",
)
@click.option(
    "--encryption",
    type=click.Choice([each.value for each in Encryption]),
    default=Encryption.BETWEEN_LOCATIONS.value,
    show_default=True,
    help="What travels encrypted.",
)
@click.option(
    "--image", default=Options().image, show_default=True, help="Image of agent and controller."
)
def install(pod_cidrs: tuple[str, ...], pod_mtu: int | None, encryption: str, image: str) -> None:
    r"""Print the manifests that bring Chita into a Kubernetes cluster; change nothing.

    The pools and the configuration are made by the controller at its first start; those that are
    there stay as they are.

    \b
    Example:
        chita install --pod-cidr 10.244.0.0/16 --encryption All
    """
    from chita.install.manifests import BASE, manifests, text  # here: it reads every schema

    options = Options(
        pod_cidrs=pod_cidrs,
        pod_mtu_bytes=pod_mtu,
        encryption=Encryption(encryption),
        image=image,
    )
    click.echo(BASE + text(manifests(options.checked())), nl=False)


@click.command()
@click.option(
    "--cni-bin",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/opt/cni/bin"),
    show_default=True,
    help="Where the container runtime looks for CNI plugins.",
)
@click.option(
    "--cni-conf",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/cni/net.d"),
    show_default=True,
    help="Where it looks for their configuration.",
)
@click.option(
    "--interpreter",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/usr/bin/python3"),
    show_default=True,
    help="The node's own Python, which runs the CNI plugin; 3.11 or newer.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the agent's credentials, of the pod that this runs in.",
)
def install_node(cni_bin: Path, cni_conf: Path, interpreter: Path, kubeconfig: Path | None) -> None:
    r"""Install the CNI plugin on this node, each file replaced as a whole; for init containers.

    \b
    Example:
        chita install-node --cni-bin /opt/cni/bin --cni-conf /etc/cni/net.d
    """
    from chita.cni.install import install as install_cni
    from chita.cni.install import install_loopback
    from chita.install.node import write_kubeconfig

    if kubeconfig is not None:
        write_kubeconfig(kubeconfig, os.environ)
    # First: the configuration that the next line writes is what makes the runtime start pods.
    install_loopback(cni_bin)
    install_cni(cni_bin, cni_conf, interpreter=interpreter)
