"""Whether a lab can run on this machine: what is missing is named with its mend at the start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chita.errors import KernelError, UnsupportedError
from chita.lab.netns import ip_batch, netns_path, run_in

PROGRAMS = {"ip": "iproute2", "nft": "nftables", "wireguard-go": "wireguard-go"}
"""Programs the lab starts, with the Debian package that has each."""

_VXLAN = "link add chita-probe type vxlan id 1 dstport 4789"
_RULESET = """
table inet chita-probe {
  set s { type ifname . ipv4_addr; }
  chain c {
    type filter hook forward priority 0;
    ct state established accept
    iifname vmap { "x" : drop }
  }
  chain n {
    type nat hook postrouting priority 100;
    masquerade
  }
}
"""
"""A little of everything that policy needs of nftables."""


def check_machine() -> None:
    """Raise when the lab cannot run here.

    Raises:
        UnsupportedError: not root; a program, TUN or a feature of the kernel is missing.
    """
    if os.geteuid() != 0:
        raise UnsupportedError("the lab makes network namespaces: run it as root (sudo)")
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise UnsupportedError(
                f"{program} is not installed; mend: apt-get install "
                f"--no-install-recommends {package}"
            )
    if not Path("/dev/net/tun").exists():
        raise UnsupportedError(
            "/dev/net/tun does not exist: wireguard-go needs TUN; mend: modprobe tun"
        )
    _check_kernel()


def _check_kernel() -> None:
    """Try what is needed in a namespace of its own, which is gone when this returns."""
    name = f"chita-tprobe-{os.getpid()}"
    try:
        ip_batch(None, [f"netns add {name}"])
    except KernelError as error:
        raise UnsupportedError(
            f"no network namespace can be made: {error}; the kernel needs CONFIG_NET_NS, "
            "and a container needs CAP_SYS_ADMIN"
        ) from error
    try:
        path = netns_path(name)
        try:
            ip_batch(path, [_VXLAN])
        except KernelError as error:
            raise UnsupportedError(
                f"the kernel makes no VXLAN device: {error}; mend: modprobe vxlan"
            ) from error
        try:
            run_in(path, ["nft", "-f", "-"], text=_RULESET)
        except KernelError as error:
            raise UnsupportedError(
                f"the kernel lacks what policy needs of nftables: {error}; "
                "mend: modprobe nf_tables nft_ct nft_masq, or a kernel from 5.6 on"
            ) from error
    finally:
        ip_batch(None, [f"netns delete {name}"])
