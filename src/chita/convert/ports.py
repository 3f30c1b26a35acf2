"""Ports of Kubernetes policies as the v3 API writes them: by protocol, in few ranges."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chita.convert.fields import Field
from chita.model.net import PortRange

V3Port = int | str
"""A number, a range ``80:90``, or the name of a port."""

PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
"""What the v3 API takes for a port's name."""

_NUMBERS = re.compile(r"[0-9]+(-[0-9]+)?")

ANY_PROTOCOL = ""
"""The key of rules that name no protocol."""


class PortsByProtocol:
    """Collects the ports of one rule; within a protocol, *all ports* once said stays."""

    def __init__(self) -> None:
        self._ports: dict[str, list[V3Port] | None] = {}

    def add(self, protocol: str, port: V3Port | None) -> None:
        """Add *port* of *protocol*; None is all of its ports."""
        if port is None:
            self._ports[protocol] = None
        elif (ports := self._ports.setdefault(protocol, [])) is not None:
            ports.append(port)

    def sorted(self) -> list[tuple[str, list[V3Port]]]:
        """Return ``(protocol, ports)`` in the order in which Calico writes rules.

        No ports stands for all of them. Nothing added, or all ports of any protocol, is one entry
        that matches everything.
        """
        ports = self._ports
        if not ports or ports.get(ANY_PROTOCOL, []) is None:
            return [(ANY_PROTOCOL, [])]
        return [(protocol, simplified(ports[protocol] or [])) for protocol in sorted(ports)]


def simplified(ports: Sequence[V3Port]) -> list[V3Port]:
    """Return *ports* with numbers that touch or overlap joined to ranges, in order.

    Names come first, as written. A single port is left alone, in its place: that is how Calico
    prints them (SimplifyPorts).
    """
    names = [port for port in ports if not _is_numeric(port)]
    ranges = sorted(PortRange.parse(port) for port in ports if _is_numeric(port))
    if sum(numbers.last - numbers.first + 1 for numbers in ranges) <= 1:
        return list(ports)
    joined: list[PortRange] = []
    for numbers in ranges:
        if joined and numbers.first <= joined[-1].last + 1:
            last = max(joined[-1].last, numbers.last)
            joined[-1] = PortRange(joined[-1].first, last)
        else:
            joined.append(numbers)
    return [*names, *[_written(numbers) for numbers in joined]]


def port_range(first: Field, last: Field) -> V3Port:
    """Return the port or range from *first* to *last*; unset *last*: only *first*.

    Raises:
        ConvertError: not ports from 1 to 65535, or backwards.
    """
    low = first.integer(0, low=1, high=65535)
    high = last.integer(low, low=1, high=65535)
    if high < low:
        raise last.error(f"{high} is less than the first port {low}")
    return _written(PortRange(low, high))


def is_port_name(value: object) -> bool:
    """Whether the v3 API takes *value* for a port's name; ``80-90`` is a range written wrong."""
    return (
        isinstance(value, str)
        and PORT_NAME.fullmatch(value) is not None
        and _NUMBERS.fullmatch(value) is None
    )


def port_name(field: Field) -> str:
    """Return the name of a port.

    Raises:
        ConvertError: not 1 to 128 letters, digits, dots, dashes and underscores, with a letter:
            ``80`` and ``80-90`` are no names (k8s.io/apimachinery IsValidPortName).
    """
    name = field.required()
    if not PORT_NAME.fullmatch(name) or not re.search("[a-zA-Z]", name):
        raise field.error(f"'{name}' is not a port number or the name of a port")
    return name


def _is_numeric(port: V3Port) -> bool:
    return isinstance(port, int) or port.replace(":", "", 1).isdigit()


def _written(numbers: PortRange) -> V3Port:
    return numbers.first if numbers.first == numbers.last else str(numbers)
