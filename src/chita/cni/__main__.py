"""chita-cni: carries a CNI call to the node's agent and its answer back. Decides nothing.

The container runtime starts it twice in a pod's life and waits, so start-up is what it costs: a
bare interpreter takes 8 ms, ``json`` would double that and ``socket`` again (they import ``re``
and ``enum``). So the configuration goes to the agent unparsed, the answer comes ready to print,
and ``json`` is loaded only where there is time: when the agent can't be reached, or the
configuration names a socket.

``cni.install`` copies this file as it stands, with the interpreter and the socket written in. It
runs as ``python -IS``: no site, no environment, nothing but the standard library.

Protocol (rpc.messages): one line of JSON to the agent; back one line, ``0`` or ``1`` (the exit
status), then what to print.
"""

import posix  # what os wraps, without the millisecond os takes to load
import sys
from _socket import AF_UNIX, SOCK_STREAM, socket  # likewise: the C half of socket

SOCKET = "/run/chita/agent.sock"
VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
REPLY_TIMEOUT_S = 90.0
"""The agent has its own, shorter ones; this one is for an agent that hangs."""

INCOMPATIBLE_VERSION, INVALID_ENVIRONMENT, IO_FAILURE, DECODING_FAILURE = 1, 4, 5, 6
TRY_AGAIN_LATER, NOT_AVAILABLE = 11, 50

ATTACHMENT = ("CNI_CONTAINERID", "CNI_IFNAME")
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ATTACHMENT,  # without CNI_NETNS: clean up what can be cleaned up (SPEC, DEL)
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "STATUS": (),
    "GC": (),  # the specification wants CNI_PATH; nothing here is looked for in it
    "VERSION": (),
}
"""Environment variables of each operation that must be set and not empty."""

_ESCAPES = {n: f"\\u{n:04x}" for n in range(0x20)} | {ord('"'): '\\"', ord("\\"): "\\\\"}


class CniError(Exception):
    """An answer other than success.

    Attributes:
        code: one of the specification's error codes.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def main() -> int:
    """Answer the call in the environment and on standard input; return the exit status."""
    config = ""
    try:
        environment = {k.decode(): v.decode() for k, v in posix.environ.items() if k[:4] == b"CNI_"}
        command = checked_command(environment)
        config = read_input()
        status, output = versions(config) if command == "VERSION" else ask(environment, config)
    except UnicodeDecodeError as error:
        status, output = failed(CniError(DECODING_FAILURE, f"not UTF-8: {error}"), config)
    except CniError as error:
        status, output = failed(error, config)
    while output:
        output = output[posix.write(1, output) :]
    return status


def checked_command(environment: dict[str, str]) -> str:
    """Return the operation, once all that it needs is in *environment*.

    Raises:
        CniError: it is unknown, or variables are missing; the message names all of them.
    """
    command = environment.get("CNI_COMMAND", "")
    if command not in REQUIRED:
        names = ", ".join(REQUIRED)
        raise CniError(INVALID_ENVIRONMENT, f"CNI_COMMAND is '{command}', not one of {names}")
    missing = [name for name in REQUIRED[command] if not environment.get(name)]
    if missing:
        raise CniError(INVALID_ENVIRONMENT, f"{command} needs {', '.join(missing)}; not set")
    return command


def read_input() -> str:
    """Return all of standard input."""
    parts = []
    try:
        while part := posix.read(0, 1 << 16):
            parts.append(part)
    except OSError as error:
        raise CniError(IO_FAILURE, f"read standard input: {error}") from error
    return b"".join(parts).decode()


def ask(environment: dict[str, str], config: str) -> tuple[int, bytes]:
    """Return the agent's answer: exit status and output."""
    path = SOCKET if '"socket"' not in config else parsed(config).get("socket", SOCKET)
    variables = ",".join(f"{quoted(name)}:{quoted(value)}" for name, value in environment.items())
    request = f'{{"type":"cni","environment":{{{variables}}},"config":{quoted(config)}}}\n'
    answer = b""
    agent = socket(AF_UNIX, SOCK_STREAM)  # closed with the process
    try:
        agent.settimeout(REPLY_TIMEOUT_S)
        agent.connect(str(path))
        agent.sendall(request.encode())
        while not answer.endswith(b"\n"):
            part = agent.recv(1 << 16)
            if not part:
                raise ConnectionError("it closed the connection without an answer")
            answer += part
    except OSError as error:
        supported(parsed(config))  # say what is wrong with the input before what is wrong here
        code = NOT_AVAILABLE if environment["CNI_COMMAND"] == "STATUS" else TRY_AGAIN_LATER
        message = f"chita agent at {path}: {error}; is it running on this node?"
        raise CniError(code, message) from error
    return int(answer[:1]), answer[1:].strip()


def quoted(text: str) -> str:
    """Return *text* as a JSON string."""
    return f'"{text.translate(_ESCAPES)}"'


def parsed(config: str) -> dict[str, object]:
    """Return the network configuration.

    Raises:
        CniError: it is not a JSON object.
    """
    import json  # see the module's docstring

    try:
        value = json.loads(config)
    except ValueError as error:
        raise CniError(DECODING_FAILURE, f"network configuration: {error}") from error
    if not isinstance(value, dict):
        raise CniError(DECODING_FAILURE, "network configuration: not a JSON object")
    return value


def supported(config: dict[str, object]) -> str:
    """Return the configuration's CNI version.

    Raises:
        CniError: it is none that we speak.
    """
    version = config.get("cniVersion")
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise CniError(INCOMPATIBLE_VERSION, f"cniVersion {version}: not one of {known}")
    return str(version)


def versions(config: str) -> tuple[int, bytes]:
    """Return the answer to VERSION, which needs no agent and takes any ``cniVersion``."""
    asked = parsed(config).get("cniVersion") if config.strip() else None
    names = ",".join(quoted(version) for version in VERSIONS)
    chosen = quoted(asked if isinstance(asked, str) else VERSIONS[-1])
    return 0, f'{{"cniVersion":{chosen},"supportedVersions":[{names}]}}'.encode()


def failed(error: CniError, config: str) -> tuple[int, bytes]:
    """Return the specification's error object, in the configuration's version where it has one."""
    version = VERSIONS[-1]
    if config and error.code != DECODING_FAILURE:
        asked = parsed(config).get("cniVersion") if config.lstrip()[:1] == "{" else None
        version = asked if asked in VERSIONS else version
    text = quoted(f"chita-cni: {error}")
    return 1, f'{{"cniVersion":"{version}","code":{error.code},"msg":{text}}}'.encode()


if __name__ == "__main__":
    sys.exit(main())
