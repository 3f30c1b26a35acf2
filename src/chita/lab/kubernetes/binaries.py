"""Builds Kubernetes' own programs with Go, once, and keeps them by version.

Each minor has a Go module here that requires ``k8s.io/kubernetes`` and replaces its staging parts,
whose own replacements (local folders) no dependent module inherits. ``go.sum`` holds the hashes of
all sources, so what is built is what was reviewed, from whichever proxy it comes.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from chita.errors import EngineError, InputError, UnsupportedError

MODULES = Path(__file__).with_name("go")
NEWEST = "1.37"
PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
)
_VERSION = re.compile(r"^require k8s\.io/kubernetes (v\d+\.(\d+)\.\d+)$", re.MULTILINE)
_GO = re.compile(r"^go (\d+\.\d+)", re.MULTILINE)
_USUAL_PLACE = Path("/usr/local/go/bin/go")


class Release(msgspec.Struct, frozen=True):
    """One release that can be built."""

    minor: str
    """``1.37``"""
    version: str
    """``v1.37.2``"""
    go: str
    """The oldest Go that builds it."""
    folder: Path
    """Its module: go.mod, go.sum, tools.go."""

    def digest(self) -> str:
        """Return what the built programs depend on, in 12 digits."""
        content = b"".join(path.read_bytes() for path in sorted(self.folder.iterdir()))
        return hashlib.sha256(content).hexdigest()[:12]


def releases() -> dict[str, Release]:
    """Return the releases there are modules for, by minor."""
    found = {}
    for folder in sorted(MODULES.iterdir()):
        if not (folder / "go.mod").exists():
            continue
        text = (folder / "go.mod").read_text()
        version, go = _VERSION.search(text), _GO.search(text)
        assert version is not None
        assert go is not None, f"{folder}/go.mod has a go directive"
        found[folder.name] = Release(folder.name, version[1], go[1], folder)
    return found


def release(minor: str) -> Release:
    """Return the release of *minor*.

    Raises:
        InputError: there is no module for it.
    """
    known = releases()
    if minor not in known:
        raise InputError(f"Kubernetes {minor} is not built here; choose one of {', '.join(known)}")
    return known[minor]


def go_command() -> Path | None:
    """Return the Go command of this machine, if there is one."""
    found = shutil.which("go")
    if found is not None:
        return Path(found)
    return _USUAL_PLACE if _USUAL_PLACE.exists() else None


def cache_folder(wanted: Release) -> Path:
    """Return where the programs of a release are, or will be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chita" / "kubernetes" / f"{wanted.version}-{wanted.digest()}"


def binaries(minor: str = NEWEST) -> Path:
    """Return the folder with the programs of *minor*, built if they are not there yet.

    The first time takes about ten minutes on two cores; a second process waits for the first.

    Raises:
        InputError: no such minor. UnsupportedError: Go is missing or too old.
        EngineError: the build failed; the message ends with Go's last words.
    """
    wanted = release(minor)
    folder = cache_folder(wanted)
    if folder.exists():
        return folder
    go = go_command()
    if go is None:
        raise UnsupportedError(
            f"Kubernetes {minor} is built with Go, which is not installed; mend: put Go "
            f"{wanted.go} or newer on PATH or below /usr/local/go"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if not folder.exists():
            _build(go, wanted, folder)
    return folder


def _build(go: Path, wanted: Release, folder: Path) -> None:
    major, minor = wanted.minor.split(".")
    package = "k8s.io/component-base/version"
    flags = f"-s -w -X {package}.gitVersion={wanted.version} -X {package}.gitMajor={major} "
    flags += f"-X {package}.gitMinor={minor}"
    # Beside where it will be: a rename is then the one step that makes it visible.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        module, out = Path(scratch, "module"), Path(scratch, "out")
        shutil.copytree(wanted.folder, module)
        out.mkdir()
        done = subprocess.run(
            [
                str(go), "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
                "-ldflags", flags, "-o", f"{out}/",
                *(f"k8s.io/kubernetes/cmd/{program}" for program in PROGRAMS),
            ],
            cwd=module,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            last = "\n".join(done.stdout.splitlines()[-8:])
            raise EngineError(
                f"Kubernetes {wanted.version} could not be built with {go}; if Go is older than "
                f"{wanted.go} or its module proxy does not answer, mend that and try again:\n{last}"
            )
        out.rename(folder)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file *path*: others that want it wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Build a release; print where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", default=NEWEST, choices=sorted(releases()))
    print(binaries(parser.parse_args().version))  # noqa: T201  its output


if __name__ == "__main__":
    main()
