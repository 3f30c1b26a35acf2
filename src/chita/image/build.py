"""Builds Chita's image and those that a test cluster runs, without any registry.

    python -m chita.image.build chita --into dist     (make image)
    python -m chita.image.build tests --into dist

Chita's has three layers, by how often they change: Debian, the locked requirements, Chita. Each is
kept by a digest of what it is made from, so that after a change of Chita only the last is made.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from chita import __version__
from chita.errors import EngineError, UnsupportedError
from chita.image import debian, packages
from chita.image.command import run
from chita.image.layer import Layer, write_layer
from chita.image.layout import Image, write

NAME = f"docker.io/library/chita:{__version__}"
PAUSE = "docker.io/library/pause:1"
TESTER = "docker.io/library/chita-test:1"

MOST_BYTES = 250_000_000
"""What Chita's image may have, unpacked."""

_KEPT_LAYERS = 3
"""Of each kind, the newest."""
ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
_PT_INTERP = 3
"""Program header of what names a dynamic loader (elf.h)."""


def chita_image(into: Path) -> Path:
    """Write Chita's image into the directory *into*; return the file.

    The first time takes two minutes, seconds afterwards. Root only, unless Debian's layer is kept.

    Raises:
        UnsupportedError: not a checkout, not root, or mmdebstrap is missing.
        EngineError: a step failed, or the image became too large.
    """
    source = packages.checkout()
    with tempfile.TemporaryDirectory(prefix="chita-image-") as scratch:
        sources = Path(scratch, "sources")
        chita = packages.copy_sources(source, sources)
        layers = _layers(source, sources, chita, Path(scratch))
    size = sum(layer.content_bytes for layer in layers)
    if size > MOST_BYTES:
        raise EngineError(f"{NAME} would have {size} bytes, and may have {MOST_BYTES}")
    image = Image(
        name=NAME, layers=layers, entrypoint=(f"/{packages.COMMAND}",), environment=ENVIRONMENT
    )
    file = into / f"chita-{__version__}.oci.tar"
    write([image], file)
    return file


def test_images(into: Path) -> Path:
    """Write the images that a test cluster runs, `PAUSE` and `TESTER`, as one file; return it.

    Both are a static busybox: one that waits, for sandboxes (it heeds no signal but SIGKILL, which
    is what containerd and CRI-O send), and one with a shell to try things from.

    Raises:
        UnsupportedError: busybox-static is not installed.
    """
    busybox = _static_busybox()
    files: dict[str, bytes | Path] = {
        "bin/busybox": busybox,
        # A static libc looks for no other source of names, and fails where none is named.
        "etc/nsswitch.conf": b"hosts: files dns\n",
        "etc/group": b"root:x:0:\n",
        "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
        "tmp/.keep": b"",
        "www/index.html": b"chita-test\n",
    }
    applets = run([str(busybox), "--list"]).split()
    links = {f"bin/{name}": "busybox" for name in applets if name != "busybox"}
    with tempfile.TemporaryDirectory(prefix="chita-image-") as scratch:
        base = write_layer(Path(scratch, "busybox.tar.gz"), files, links)
        images = [
            Image(name=name, layers=(base,), entrypoint=start, environment=("PATH=/bin",))
            for name, start in ((PAUSE, ("/bin/sleep", "infinity")), (TESTER, ("/bin/sh",)))
        ]
        file = into / "chita-test.oci.tar"
        write(images, file)
    return file


def cache() -> Path:
    """Return where layers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chita" / "images"


def forget() -> None:
    """Remove all kept layers: the next image has the packages that Debian has then."""
    shutil.rmtree(cache(), ignore_errors=True)


def _layers(source: Path, sources: Path, chita: str, scratch: Path) -> tuple[Layer, ...]:
    """Return the three layers, each with what its own step adds.

    Args:
        source: the checkout.
        sources: a copy of what Chita's wheel is made of.
        chita: the digest of that copy.
        scratch: for what is needed meanwhile.
    """
    # How layers are made decides about their bytes, too.
    recipe = _digest(*(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))

    def make_debian(into: Path) -> Layer:
        debian.make_root(scratch / "debian")
        return write_layer(into, {"": scratch / "debian"})

    lowest = _kept("debian", recipe, make_debian)

    def make_libraries(into: Path) -> Layer:
        root = scratch / "libraries"
        debian.unpack_root(lowest.path, root)
        packages.install_requirements(source, root)
        debian.compile_python(root, packages.SITE)
        return write_layer(into, {packages.SITE: root / packages.SITE})

    def make_chita(into: Path) -> Layer:
        root = scratch / "chita"
        debian.unpack_root(lowest.path, root)
        packages.install_chita(sources, root)
        debian.compile_python(root, packages.SITE)
        site = {packages.SITE: root / packages.SITE}
        return write_layer(into, {**site, packages.COMMAND: packages.SCRIPT})

    locked = packages.requirements(source).read_bytes()
    return (
        lowest,
        _kept("libraries", _digest(recipe.encode(), locked), make_libraries),
        _kept("chita", _digest(recipe.encode(), chita.encode()), make_chita),
    )


def _kept(kind: str, key: str, make: Callable[[Path], Layer]) -> Layer:
    """Return the kept layer of *kind* made from what *key* says, made now if there is none."""
    file = cache() / f"{kind}-{key}.tar.gz"
    if file.exists():
        return Layer.read(file)
    layer = make(file)
    newest = sorted(cache().glob(f"{kind}-*.tar.gz"), key=lambda path: -path.stat().st_mtime)
    for old in newest[_KEPT_LAYERS:]:
        old.unlink(missing_ok=True)
    return layer


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{len(part)}\0".encode() + part)
    return found.hexdigest()[:16]


def _static_busybox() -> Path:
    found = shutil.which("busybox")
    if found is None or _is_dynamic(Path(found).read_bytes()):
        raise UnsupportedError(
            "a static busybox is not installed; "
            "mend: apt-get install --no-install-recommends busybox-static"
        )
    return Path(found)


def _is_dynamic(program: bytes) -> bool:
    """Return whether a 64-bit little-endian ELF program asks for a loader (elf.h, Elf64_Ehdr)."""
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = [struct.unpack_from("<I", program, offset + size * it)[0] for it in range(count)]
    return _PT_INTERP in kinds


def main() -> None:
    """Build what the command line says; print where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("chita", "tests"))
    parser.add_argument("--into", type=Path, default=Path("dist"), help="the directory")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of earlier builds")
    options = parser.parse_args()
    if options.fresh:
        forget()
    made = chita_image if options.what == "chita" else test_images
    print(made(options.into))  # noqa: T201  its output


if __name__ == "__main__":
    main()
