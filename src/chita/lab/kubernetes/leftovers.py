"""What a container runtime leaves when it is ended: containers, and their control groups."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
CONTAINERS = "k8s.io"
"""The group of containerd's namespace of that name, where no kubelet makes another."""


def descendants(roots: Iterable[int], directory: Path) -> set[int]:
    """Return the processes below *roots*, and below containerd's shims that serve *directory*.

    A shim is nobody's child: it outlives the containerd that started it. It says on its command
    line whose it is.
    """
    children: dict[int, list[int]] = {}
    found = list(roots)
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        with suppress(OSError):
            pid = int(path.name)
            # The name may hold spaces and parentheses (proc_pid_stat(5)); fields follow its end.
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
            if _serves(path, directory):
                found.append(pid)
    below: set[int] = set()
    while found:
        for child in children.get(found.pop(), ()):
            if child not in below:
                below.add(child)
                found.append(child)
    return below


def _serves(process: Path, directory: Path) -> bool:
    """Whether *process* is a shim whose mounts show *directory* as containerd's state."""
    if b"containerd-shim" not in (process / "cmdline").read_bytes():
        return False
    mounts = (process / "mountinfo").read_text()
    return any(f"{directory.name}/" in line for line in mounts.splitlines())


def remove_control_groups() -> None:
    """Remove the empty control groups of containers; those that have processes stay."""
    for controller in CONTROL_GROUPS.iterdir():
        group = controller / CONTAINERS
        if group.is_dir():
            for folder in sorted(group.rglob("*/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                group.rmdir()
