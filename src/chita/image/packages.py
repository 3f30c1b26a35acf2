"""Makes the upper layers of Chita's image: the locked requirements, and Chita itself."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path

from chita.errors import UnsupportedError
from chita.image.command import run
from chita.image.debian import PYTHON

SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
"""Where Debian's Python looks for what is not Debian's."""
COMMAND = "usr/bin/chita"
# -I: neither the working directory nor an environment variable adds modules.
SCRIPT = b"#!/usr/bin/python3 -I\nfrom chita.cli.main import main\n\nmain()\n"

_GLIBC = 36
"""Debian 12 has 2.36; wheels say the oldest they work with (PEP 600), none older than 2.17."""


def checkout() -> Path:
    """Return the source tree that this runs from.

    Raises:
        UnsupportedError: this is an installed Chita.
    """
    found = Path(__file__).resolve().parents[3]
    if not requirements(found).exists():
        raise UnsupportedError(
            f"the image is built from a checkout, and {found} has no {requirements(found).name}; "
            "mend: run this in a clone, installed as `make image` does"
        )
    return found


def requirements(source: Path) -> Path:
    """Return the locked run requirements of the checkout *source*."""
    return source / "requirements/run.txt"


def install_requirements(source: Path, root: Path) -> None:
    """Install the locked run requirements of the checkout *source* below *root*.

    Only wheels for *root*'s Python and C library are taken, whatever this runs on, and only with
    the locked hashes.

    Raises:
        EngineError: pip failed; the message ends with its last words.
    """
    machine = platform.machine()
    site = root / SITE
    run(
        [
            sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check",
            "--no-compile", "--no-deps", "--only-binary", ":all:", "--require-hashes",
            "--implementation", "cp", "--python-version", PYTHON,
            *(f"--platform=manylinux_2_{minor}_{machine}" for minor in range(_GLIBC, 16, -1)),
            f"--platform=manylinux2014_{machine}",
            "--target", str(site), "-r", str(requirements(source)),
        ]
    )  # fmt: skip
    remove_commands(site)


def remove_commands(site: Path) -> None:
    """Remove what pip made of libraries' commands in *site*, and the records of them.

    No one calls them, and their first lines name the Python that pip ran with.
    """
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        # Relative to where the package would be without --target (PEP 376).
        record.write_text("".join(line for line in lines if not line.startswith("../../bin/")))


def copy_sources(source: Path, into: Path) -> str:
    """Copy what Chita's wheel is made of from the checkout *source*; return its digest."""
    into.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copyfile(source / name, into / name)
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(source / "src", into / "src", ignore=skipped, copy_function=shutil.copyfile)
    found = hashlib.sha256()
    for path in sorted(path for path in into.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(into)}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def install_chita(sources: Path, root: Path) -> None:
    """Build the wheel of the tree *sources*, install it below *root*.

    Raises:
        EngineError: the wheel could not be built; the message ends with the last words.
    """
    wheels = sources / "wheels"
    run(
        [
            sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps",
            "--no-build-isolation", "--no-index", "-w", str(wheels), str(sources),
        ]
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    # A wheel of Python alone is what is in it (PEP 427); pip would note where it was.
    run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(root / SITE)])
