"""Layers: the bytes depend on names, contents and modes, and on nothing else."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from chita.image.layer import EPOCH_S, Layer, write_layer


def a_tree(root: Path, *names: str) -> Path:
    """A tree whose files were made in the order of *names*."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o644)
    return root


def entries(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {it.name: it for it in tar}


def test_a_layer_has_folders_modes_and_links_in_order(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", "inner/b", "inner/a")
    (tree / "inner/a").chmod(0o6755)
    (tree / "again").symlink_to("inner/a")
    (tree / "empty").mkdir(mode=0o700)
    os.mkfifo(tree / "pipe")

    write_layer(
        tmp_path / "l.tar.gz",
        {"opt/tree": tree, "bin/run": b"#!/bin/sh\n", "tmp/.keep": b""},
        {"bin/again": "run"},
    )

    found = entries(tmp_path / "l.tar.gz")
    assert [
        "bin", "bin/again", "bin/run", "opt", "opt/tree", "opt/tree/again", "opt/tree/empty",
        "opt/tree/inner", "opt/tree/inner/a", "opt/tree/inner/b", "tmp", "tmp/.keep",
    ] == list(found)  # fmt: skip
    assert 0o755 == found["bin/run"].mode
    assert 0o755 == found["opt/tree/inner/a"].mode, "no set-user-ID"
    assert 0o644 == found["opt/tree/inner/b"].mode
    assert 0o700 == found["opt/tree/empty"].mode
    assert 0o1777 == found["tmp"].mode
    assert ("run", "inner/a") == (found["bin/again"].linkname, found["opt/tree/again"].linkname)
    assert {(0, 0, EPOCH_S)} == {(it.uid, it.gid, it.mtime) for it in found.values()}


def test_a_whole_root_has_no_entry_for_itself(tmp_path: Path) -> None:
    write_layer(tmp_path / "l.tar.gz", {"": a_tree(tmp_path / "root", "etc/a", "b")})

    assert ["b", "etc", "etc/a"] == list(entries(tmp_path / "l.tar.gz"))


def test_time_owner_and_order_of_making_do_not_matter(tmp_path: Path) -> None:
    one = a_tree(tmp_path / "one", "x/1", "x/2", "y")
    other = a_tree(tmp_path / "other", "y", "x/2", "x/1")
    os.utime(other / "y", (1, 1))

    first = write_layer(tmp_path / "1.tar.gz", {"": one})
    second = write_layer(tmp_path / "named-otherwise.tar.gz", {"": other})

    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.digest, first.diff_id) == (second.digest, second.diff_id)


def test_a_kept_layer_reads_as_it_was_written(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "l.tar.gz", {"a": b"a" * 100_000})

    assert layer == Layer.read(tmp_path / "l.tar.gz")
    assert layer.size_bytes == layer.path.stat().st_size < 1000
    assert layer.content_bytes > 100_000


def test_a_layer_that_can_t_be_written_leaves_no_part(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_layer(tmp_path / "l.tar.gz", {"a": tmp_path / "missing"})

    assert [] == list(tmp_path.iterdir())
