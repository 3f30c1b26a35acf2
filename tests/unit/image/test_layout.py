"""OCI image layouts: what is in them, and that the same inputs give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chita.image.layer import write_layer
from chita.image.layout import Image, write


def an_image(folder: Path, name: str = "example/a/b:1", content: bytes = b"#!/bin/sh\n") -> Image:
    base = write_layer(folder / "base.tar.gz", {"bin/run": content})
    return Image(
        name=name,
        layers=(base,),
        entrypoint=("/bin/run",),
        environment=("PATH=/bin",),
    )


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {it.name: tar.extractfile(it).read() for it in tar if it.isfile()}  # type: ignore[union-attr]


def test_every_blob_is_what_its_name_says_and_all_are_linked(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    image = an_image(tmp_path)

    digests = write([image], path)
    files = opened(path)

    blobs = {name.rpartition("/")[2]: body for name, body in files.items() if "blobs/" in name}
    assert all(name == hashlib.sha256(body).hexdigest() for name, body in blobs.items())
    assert {"imageLayoutVersion": "1.0.0"} == json.loads(files["oci-layout"])
    (found,) = json.loads(files["index.json"])["manifests"]
    assert digests == {"example/a/b:1": found["digest"]}
    assert found["annotations"]["io.containerd.image.name"] == "example/a/b:1"
    manifest: dict[str, Any] = json.loads(blobs[found["digest"].partition(":")[2]])
    config = json.loads(blobs[manifest["config"]["digest"].partition(":")[2]])
    (stored,) = manifest["layers"]
    layer = blobs[stored["digest"].partition(":")[2]]
    assert stored["size"] == len(layer)
    (diff_id,) = config["rootfs"]["diff_ids"]
    assert diff_id == f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"
    assert config["config"] == {"Entrypoint": ["/bin/run"], "Env": ["PATH=/bin"]}


def test_images_of_one_file_share_their_layers(tmp_path: Path) -> None:
    one = an_image(tmp_path)
    other = msgspec.structs.replace(one, name="example/a/c:2", entrypoint=("/bin/other",))

    digests = write([one, other], tmp_path / "image.tar")
    files = opened(tmp_path / "image.tar")

    assert ["example/a/b:1", "example/a/c:2"] == list(digests)
    assert 2 == len(set(digests.values()))
    # Two configurations, two manifests, one layer.
    assert 5 == sum(name.startswith("blobs/") for name in files)


def test_the_same_inputs_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))

    digest = write([an_image(first)], first / "image.tar")
    again = write([an_image(second)], second / "image.tar")
    other = write([an_image(third, content=b"#!/bin/ash\n")], third / "image.tar")

    assert digest == again != other
    assert (first / "image.tar").read_bytes() == (second / "image.tar").read_bytes()


def test_an_image_that_can_t_be_written_leaves_no_part(tmp_path: Path) -> None:
    image = an_image(tmp_path)
    image.layers[0].path.unlink()

    with pytest.raises(FileNotFoundError):
        write([image], tmp_path / "image.tar")

    assert [] == list(tmp_path.iterdir())
