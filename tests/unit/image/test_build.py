"""What the images have: everything that Chita starts by name, and the names manifests ask for."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

import chita
from chita.cni.install import LOOPBACK as WANTED_LOOPBACK
from chita.errors import UnsupportedError
from chita.image import build
from chita.image.debian import LOOPBACK, PACKAGES
from chita.install.options import Options

MAKEFILE = Path(__file__).parents[3] / "Makefile"
OF_THE_LAB = {"iputils-ping", "procps", "python3-venv", "util-linux"}
"""What a lab needs and a node does not."""

needs_busybox = pytest.mark.skipif(
    shutil.which("busybox") is None, reason="busybox is not installed"
)


def test_it_has_the_engines_that_the_lab_installs() -> None:
    found = re.search(r"^LAB_PACKAGES := (.*)$", MAKEFILE.read_text(), re.MULTILINE)

    assert found is not None
    assert set(found[1].split()) - OF_THE_LAB <= set(PACKAGES)


def test_its_loopback_is_where_a_node_s_installation_looks() -> None:
    assert Path("/", LOOPBACK) == WANTED_LOOPBACK


def test_its_name_is_the_one_that_the_manifest_asks_for() -> None:
    assert build.NAME == f"docker.io/library/{Options().image}"
    assert build.NAME.endswith(chita.__version__)


@needs_busybox
def test_the_images_of_tests_are_small_and_repeatable(tmp_path: Path) -> None:
    first = build.test_images(tmp_path / "a")
    second = build.test_images(tmp_path / "b")

    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 4_000_000
    with tarfile.open(first) as tar:
        index = json.loads(tar.extractfile("index.json").read())  # type: ignore[union-attr]
    names = [it["annotations"]["io.containerd.image.name"] for it in index["manifests"]]
    assert [build.PAUSE, build.TESTER] == names


@needs_busybox
def test_the_images_of_tests_have_what_tests_call(tmp_path: Path) -> None:
    with tarfile.open(build.test_images(tmp_path)) as tar:
        blobs = [tar.extractfile(it).read() for it in tar if it.isfile()]  # type: ignore[union-attr]
    (layer,) = [blob for blob in blobs if blob.startswith(b"\x1f\x8b")]

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as tar:
        found = {it.name: it for it in tar}

    for applet in ("sh", "nc", "httpd", "wget", "ping", "sleep", "nslookup"):
        assert "busybox" == found[f"bin/{applet}"].linkname
    assert found["bin/busybox"].isreg()


def test_a_busybox_that_needs_libraries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the image there is no loader, so such a program would not even start."""
    shutil.copy("/bin/true", tmp_path / "busybox")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnsupportedError, match="busybox-static"):
        build.test_images(tmp_path / "images")
