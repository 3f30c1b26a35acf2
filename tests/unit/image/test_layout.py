"""OCI image layouts: what is in them, and that the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from chita.image.layout import EPOCH_S, Image, layer, write


def built(folder: Path, content: bytes = b"#!/bin/sh\n") -> tuple[Path, str]:
    folder.mkdir()
    tree = folder / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner/module.py").write_text("x = 1\n")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/module.pyc").write_bytes(b"\0")
    base = layer({"bin/run": content, "opt/tree": tree}, {"bin/again": "run"}, folder / "l.tar")
    image = Image(
        name="example/a/b:1",
        layers=(base,),
        entrypoint=("/bin/run",),
        environment=("PATH=/bin",),
    )
    return folder / "image.tar", write(image, folder / "image.tar")


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {it.name: tar.extractfile(it).read() for it in tar if it.isfile()}  # type: ignore[union-attr]


def test_every_blob_is_what_its_name_says_and_all_are_linked(tmp_path: Path) -> None:
    path, digest = built(tmp_path / "a")

    files = opened(path)

    blobs = {name.rpartition("/")[2]: body for name, body in files.items() if "blobs/" in name}
    assert all(name == hashlib.sha256(body).hexdigest() for name, body in blobs.items())
    assert {"imageLayoutVersion": "1.0.0"} == json.loads(files["oci-layout"])
    (found,) = json.loads(files["index.json"])["manifests"]
    assert digest == found["digest"]
    assert found["annotations"]["io.containerd.image.name"] == "example/a/b:1"
    manifest: dict[str, Any] = json.loads(blobs[digest.partition(":")[2]])
    config = json.loads(blobs[manifest["config"]["digest"].partition(":")[2]])
    layers = [it["digest"] for it in manifest["layers"]]
    # Not compressed, so the layer's digest is that of its content.
    assert layers == config["rootfs"]["diff_ids"]
    assert all(
        it["size"] == len(blobs[it["digest"].partition(":")[2]]) for it in manifest["layers"]
    )
    assert config["config"] == {"Entrypoint": ["/bin/run"], "Env": ["PATH=/bin"]}


def test_a_layer_has_folders_modes_and_links_and_no_caches(tmp_path: Path) -> None:
    built(tmp_path / "a")

    with tarfile.open(tmp_path / "a/l.tar") as tar:
        entries = {it.name: it for it in tar}

    assert ["bin", "bin/again", "bin/run", "opt", "opt/tree", "opt/tree/inner",
            "opt/tree/inner/module.py"] == list(entries)  # fmt: skip
    assert 0o755 == entries["bin/run"].mode
    assert 0o644 == entries["opt/tree/inner/module.py"].mode
    assert "run" == entries["bin/again"].linkname
    assert {(0, 0, EPOCH_S)} == {(it.uid, it.gid, it.mtime) for it in entries.values()}


def test_the_same_inputs_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    first, digest = built(tmp_path / "a")
    second, again = built(tmp_path / "b")
    _, other = built(tmp_path / "c", content=b"#!/bin/ash\n")

    assert digest == again != other
    assert first.read_bytes() == second.read_bytes()


def test_an_image_that_can_t_be_written_leaves_no_part(tmp_path: Path) -> None:
    image = Image(name="a:1", layers=(tmp_path / "missing",), entrypoint=("/x",))

    with pytest.raises(FileNotFoundError):
        write(image, tmp_path / "image.tar")

    assert [] == list(tmp_path.iterdir())
