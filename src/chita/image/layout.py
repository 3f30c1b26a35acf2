"""Writes an OCI image layout in one tar file: what `ctr images import` reads.

OCI image specification 1.1: ``oci-layout``, ``index.json``, and blobs by their SHA-256. The same
layers and settings give the same bytes: nothing here knows the time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chita.image.layer import EPOCH_S, Layer

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CREATED = "2023-11-14T22:13:20Z"
"""`EPOCH_S` as the configuration has it (RFC 3339)."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names, which the specification uses, for the kernel's."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image: its name, layers from the lowest up, and how it is started."""

    name: str
    """With registry and tag, as a runtime has it: ``docker.io/library/chita:0.1.0``."""
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...]
    environment: tuple[str, ...] = ()


def write(images: Sequence[Image], into: Path) -> dict[str, str]:
    """Write *images* as the tar file *into*, whole or not at all; return their digests by name."""
    blobs: dict[str, bytes | Path] = {}
    found = []
    for image in images:
        blobs |= {layer.digest: layer.path for layer in image.layers}
        config = _config(image)
        layers = [
            {"mediaType": _LAYER, "digest": layer.digest, "size": layer.size_bytes}
            for layer in image.layers
        ]
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": _CONFIG, **_described(config)},
                "layers": layers,
            }
        )
        blobs |= {_digest(blob): blob for blob in (config, manifest)}
        names = {
            # What containerd names the image; the other is the specification's, a tag alone.
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
        }
        found.append({"mediaType": _MANIFEST, **_described(manifest), "annotations": names})
    index = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": found})
    _write_tar(into, index, blobs)
    return {image.name: entry["digest"] for image, entry in zip(images, found, strict=True)}


def _write_tar(into: Path, index: bytes, blobs: Mapping[str, bytes | Path]) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with tarfile.open(temporary, "w") as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", index)
            for digest, blob in sorted(blobs.items()):
                _add(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}", blob)
        temporary.rename(into)
    finally:
        temporary.unlink(missing_ok=True)


def _config(image: Image) -> bytes:
    machine = platform.machine()
    return _json(
        {
            "created": _CREATED,
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Entrypoint": image.entrypoint, "Env": image.environment},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        }
    )


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = EPOCH_S
    if isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    else:
        entry.size = content.stat().st_size
        with content.open("rb") as file:
            tar.addfile(entry, file)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _described(blob: bytes) -> dict[str, Any]:
    return {"digest": _digest(blob), "size": len(blob)}
