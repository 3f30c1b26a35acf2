"""What CNI calls have attached on this node, one small JSON file each; survives the agent.

A record is written before anything is made for it and removed after everything is undone, so a
restarted agent finds every half-made attachment here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.errors import InputError
from chita.model.net import Address


class AttachmentState(StrEnum):
    """How far an attachment has come."""

    ADDING = "adding"
    """ADD has not returned: what there is of it belongs to nobody yet."""
    ATTACHED = "attached"
    RELEASING = "releasing"
    """The pod is cut off; its addresses could not be released yet (the API did not answer)."""


class AttachmentKey(msgspec.Struct, frozen=True, order=True):
    """What tells attachments apart (SPEC 1.1 section 2: a plugin's primary key)."""

    network: str
    container: str
    interface: str
    """The pod's end, CNI_IFNAME."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One pod interface."""

    key: AttachmentKey
    handle: str
    namespace: str
    """Of Kubernetes."""
    pod: str
    uid: str = ""
    netns: str
    """Path of the pod's network namespace."""
    host_interface: str
    mtu_bytes: int
    address_texts: tuple[str, ...] = ()
    state: AttachmentState

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The pod's addresses, IPv4 first."""
        return tuple(Address.parse(text) for text in self.address_texts)

    @property
    def endpoint(self) -> str:
        """The key of its WorkloadEndpoint."""
        return f"{self.namespace}/{self.pod}"


class Attachments:
    """The records of one node, in memory and in *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[AttachmentKey, Attachment] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(directory.glob("*.json")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=Attachment)
            except (OSError, msgspec.MsgspecError) as error:
                raise InputError(
                    f"read the attachment {path}: {error}; remove the file: "
                    "the pod's traffic is dropped until it is made again"
                ) from error
            self._records[record.key] = record

    def __iter__(self) -> Iterator[Attachment]:
        return iter(list(self._records.values()))

    def get(self, key: AttachmentKey) -> Attachment | None:
        """Return the record of *key*, or None."""
        return self._records.get(key)

    def put(self, record: Attachment) -> None:
        """Store *record* in place of the one of its key.

        Renamed into place, so a crash leaves the old one or the new one; not forced to the disk: a
        machine that loses power loses its pods with it.
        """
        path = self._path(record.key)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.rename(path)
        self._records[record.key] = record

    def remove(self, key: AttachmentKey) -> None:
        """Remove the record of *key*, if there is one."""
        self._path(key).unlink(missing_ok=True)
        self._records.pop(key, None)

    def sharing(self, record: Attachment) -> list[Attachment]:
        """Return other records that have the same node's end: another sandbox of the same pod."""
        return [
            other
            for other in self._records.values()
            if other.host_interface == record.host_interface
            and other.key != record.key
            and other.state is not AttachmentState.RELEASING
        ]

    def _path(self, key: AttachmentKey) -> Path:
        text = f"{key.network}\0{key.container}\0{key.interface}"
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
