"""WireGuard over a TUN device, served by ``wireguard-go`` in a process of its own.

The process outlives the agent, which adopts it: its UAPI socket, pid file and log are in a
directory of the node, so many nodes can live on one machine. wireguard-go insists on
``/var/run/wireguard``; it gets a mount namespace in which ``/var/run`` is the node's directory.

The TUN device is persistent: should the process die, the device, its addresses and the routes over
it stay, and what was to be encrypted is dropped instead of leaving by another route. The device
then loses its carrier, which the netlink monitor reports.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from chita.dataplane.child import (
    STOP_TIMEOUT_S,
    Child,
    end,
    find_child,
    read_child,
    start_time,
    write_child,
)
from chita.dataplane.netlink.namespace import in_own_thread, inside, mount_privately
from chita.dataplane.tunnels import uapi
from chita.dataplane.tunnels.wireguard import DeviceState, PeerChange
from chita.errors import EngineError, KernelError, UnsupportedError

_PROGRAM = "wireguard-go"
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB  # linux/if_tun.h
_IFF_TUN = 0x0001
_IFREQ = struct.Struct("=16sH22x")
_START_TIMEOUT_S, _ANSWER_TIMEOUT_S = 10.0, 5.0
_POLL_S = 0.002


class WireguardGo:
    """One device served by wireguard-go; a `WireguardBackend`.

    Args:
        device: name of the TUN device.
        directory: of the node, writable, on a local file system; the socket's path must stay below
            108 bytes (unix(7)).
        namespace: where the device is; None is our own.
    """

    def __init__(self, device: str, *, directory: Path, namespace: Path | None = None) -> None:
        self._device = device
        self._namespace = namespace
        self._directory = directory
        self._socket_path = directory / "wireguard" / f"{device}.sock"
        self._pid_path = directory / f"{device}.pid"
        self.log_path = directory / f"{device}.log"

    def ensure(self) -> bool:
        """Adopt the running process, or start one; return whether one was started.

        Raises:
            EngineError: the program is missing or did not start; the message has its last words.
            UnsupportedError: no TUN device.
        """
        process = self._running()
        if process is not None:
            try:
                self._ask(uapi.GET)
            except EngineError:  # alive but deaf: its socket was deleted, or it hangs
                end(process)
            else:
                return False
        if shutil.which(_PROGRAM) is None:
            raise EngineError(
                f"{_PROGRAM} is not installed, and the kernel has no WireGuard: links between "
                f"locations need one of them; install the package {_PROGRAM}"
            )
        self._socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._await_answer(in_own_thread(self._namespace, self._spawn))
        return True

    def read(self) -> DeviceState:
        """Return what the device holds."""
        return uapi.parse_device(self._request(uapi.GET, "read"))

    def put_device(self, private_key: str, port: int) -> None:
        """Set our own key and UDP port."""
        self._request(uapi.device_request(private_key, port), f"set key and port {port}")

    def put_peer(self, change: PeerChange) -> None:
        """Add or change one peer."""
        self._request(uapi.peer_request(change), f"put peer {change.public_key}")

    def remove_peer(self, public_key: str) -> None:
        """Remove one peer; one that is not there is removed already."""
        self._request(uapi.removal_request(public_key), f"remove peer {public_key}")

    def remove(self) -> None:
        """End the process and remove the device; twice is once."""
        process = self._running()
        if process is not None:
            end(process)
        for path in (self._pid_path, self._socket_path):
            path.unlink(missing_ok=True)
        with suppress(KernelError):  # no TUN here, or the namespace is gone and the device with it
            inside(self._namespace, lambda: self._keep_device(0))

    @property
    def pid(self) -> int | None:
        """The process that serves the device, None when none runs."""
        process = self._running()
        return process.pid if process else None

    def _request(self, request: str, what: str) -> str:
        answer = self._ask(request)
        code = uapi.answer_errno(answer)
        if code:
            name = errno.errorcode.get(code, str(code))
            raise KernelError(
                f"{what} on {self._device}: {name} ({_PROGRAM}; see {self.log_path})", errno=code
            )
        return answer

    def _ask(self, request: str) -> str:
        """Return the answer to one request, over a connection of its own."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as opened:
                opened.settimeout(_ANSWER_TIMEOUT_S)
                opened.connect(str(self._socket_path))
                opened.sendall(request.encode())
                while not answer.endswith(b"\n\n"):
                    part = opened.recv(1 << 18)
                    if not part:
                        break
                    answer += part
        except OSError as error:
            raise EngineError(
                f"{_PROGRAM} for {self._device} does not answer on {self._socket_path}: {error}"
            ) from error
        return answer.decode()

    def _spawn(self) -> int:
        """Start the process from a thread that is in the device's namespace; return its pid.

        The process opens the device by name, because only it knows the framing its version wants
        (packet information, offload headers); persistence is all that we add.
        """
        self._keep_device(1)
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        log = os.open(self.log_path, flags, 0o600)
        try:
            mount_privately(self._directory, Path("/var/run"))
            return os.posix_spawnp(
                _PROGRAM,
                [_PROGRAM, self._device],
                {
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LOG_LEVEL": "error",
                    "WG_PROCESS_FOREGROUND": "1",
                },
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(log)

    def _await_answer(self, pid: int) -> None:
        child = find_child(pid)
        if child is not None:
            write_child(self._pid_path, child)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and start_time(pid) is not None:
            with suppress(EngineError):
                self._ask(uapi.GET)
                return
            time.sleep(_POLL_S)  # the program has no other way to say that it listens
        words = self.log_path.read_text(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(
            f"{_PROGRAM} for {self._device} did not start: {words or 'no word of why'} "
            f"(log {self.log_path})"
        )

    def _running(self) -> Child | None:
        """Return our process as the pid file has it, if it is that one and alive.

        Without a usable pid file, as after a crash between start and writing it, the process that
        listens on the socket is ours: nobody else can write to the directory.
        """
        child = read_child(self._pid_path)
        if child is None:
            pid = _listener_pid(self._socket_path)
            return find_child(pid) if pid else None
        return child if child.is_running else None

    def _keep_device(self, persistent: int) -> None:
        """Make the TUN device stay (1) or go (0) when the last descriptor of it is closed."""
        tun = _open_tun(self._device)
        try:
            fcntl.ioctl(tun, _TUNSETPERSIST, persistent)
        finally:
            os.close(tun)


def _open_tun(device: str) -> int:
    """Return a descriptor of the TUN device of that name in this thread's namespace."""
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise UnsupportedError(
            f"open /dev/net/tun: {error.strerror}; wireguard-go needs the tun module",
            errno=error.errno or 0,
        ) from error
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while True:
        try:
            fcntl.ioctl(tun, _TUNSETIFF, _IFREQ.pack(device.encode(), _IFF_TUN))
        except OSError as error:
            if error.errno == errno.EBUSY and time.monotonic() < deadline:
                time.sleep(_POLL_S)  # threads of a killed process still hold it
                continue
            os.close(tun)
            raise KernelError(
                f"open TUN device {device}: {error.strerror}", errno=error.errno or 0
            ) from error
        return tun


def _listener_pid(path: Path) -> int | None:
    """Return the process that listens on the unix socket at *path* (SO_PEERCRED, unix(7))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as opened:
        try:
            opened.connect(str(path))
        except OSError:
            return None
        credentials = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("=iII", credentials)[0]) or None
