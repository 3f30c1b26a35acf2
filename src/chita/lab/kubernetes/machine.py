"""One machine of a cluster: its network is a namespace of the lab's, and so are its mounts.

Volumes of type hostPath, kubelet's and containerd's directories have the same paths on every
machine. So each gets a mount namespace in which those are directories of its own. It lives as long
as its first process, which only waits. ``ip netns exec`` would not do to enter it: that mounts
/sys anew, and kubelet then finds no cgroups.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chita.lab.netns import netns_path
from chita.lab.processes import Processes
from chita.lab.state import Process

OWN_FOLDERS = (
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/run/chita",
    "/run/containerd",
    "/run/netns",
    "/var/lib/chita",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
OWN_FILES = {"/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": ""}
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine: a node of a cluster, or its control plane, which is one too."""

    name: str
    namespace: str
    directory: Path
    """What it has instead of the machine's own directories."""
    addresses: tuple[str, ...]
    provider_id: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    is_control_plane: bool = False

    def path(self, inside: str | Path) -> Path:
        """Return where one of its own files is, seen from outside."""
        return self.directory / str(inside).removeprefix("/")

    def boot(self, processes: Processes) -> Process:
        """Start its first process; return when its directories are in place."""
        lines = ["set -e"]
        for folder in OWN_FOLDERS:
            self.path(folder).mkdir(parents=True, exist_ok=True)
            lines.append(f"mkdir -p {folder}; mount --bind {_quoted(self.path(folder))} {folder}")
        for name, content in OWN_FILES.items():
            file = self.path(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            lines.append(f"mount --bind {_quoted(file)} {name}")
        ready = self.path("ready")
        ready.unlink(missing_ok=True)
        # Shared among what runs on this machine: a pod's mount of /run/netns sees later pods too.
        lines += ["mount --make-rshared /", f"touch {_quoted(ready)}", "exec sleep infinity"]
        return processes.start(
            f"machine-{self.name}",
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)],
            namespace=netns_path(self.namespace),
        )

    @property
    def is_up(self) -> bool:
        """Whether its directories are in place."""
        return self.path("ready").exists()


def entering(first: Process, command: Sequence[str]) -> list[str]:
    """Return *command* as it is run on the machine whose first process is *first*."""
    spaces = [f"--{kind}=/proc/{first.pid}/ns/{name}" for kind, name in _SPACES]
    return ["nsenter", *spaces, "--", *command]


_SPACES = (("mount", "mnt"), ("net", "net"))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
