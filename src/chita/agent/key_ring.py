"""This node's WireGuard keys: that of the present epoch, and the one before while it is needed.

One more stands for ever: that for static peers, whose configurations are made once.

The pre-shared key that the nodes have in common belongs to the keys that were made while it was
in force, and is kept beside them. So it comes and changes with the next epoch, pair by pair once a
probe came back, as keys do; a node that has another one keeps its old tunnels meanwhile.

Private keys are made here, never leave the node, and survive a restart: a reboot must not rotate
them by accident (it would break every tunnel until all others have heard).
"""

from __future__ import annotations

from pathlib import Path

from chita.agent.identity import Identity, PreviousKey, preshared_key, wireguard_private_key
from chita.api.private_file import write_private
from chita.dataplane.tunnels.vxlan import vtep_mac
from chita.dataplane.tunnels.wireguard import Secrets
from chita.desired.tunnels import STATIC_EPOCH
from chita.errors import InputError, KernelError
from chita.fabric.keys import key_fingerprint, public_key

_NAMES = "wireguard.*.key"
_STATIC = "wireguard.static.key"
_PRESHARED = ".psk"


class KeyRing:
    """The keys in *directory*, at most two. Reading and writing block, briefly."""

    def __init__(self, node: str, directory: Path, preshared_file: Path | None = None) -> None:
        """Read what an earlier run kept, and the pre-shared key for keys to come.

        Raises:
            InputError: a file holds no key, or others may read the pre-shared one.
        """
        self._preshared_key = preshared_key(preshared_file) if preshared_file is not None else ""
        self._node = node
        self._directory = directory
        self._secrets: dict[int, Secrets] = {}
        self._standing: Secrets | None = None
        """For static peers."""
        for file in directory.glob(_NAMES):
            epoch = file.name.split(".")[1]
            if epoch.isascii() and epoch.isdigit():
                beside = file.with_suffix(_PRESHARED)
                self._secrets[int(epoch)] = Secrets(
                    wireguard_private_key(file), preshared_key(beside) if beside.exists() else ""
                )

    @property
    def epochs(self) -> tuple[int, ...]:
        """Of the keys held, newest first."""
        return tuple(sorted(self._secrets, reverse=True))

    @property
    def is_preshared_pending(self) -> bool:
        """Whether the pre-shared key is another than that of the present epoch."""
        newest = self.epochs[:1]
        return any(self._secrets[it].preshared_key != self._preshared_key for it in newest)

    def secrets(self, epoch: int) -> Secrets:
        """Return the private key of *epoch* and the pre-shared one that belongs to it.

        Raises:
            KernelError: there is none (any more); what wants it asks again.
            InputError: that for static peers cannot be read or made.
        """
        if epoch == STATIC_EPOCH:
            return self._static()
        try:
            return self._secrets[epoch]
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
                self._secrets[epoch] = self._made(epoch)
            except OSError as error:
                raise InputError(f"WireGuard key {self._file(epoch)}: {error}") from error
            for older in held:
                # Devices take turns, so a key two epochs back would stand where the new one does.
                if older != held[0] or (epoch - older) % 2 == 0:
                    self._drop(older)
        newest, *previous = self.epochs
        secrets = self._secrets[newest]
        return Identity(
            node=self._node,
            wireguard_public_key=public_key(secrets.private_key),
            wireguard_epoch=newest,
            wireguard_preshared=key_fingerprint(secrets.preshared_key),
            static_public_key=public_key(self._static().private_key),
            previous=_previous(previous[0], self._secrets[previous[0]]) if previous else None,
            vtep_mac=vtep_mac(self._node),
        )

    def _static(self) -> Secrets:
        if self._standing is None:
            file = self._directory / _STATIC
            try:
                self._standing = Secrets(wireguard_private_key(file))
            except OSError as error:
                raise InputError(f"WireGuard key {file}: {error}") from error
        return self._standing

    def retire(self) -> None:
        """Forget the key before the newest; twice is once."""
        for epoch in self.epochs[1:]:
            self._drop(epoch)

    def _made(self, epoch: int) -> Secrets:
        """Return new keys of *epoch*, kept.

        The pre-shared one first: a key that is there has beside it what belongs to it.
        """
        file = self._file(epoch)
        beside = file.with_suffix(_PRESHARED)
        if self._preshared_key:
            write_private(beside, self._preshared_key.encode())
        else:
            beside.unlink(missing_ok=True)
        return Secrets(wireguard_private_key(file), self._preshared_key)

    def _file(self, epoch: int) -> Path:
        return self._directory / f"wireguard.{epoch}.key"

    def _drop(self, epoch: int) -> None:
        del self._secrets[epoch]
        file = self._file(epoch)
        file.unlink(missing_ok=True)
        file.with_suffix(_PRESHARED).unlink(missing_ok=True)


def _previous(epoch: int, secrets: Secrets) -> PreviousKey:
    return PreviousKey(
        epoch, public_key(secrets.private_key), key_fingerprint(secrets.preshared_key)
    )
