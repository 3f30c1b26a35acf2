"""This node's WireGuard keys: that of the present epoch, and the one before while it is needed.

Private keys are made here, never leave the node, and survive a restart: a reboot must not rotate
them by accident (it would break every tunnel until all others have heard).
"""

from __future__ import annotations

from pathlib import Path

from chita.agent.identity import Identity, PreviousKey, wireguard_private_key
from chita.dataplane.tunnels.vxlan import vtep_mac
from chita.errors import InputError, KernelError
from chita.fabric.keys import public_key

_NAMES = "wireguard.*.key"


class KeyRing:
    """The keys in *directory*, at most two. Reading and writing block, briefly."""

    def __init__(self, node: str, directory: Path) -> None:
        """Read what an earlier run kept.

        Raises:
            InputError: a file holds no key.
        """
        self._node = node
        self._directory = directory
        self._private: dict[int, str] = {}
        for file in directory.glob(_NAMES):
            epoch = file.name.split(".")[1]
            if epoch.isascii() and epoch.isdigit():
                self._private[int(epoch)] = wireguard_private_key(file)

    @property
    def epochs(self) -> tuple[int, ...]:
        """Of the keys held, newest first."""
        return tuple(sorted(self._private, reverse=True))

    def private_key(self, epoch: int) -> str:
        """Return the private key of *epoch*, base64.

        Raises:
            KernelError: there is none (any more); what wants it asks again.
        """
        try:
            return self._private[epoch]
        except KeyError as error:
            raise KernelError(f"no WireGuard key of epoch {epoch}") from error

    def identity(self, epoch: int) -> Identity:
        """Return who this node is in *epoch* of the cluster, making a key if it has none yet.

        An epoch older than ours counts as ours: epochs never go back.

        Raises:
            InputError: the key can't be written.
        """
        held = self.epochs
        if not held or epoch > held[0]:
            try:
                self._private[epoch] = wireguard_private_key(self._file(epoch))
            except OSError as error:
                raise InputError(f"WireGuard key {self._file(epoch)}: {error}") from error
            for older in held:
                # Devices take turns, so a key two epochs back would stand where the new one does.
                if older != held[0] or (epoch - older) % 2 == 0:
                    self._drop(older)
        newest, *previous = self.epochs
        return Identity(
            node=self._node,
            wireguard_public_key=public_key(self._private[newest]),
            wireguard_epoch=newest,
            previous=PreviousKey(previous[0], public_key(self._private[previous[0]]))
            if previous
            else None,
            vtep_mac=vtep_mac(self._node),
        )

    def retire(self) -> None:
        """Forget the key before the newest; twice is once."""
        for epoch in self.epochs[1:]:
            self._drop(epoch)

    def _file(self, epoch: int) -> Path:
        return self._directory / f"wireguard.{epoch}.key"

    def _drop(self, epoch: int) -> None:
        del self._private[epoch]
        self._file(epoch).unlink(missing_ok=True)
