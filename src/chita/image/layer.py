"""Writes layers: compressed tar files whose bytes depend on what is in them alone.

A layer is what a tree adds to those below it (OCI image layer specification 1.1). Names are sorted,
times fixed, owners root, and no file changes its user when it is started.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

EPOCH_S = 1_700_000_000
"""The time of every file in an image, as in ``SOURCE_DATE_EPOCH``; any that stays will do."""

_LEVEL = 6
"""Of gzip: 9 takes five times as long for one part in a hundred."""
_KEPT_BITS = 0o1777
"""Of a file's mode: all but set-user-ID and set-group-ID, which nothing in a container needs."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer as it is stored, compressed."""

    path: Path
    digest: str
    """Of the file."""
    diff_id: str
    """Of the tar inside, which is what a runtime knows the layer by."""
    size_bytes: int
    content_bytes: int
    """Of the tar inside."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the layer that the file *path* holds."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with gzip.open(file) as content:
                diff_id = hashlib.file_digest(content, "sha256").hexdigest()
                content_bytes = content.tell()
        return cls(
            path=path,
            digest=f"sha256:{digest}",
            diff_id=f"sha256:{diff_id}",
            size_bytes=path.stat().st_size,
            content_bytes=content_bytes,
        )


def write_layer(
    into: Path, files: Mapping[str, bytes | Path], links: Mapping[str, str] | None = None
) -> Layer:
    """Write a layer of *files* and symbolic *links* as the file *into*, whole or not at all.

    Args:
        into: the file, such as ``base.tar.gz``.
        files: by name inside: the content (which may be executed if it begins with ``#!``), or a
            file or tree to copy with its modes and symbolic links. ``""`` is the whole root.
        links: what each symbolic link points to, by its name.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with (
            temporary.open("wb") as file,
            # No name and no time of its own in the header (RFC 1952 section 2.3).
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, content in sorted(_with_folders(_entries(files, links or {})).items()):
                _add(tar, name, content)
        temporary.rename(into)
    finally:
        temporary.unlink(missing_ok=True)
    return Layer.read(into)


class _Link(msgspec.Struct, frozen=True):
    target: str


class _Folder(msgspec.Struct, frozen=True):
    mode: int


_Content = bytes | Path | _Link | _Folder


def _entries(
    files: Mapping[str, bytes | Path], links: Mapping[str, str]
) -> Iterator[tuple[str, _Content]]:
    for name, target in links.items():
        yield name, _Link(target)
    for name, content in files.items():
        if isinstance(content, Path) and content.is_dir():
            yield from _tree(name, content)
        else:
            yield name, content


def _tree(name: str, root: Path) -> Iterator[tuple[str, _Content]]:
    for path in (root, *root.rglob("*")):
        inside = str(Path(name, path.relative_to(root)))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield inside, _Link(str(path.readlink()))
        elif stat.S_ISDIR(mode):
            yield inside, _Folder(mode & _KEPT_BITS)
        elif stat.S_ISREG(mode):
            yield inside, path
        # Devices, sockets and pipes are the runtime's to make.


def _with_folders(entries: Iterator[tuple[str, _Content]]) -> dict[str, _Content]:
    """Return *entries* by name, with each folder that one is in and that none describes."""
    found = dict(entries)
    for name in list(found):
        for folder in Path(name).parents:
            found.setdefault(str(folder), _Folder(0o1777 if str(folder) == "tmp" else 0o755))
    found.pop(".", None)
    return found


def _add(tar: tarfile.TarFile, name: str, content: _Content) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = EPOCH_S
    match content:
        case _Link(target):
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
        case _Folder(mode):
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        case bytes():
            entry.size = len(content)
            entry.mode = 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(content))
        case Path():
            found = content.stat()
            entry.size, entry.mode = found.st_size, found.st_mode & _KEPT_BITS
            with content.open("rb") as file:
                tar.addfile(entry, file)
