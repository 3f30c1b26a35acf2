"""Puts the CNI binary and its configuration where container runtimes look for them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from chita.errors import InputError

BINARY = "chita-cni"
CONFLIST = "10-chita.conflist"
DEFAULT_NETWORK = "k8s-pod-network"
"""Calico's name; handles begin with it."""
DEFAULT_SOCKET = Path("/run/chita/agent.sock")
LOOPBACK = Path("/usr/lib/cni/loopback")
"""The plugin of that name where Debian's containernetworking-plugins has it, as in our image."""

_SHEBANG_LIMIT = 255
"""Bytes of a script's first line that the kernel reads (linux/binfmts.h, BINPRM_BUF_SIZE)."""


def install(
    bin_dir: Path,
    conf_dir: Path,
    *,
    socket: Path = DEFAULT_SOCKET,
    network: str = DEFAULT_NETWORK,
    interpreter: Path | None = None,
) -> None:
    """Write ``chita-cni`` into *bin_dir*, then ``10-chita.conflist`` into *conf_dir*.

    Each is replaced as a whole: a runtime that starts a pod meanwhile meets the old or the new
    one. The configuration comes last, since it is what makes the runtime call the binary.

    Raises:
        InputError: a directory can't be written, or the interpreter's path is too long.
    """
    try:
        _replace(bin_dir / BINARY, binary_text(interpreter or real_interpreter(), socket), 0o755)
        _replace(conf_dir / CONFLIST, conflist_text(network), 0o644)
    except OSError as error:
        raise InputError(f"install the CNI plugin in {bin_dir} and {conf_dir}: {error}") from error


def install_loopback(bin_dir: Path, source: Path = LOOPBACK) -> None:
    """Copy the plugin ``loopback`` into *bin_dir* unless the node has one.

    containerd and CRI-O call it for each sandbox beside the network's own plugins, and start no pod
    without it.

    Raises:
        InputError: neither the node nor *source* has it, or *bin_dir* can't be written.
    """
    wanted = bin_dir / LOOPBACK.name
    if wanted.exists():
        return
    try:
        bin_dir.mkdir(parents=True, exist_ok=True)
        temporary = wanted.with_name(f".{wanted.name}.{os.getpid()}")
        shutil.copyfile(source, temporary)
        temporary.chmod(0o755)
        temporary.rename(wanted)
    except OSError as error:
        raise InputError(
            f"the container runtime needs the plugin {wanted}, and {source} was not copied there: "
            f"{error.strerror}; install the package containernetworking-plugins"
        ) from error


def uninstall(bin_dir: Path, conf_dir: Path) -> None:
    """Remove what `install` wrote, the configuration first; missing files are fine."""
    (conf_dir / CONFLIST).unlink(missing_ok=True)
    (bin_dir / BINARY).unlink(missing_ok=True)


def real_interpreter() -> Path:
    """Return the Python that runs this, without virtual environments or links on the way.

    A version manager's launcher or a virtual environment would cost a second start-up per call,
    or be gone after an upgrade.
    """
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def binary_text(interpreter: Path, socket: Path) -> str:
    """Return the binary: ``cni.__main__`` with the interpreter and the agent's socket written in.

    Raises:
        InputError: the kernel would cut the first line short.
    """
    shebang = f"#!{interpreter} -IS"
    if len(shebang.encode()) > _SHEBANG_LIMIT:
        raise InputError(
            f"the interpreter's path {interpreter} is too long for a script's first line; "
            "install Python at a shorter path"
        )
    source = Path(__file__).with_name("__main__.py").read_text()
    before, found, after = source.partition(f'SOCKET = "{DEFAULT_SOCKET}"\n')
    assert found, "cni/__main__.py sets SOCKET on a line of its own"
    return f"{shebang}\n{before}SOCKET = {json.dumps(str(socket))}\n{after}"


def conflist_text(network: str) -> str:
    """Return the network configuration list (SPEC 1.1 section 1).

    A runtime of before 1.1 reads ``cniVersion`` alone and refuses one it does not know; a newer one
    takes the highest of ``cniVersions`` that it knows.
    """
    conflist = {
        "cniVersion": "1.0.0",
        "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
        "name": network,
        "plugins": [{"type": BINARY, "ipam": {"type": "chita-ipam"}}],
    }
    return json.dumps(conflist, indent=2) + "\n"


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name begins with a dot: runtimes skip it should they look before the rename.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.rename(path)
