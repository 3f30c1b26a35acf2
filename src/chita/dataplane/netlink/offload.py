"""Checksum offload of a device, by the ethtool ioctl (linux/ethtool.h).

Calico's users report VXLAN at 50 to 300 Mbit/s, or stalled, until ``tx-checksum-ip-generic`` is
off on the device (its issues 11435, 3145, 4865): NICs and hypervisors that compute the inner
checksum of an encapsulated packet wrongly. Off, the kernel computes it before it encapsulates.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
from enum import StrEnum
from pathlib import Path

from chita.dataplane.netlink.namespace import inside
from chita.errors import KernelError, UnsupportedError

_SIOCETHTOOL = 0x8946
_GTXCSUM, _STXCSUM = 0x16, 0x17
_IFREQ = struct.Struct("16sP8x")


class TxChecksum(StrEnum):
    """Who computes the checksum of packets that leave through a device."""

    DEVICE = "device"
    KERNEL = "kernel"


def read_tx_checksum(device: str, *, namespace: Path | None = None) -> TxChecksum:
    """Return who computes checksums for *device*.

    Raises:
        KernelError: the device does not exist or has no such setting.
    """
    return TxChecksum.DEVICE if _ethtool(device, _GTXCSUM, 0, namespace) else TxChecksum.KERNEL


def put_tx_checksum(device: str, checksum: TxChecksum, *, namespace: Path | None = None) -> None:
    """Let *checksum* compute checksums for *device*; writes only when it is not so."""
    if read_tx_checksum(device, namespace=namespace) is not checksum:
        _ethtool(device, _STXCSUM, int(checksum is TxChecksum.DEVICE), namespace)


def _ethtool(device: str, command: int, value: int, namespace: Path | None) -> int:
    words = array.array("I", [command, value])  # struct ethtool_value
    request = _IFREQ.pack(device.encode(), words.buffer_info()[0])

    def call() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            fcntl.ioctl(opened, _SIOCETHTOOL, request)

    try:
        inside(namespace, call)
    except OSError as error:
        code = error.errno or 0
        name = os.strerror(code)
        kind = UnsupportedError if code == 95 else KernelError  # EOPNOTSUPP
        raise kind(f"ethtool tx checksum of {device}: {name}", errno=code) from error
    return words[1]
