"""What is in Chita's image and in those that tests of a cluster run: no registry is asked.

    python -m chita.image.contents chita --into dist/chita.oci.tar     (make image)
    python -m chita.image.contents tests --into DIRECTORY

Chita's has two layers: a Debian root file system with the engines (mmdebstrap, the machine's own
package sources), and Python packages with Chita on top, which change more often.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chita import __version__
from chita.errors import EngineError, UnsupportedError
from chita.image.layout import EPOCH_S, Image, layer, write

NAME = f"docker.io/library/chita:{__version__}"
PAUSE = "docker.io/library/pause:1"
TESTER = "docker.io/library/chita-test:1"
MOST_BYTES = 250_000_000

SUITE = "bookworm"
PACKAGES = (
    "conntrack",
    "containernetworking-plugins",
    "iproute2",
    "libnftables1",
    "nftables",
    "procps",
    "python3-minimal",
    "python3",
    "wireguard-go",
)
_NOT_NEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_NOT_REPEATABLE = ("var/log/*", "var/cache/*", "var/lib/apt/lists/*", "etc/machine-id")
_PLUGINS = ("loopback", "portmap")
"""Of containernetworking-plugins: what a runtime calls itself, and what hostPort needs."""
_SITE = "usr/local/lib/python3.11/dist-packages"
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_COMMAND = b"#!/usr/bin/python3 -I\nfrom chita.cli.main import main\n\nmain()\n"
_WAIT = b"#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n"


def chita_image(into: Path, *, root: Path, requirements: Path, source: Path) -> str:
    """Write Chita's image as *into*; return its digest.

    Args:
        into: the tar file to write.
        root: the root file system's layer, from `debian_root`.
        requirements: the locked run requirements.
        source: the directory of the package ``chita``.

    Raises:
        EngineError: the requirements could not be installed, or the image became too large.
    """
    with tempfile.TemporaryDirectory(prefix="chita-image-") as scratch:
        site = Path(scratch, "site")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        wanted = ["--no-compile", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        _run([*pip, *wanted, "--target", str(site), "-r", str(requirements)])
        shutil.rmtree(site / "bin", ignore_errors=True)
        files: dict[str, bytes | Path] = {
            _SITE: site,
            f"{_SITE}/chita": source,
            "usr/bin/chita": _COMMAND,
        }
        packages = layer(files, {}, Path(scratch, "packages.tar"))
        image = Image(
            name=NAME,
            layers=(root, packages),
            entrypoint=("/usr/bin/chita",),
            environment=(_PATH, "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"),
        )
        size = sum(path.stat().st_size for path in image.layers)
        if size > MOST_BYTES:
            raise EngineError(f"the image would have {size} bytes, and may have {MOST_BYTES}")
        return write(image, into)


def debian_root(into: Path, sources: Sequence[Path]) -> Path:
    """Make the layer of Debian packages with the package *sources*; return it.

    Raises:
        UnsupportedError: mmdebstrap is not installed.
        EngineError: it failed; the message ends with its last words.
    """
    if shutil.which("mmdebstrap") is None:
        raise UnsupportedError(
            "mmdebstrap is not installed; mend: apt-get install --no-install-recommends mmdebstrap"
        )
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.{os.getpid()}.tar")
    plugins = " ".join(f"! -name {name}" for name in _PLUGINS)
    clean = "; ".join(
        [
            f'find "$1"/usr/lib/cni -type f {plugins} -delete',
            *[f'rm -rf "$1"/{pattern}' for pattern in _NOT_REPEATABLE],
        ]
    )
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=tar",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_NEEDED),
        f"--customize-hook={clean}",
        SUITE, str(temporary), *map(str, sources),
    ]  # fmt: skip
    try:
        _run(command, SOURCE_DATE_EPOCH=str(EPOCH_S))
        temporary.rename(into)
    finally:
        temporary.unlink(missing_ok=True)
    return into


def test_images(into: Path) -> list[Path]:
    """Write the images that a test cluster runs into the directory *into*; return the files.

    Both are a static busybox: one that waits, for sandboxes, and one to try things from.

    Raises:
        UnsupportedError: busybox-static is not installed.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise UnsupportedError(
            "busybox is not installed; mend: apt-get install --no-install-recommends busybox-static"
        )
    into.mkdir(parents=True, exist_ok=True)
    applets = _run([busybox, "--list"]).split()
    files: dict[str, bytes | Path] = {
        "bin/busybox": Path(busybox),
        "bin/wait": _WAIT,
        # A static libc looks for no other source of names, and crashes where none is named.
        "etc/nsswitch.conf": b"hosts: files\n",
        "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
        "tmp/.keep": b"",
        "www/.keep": b"",
    }
    links = {f"bin/{name}": "/bin/busybox" for name in applets if name != "busybox"}
    links.pop("bin/wait", None)
    written = []
    with tempfile.TemporaryDirectory(prefix="chita-image-") as scratch:
        base = layer(files, links, Path(scratch, "busybox.tar"))
        for name, start in ((PAUSE, "/bin/wait"), (TESTER, "/bin/sh")):
            image = Image(
                name=name, layers=(base,), entrypoint=(start,), environment=("PATH=/bin",)
            )
            file = into / f"{name.rpartition('/')[2].partition(':')[0]}.oci.tar"
            write(image, file)
            written.append(file)
    return written


def cached_root() -> Path:
    """Return the layer of Debian packages, made when it is not in the cache.

    Raises:
        UnsupportedError: mmdebstrap is not installed. EngineError: it failed.
    """
    wanted = "\n".join([SUITE, *PACKAGES, *_NOT_NEEDED, *_NOT_REPEATABLE, *_PLUGINS])
    name = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    root = cache() / f"debian-{SUITE}-{name}.tar"
    return root if root.exists() else debian_root(root, package_sources())


def package_sources() -> list[Path]:
    """Return the files that say where this machine's Debian packages come from."""
    found = [
        Path("/etc/apt/sources.list"),
        *sorted(Path("/etc/apt/sources.list.d").glob("debian*")),
    ]
    return [path for path in found if path.exists()]


def cache() -> Path:
    """Return where layers that take long are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chita" / "images"


def _run(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-8:])
        raise EngineError(f"{Path(command[0]).name} failed with {done.returncode}:\n{last}")
    return done.stdout


def main() -> None:
    """Build what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("chita", "tests"))
    parser.add_argument("--into", type=Path, required=True, help="the file, or the directory")
    parser.add_argument("--requirements", type=Path, default=Path("requirements/run.txt"))
    parser.add_argument("--fresh", action="store_true", help="make the Debian layer anew")
    options = parser.parse_args()
    if options.what == "tests":
        for file in test_images(options.into):
            print(file)  # noqa: T201  its output
        return
    root = cached_root()
    if options.fresh:
        debian_root(root, package_sources())
    source = Path(__file__).parents[1]
    made = chita_image(options.into, root=root, requirements=options.requirements, source=source)
    print(made)  # noqa: T201  its output


if __name__ == "__main__":
    main()
