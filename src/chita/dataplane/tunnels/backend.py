"""Which back end serves WireGuard on this machine: the kernel's where there is one."""

from __future__ import annotations

from pathlib import Path

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.wireguard import WireguardBackend
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.dataplane.tunnels.wireguard_kernel import WireguardKernel
from chita.errors import UnsupportedError


def wireguard_backend(device: str, socket: NetlinkSocket, *, directory: Path) -> WireguardBackend:
    """Return the back end that serves *device*, or that shall.

    A device that exists keeps its back end: replacing one that works because a module appeared
    would cut its sessions. A new one is the kernel's if it can make it (which loads the module),
    else wireguard-go's, with its socket, pid file and log in *directory*.

    Raises:
        KernelError: the kernel has WireGuard, but refused to make the device.
    """
    kernel = WireguardKernel(device, socket)
    by_process = WireguardGo(device, directory=directory, namespace=socket.namespace)
    held = Links(socket).get(device)
    if held is not None:
        return kernel if held.kind == "wireguard" else by_process
    try:
        kernel.ensure()
    except UnsupportedError:
        return by_process
    return kernel
