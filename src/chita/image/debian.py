"""Makes the lowest layer of Chita's image: Debian with Python and the engines.

mmdebstrap installs from the machine's own package sources. What a container never uses is taken
out again, and so is everything that says when, where or in which order it was made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from chita.errors import InputError, UnsupportedError
from chita.image.command import run

SUITE = "bookworm"
PYTHON = "3.11"
"""The Python of `SUITE`."""

PACKAGES = (
    "containernetworking-plugins",
    "iproute2",
    "libnftables1",
    "nftables",
    "python3",
    "wireguard-go",
)
"""Python, the engines, `LOOPBACK`; ``ip``, ``ss`` and ``nft`` are for who looks into an agent."""

LOOPBACK = "usr/lib/cni/loopback"
"""Of containernetworking-plugins; ``chita install-node`` copies it to a node without it."""

UNUSED = (
    "iptables", "libip4tc2", "libip6tc2",
    "usrmerge", "libfile-find-rule-perl", "libnumber-compare-perl", "libtext-glob-perl",
    "perl", "perl-modules-5.36", "perl-base", "libperl5.36", "libgdbm-compat4", "libgdbm6",
)  # fmt: skip
"""Packages that others pull in: for plugins that are not kept, and for scripts of installing."""

_EXCLUDED = ("doc/*", "info/*", "lintian/*", "locale/*", "man/*", "bash-completion/*")
"""Below /usr/share; the copyright files stay, as their licences ask."""

_REMOVED = (
    "dev/*",
    # Where and when it was made: package sources, names, logs, caches, identities, older versions.
    "etc/apt", "etc/hostname", "etc/machine-id", "etc/resolv.conf", "etc/*-",
    "root/.*", "run/*", "tmp/*",
    "var/backups/*", "var/cache/*", "var/lib/apt", "var/lib/dpkg/*-old",
    "var/lib/systemd", "var/log/*",
    # Character sets other than UTF-8 (Python has its own), and parts of Python for developers.
    "usr/lib/*/gconv",
    "usr/lib/python3*/idlelib", "usr/lib/python3*/lib2to3", "usr/lib/python3*/pydoc_data",
)  # fmt: skip


def make_root(into: Path) -> None:
    """Install Debian in the new directory *into* (root only); some 100 MB, a minute.

    Raises:
        UnsupportedError: mmdebstrap is not installed, or this is not root.
        EngineError: it failed; the message ends with its last words.
    """
    if shutil.which("mmdebstrap") is None:
        raise UnsupportedError(
            "mmdebstrap is not installed; mend: apt-get install --no-install-recommends mmdebstrap"
        )
    if os.geteuid() != 0:
        raise UnsupportedError("the image's Debian is installed by root; mend: run this with sudo")
    purge = 'chroot "$1" dpkg --purge --force-depends --force-remove-essential'
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=directory",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{pattern}" for pattern in _EXCLUDED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook={purge} {' '.join(UNUSED)}",
        SUITE, str(into), *map(str, package_sources()),
    ]  # fmt: skip
    run(command)
    _clean(into)
    compile_python(into, f"usr/lib/python{PYTHON}", "usr/lib/python3")


def compile_python(root: Path, *folders: str) -> None:
    """Compile the modules in *folders* below *root*, with *root*'s own Python (root only).

    A module is never compared with its source (PEP 552, unchecked hashes): images don't change, and
    a time in each file would make every build another.
    """
    for folder in folders:
        for old in (root / folder).rglob("__pycache__"):
            shutil.rmtree(old)
    command = ["chroot", str(root), f"/usr/bin/python{PYTHON}", "-sSB", "-m", "compileall"]
    how = ["-q", "-f", "--invalidation-mode", "unchecked-hash"]
    run([*command, *how, *(f"/{folder}" for folder in folders)])


def unpack_root(layer: Path, into: Path) -> None:
    """Unpack the *layer* that was made of a root into the new directory *into*."""
    into.mkdir()
    # Not by tarfile: safe extraction is missing from the Python of Debian 12.
    run(["tar", "--extract", "--gzip", "--file", str(layer), "--directory", str(into)])


def package_sources() -> list[Path]:
    """Return the files that say where this machine's Debian packages come from.

    Raises:
        InputError: there are none.
    """
    folder = Path("/etc/apt/sources.list.d")
    found = [Path("/etc/apt/sources.list"), *sorted(folder.glob("debian*"))]
    existing = [path for path in found if path.exists() and path.suffix in (".list", ".sources")]
    if not existing:
        raise InputError(
            f"this machine names no Debian package sources in {found[0]} or {folder}/debian*; "
            "mend: build the image on Debian, or add them"
        )
    return existing


def recipe() -> str:
    """Return a digest of all that decides how the root is made, but for the packages' versions."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _clean(root: Path) -> None:
    for plugin in (root / LOOPBACK).parent.iterdir():
        if plugin != root / LOOPBACK:
            plugin.unlink()
    for pattern in _REMOVED:
        _remove(root.glob(pattern))


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
