"""What the image has: everything that Chita starts by name."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

import chita
from chita.image import contents
from chita.image.contents import NAME, PACKAGES, PAUSE, TESTER
from chita.install.options import Options

MAKEFILE = Path(__file__).parents[3] / "Makefile"
OF_THE_LAB = {"iputils-ping", "python3-venv", "util-linux"}
"""What a lab needs and a node does not."""


def test_it_has_the_engines_that_the_lab_installs() -> None:
    found = re.search(r"^LAB_PACKAGES := (.*)$", MAKEFILE.read_text(), re.MULTILINE)

    assert found is not None
    assert set(found[1].split()) - OF_THE_LAB <= set(PACKAGES)


def test_its_name_is_the_one_that_the_manifest_asks_for() -> None:
    assert NAME == f"docker.io/library/{Options().image}"
    assert NAME.endswith(chita.__version__)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")
def test_the_images_of_tests_are_small_and_repeatable(tmp_path: Path) -> None:
    first = contents.test_images(tmp_path / "a")
    second = contents.test_images(tmp_path / "b")

    assert ["pause.oci.tar", "chita-test.oci.tar"] == [it.name for it in first]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size < 4_000_000
    with tarfile.open(first[0]) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        assert PAUSE.encode() in index.read()
    assert TESTER not in first[0].read_bytes().decode("latin-1")
