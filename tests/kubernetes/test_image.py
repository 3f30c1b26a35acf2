"""The image as it is delivered: built twice from nothing, unpacked, its programs run."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chita.image import build, packages
from network_namespace import needs_root

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    needs_root,
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed"),
]

UNCHECKED = b"\1\0\0\0"
"""The second word of a compiled module that is never compared with its source (PEP 552)."""


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Keep layers in *folder*, which is empty at first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    with cache_in(folder / "cache"):
        return build.chita_image(folder)


@pytest.fixture(scope="module")
def root(image: Path) -> Path:
    """The image's files, as a container has them."""
    layout, root = image.parent / "layout", image.parent / "root"
    root.mkdir()
    with tarfile.open(image) as tar:
        tar.extractall(layout)  # noqa: S202  our own
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(blob(layout, index["manifests"][0]["digest"]).read_text())
    for layer in manifest["layers"]:
        subprocess.run(["tar", "-xzf", blob(layout, layer["digest"]), "-C", root], check=True)
    return root


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def said(root: Path, *command: str) -> str:
    """What *command* prints in the image, with its environment alone."""
    done = subprocess.run(
        ["chroot", root, *command],
        capture_output=True,
        text=True,
        check=True,
        env=dict(it.split("=") for it in build.ENVIRONMENT),
        timeout=60,
    )
    return done.stdout


def test_the_same_inputs_give_the_same_bytes(image: Path, tmp_path: Path) -> None:
    """Even from another checkout, with a Python by another name, by who lets nobody else read."""
    source = tmp_path / "elsewhere"
    packages.copy_sources(packages.checkout(), source)
    (source / "requirements").mkdir()
    shutil.copy(packages.requirements(packages.checkout()), source / "requirements")
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    subprocess.run(
        [python, "-m", "chita.image.build", "chita", "--into", tmp_path],
        check=True,
        cwd=tmp_path,
        umask=0o077,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PYTHONPATH": f"{source}/src:{os.pathsep.join(sys.path)}",
        },
    )

    assert image.read_bytes() == (tmp_path / image.name).read_bytes()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(["chita", "version"], "chita", id="chita"),
        pytest.param(["chita", "agent", "--help"], "--kubeconfig", id="agent"),
        pytest.param(["chita", "controller", "--help"], "--initial", id="controller"),
        pytest.param(["chita", "install-node", "--help"], "--cni-bin", id="install-node"),
        pytest.param(["python3", "-ISc", "import socket; print(1)"], "1", id="probe"),
        pytest.param(["wireguard-go", "--version"], "wireguard-go", id="wireguard-go"),
        pytest.param(["nft", "--version"], "nftables", id="nft"),
        pytest.param(["ip", "-V"], "iproute2", id="ip"),
    ],
)
def test_what_manifests_call_is_there(root: Path, command: list[str], expected: str) -> None:
    assert expected in said(root, *command)


def test_all_of_chita_and_its_libraries_can_be_imported(root: Path) -> None:
    """The engines' libraries too: what the agent loads by name is in no package's dependencies."""
    program = (
        "import ctypes, chita.agent.main, chita.controller.main; "
        "print(ctypes.CDLL('libnftables.so.1')._name)"
    )

    assert "libnftables.so.1\n" == said(root, "python3", "-Ic", program)


def test_no_module_is_compiled_at_a_start(root: Path) -> None:
    folders = [root / "usr/lib/python3.11", root / "usr/local/lib/python3.11/dist-packages"]
    sources = [path for folder in folders for path in folder.rglob("*.py")]

    assert len(sources) > 1000
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"
        assert UNCHECKED == compiled.read_bytes()[4:8], source


def test_nothing_in_it_is_of_the_machine_that_built_it(root: Path) -> None:
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/apt", "root/.cache"):
        assert not (root / name).exists()
    assert [] == list((root / "var/log").iterdir())
    assert [] == list((root / "dev").iterdir())
    host = os.uname().nodename.encode()
    texts = [it for it in (root / "etc").rglob("*") if it.is_file() and not it.is_symlink()]
    assert not [it for it in texts if len(host) > 5 and host in it.read_bytes()]


def test_nothing_in_it_gives_rights(root: Path) -> None:
    special = stat.S_ISUID | stat.S_ISGID

    assert not [it for it in root.rglob("*") if not it.is_symlink() and it.stat().st_mode & special]
