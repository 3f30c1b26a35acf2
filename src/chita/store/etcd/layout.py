"""Which keys of etcd are the store's, and what is in them.

::

    PREFIX objects/RESOURCE/NAMESPACE/NAME   an object's JSON, without its resourceVersion
    PREFIX marks/RESOURCE                    written with each write of that resource
    PREFIX fence                             see `chita.store.etcd.writes`
    PREFIX layout                            the version of this layout

An object's revision is its key's ``mod_revision``, which etcd gives it: the JSON can't contain it.
A mark's revision is that of the last write of its resource, deletions too: who has seen the newest
mark has seen everything. Its value names the write, so that a writer recognises its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chita.store.store import Key, Stored, with_revision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from chita.store.etcd.wire import KeyValue

VERSION = b"1"


class Layout:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()
        self.objects = self.prefix + b"objects/"
        self.marks = self.prefix + b"marks/"
        self.fence = self.prefix + b"fence"
        self.version = self.prefix + b"layout"

    def object(self, key: Key) -> bytes:
        """Return where an object is. No part contains a slash: they are segments of API paths."""
        return self.objects + f"{key.resource}/{key.namespace}/{key.name}".encode()

    def mark(self, resource: str) -> bytes:
        """Return where the mark of a resource is."""
        return self.marks + resource.encode()

    def key(self, place: bytes) -> Key | None:
        """Return which object is at *place*, None when it is no object's place."""
        if not place.startswith(self.objects):
            return None
        parts = place[len(self.objects) :].decode(errors="replace").split("/")
        return Key(*parts) if len(parts) == 3 else None

    def stored(self, kv: KeyValue) -> Stored | None:
        """Return the object of a key, None when it is none of ours."""
        key = self.key(kv.key)
        if key is None:
            return None
        try:
            value = msgspec.json.decode(kv.value, type=dict)
        except msgspec.MsgspecError:
            return None
        return Stored(key, kv.mod_revision, with_revision(key, value, kv.mod_revision).data)


def value_of(value: Mapping[str, Any]) -> bytes:
    """Return an object as it is kept: whatever revision it carries is not its next one."""
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "resourceVersion"}
    return msgspec.json.encode({**value, "metadata": metadata})
