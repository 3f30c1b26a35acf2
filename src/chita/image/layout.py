"""Writes an OCI image layout in one tar file: what `ctr images import` and `docker load` read.

OCI image specification 1.1: ``oci-layout``, ``index.json``, and blobs by their SHA-256. The same
layers and settings give the same bytes: nothing here knows the time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

EPOCH_S = 1_700_000_000
"""The time of every file in an image, as in ``SOURCE_DATE_EPOCH``; any that stays will do."""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image: its name, layers from the lowest up, and how it is started."""

    name: str
    """With registry and tag, as a runtime has it: ``docker.io/library/chita:0.1.0``."""
    layers: tuple[Path, ...]
    """Tar files, not compressed."""
    entrypoint: tuple[str, ...]
    environment: tuple[str, ...] = ()


def write(image: Image, into: Path) -> str:
    """Write *image* as the tar file *into*, whole or not at all; return its digest."""
    digests = [_file_digest(path) for path in image.layers]
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": image.entrypoint, "Env": image.environment},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )
    layers = [
        {"mediaType": _LAYER, "digest": digest, "size": path.stat().st_size}
        for digest, path in zip(digests, image.layers, strict=True)
    ]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, **_described(config)},
            "layers": layers,
        }
    )
    names = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    found = {"mediaType": _MANIFEST, **_described(manifest), "annotations": names}
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    with tarfile.open(temporary, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [found]}))
        for blob in (config, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for blob_digest, path in dict(zip(digests, image.layers, strict=True)).items():
            entry = _entry(f"blobs/sha256/{blob_digest.partition(':')[2]}", path.stat().st_size)
            with path.open("rb") as file:
                tar.addfile(entry, file)
    temporary.rename(into)
    digest: str = found["digest"]
    return digest


def layer(files: Mapping[str, bytes | Path], links: Mapping[str, str], into: Path) -> Path:
    """Write a layer of files (contents, or a file or tree to copy) and symbolic links; return it.

    Names are sorted, times fixed, owners root; of what is copied only whether it may be executed
    is kept.
    """
    entries: dict[str, bytes | Path] = {}
    for name, content in files.items():
        if isinstance(content, Path) and content.is_dir():
            for path in content.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    entries[f"{name}/{path.relative_to(content)}"] = path
        else:
            entries[name] = content
    folders = {str(parent) for name in (*entries, *links) for parent in Path(name).parents}
    with tarfile.open(into, "w") as tar:
        for name in sorted({*entries, *links, *folders} - {"."}):
            if name in links:
                entry = _entry(name, 0)
                entry.type, entry.linkname = tarfile.SYMTYPE, links[name]
                tar.addfile(entry)
            elif name in entries:
                content = entries[name]
                body = content.read_bytes() if isinstance(content, Path) else content
                may_run = isinstance(content, bytes) and content.startswith(b"#!")
                may_run |= isinstance(content, Path) and os.access(content, os.X_OK)
                _add(tar, name, body, mode=0o755 if may_run else 0o644)
            else:
                entry = _entry(name, 0, mode=0o1777 if name == "tmp" else 0o755)
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
    return into


def _entry(name: str, size: int, *, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, mode, EPOCH_S
    return entry


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    tar.addfile(_entry(name, len(content), mode=mode), io.BytesIO(content))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _described(blob: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
