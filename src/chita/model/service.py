"""Services and the endpoints behind them, as policy and address translation need them."""

from __future__ import annotations

import msgspec

from chita.model.net import Address


class ServicePort(msgspec.Struct, frozen=True, kw_only=True):
    """One port of a Service."""

    name: str
    protocol: int
    port: int
    target: str | int
    """Container port, by number or name."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A v1 Service."""

    namespace: str
    name: str
    selector: dict[str, str] = {}
    cluster_addresses: tuple[Address, ...] = ()
    ports: tuple[ServicePort, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class SliceEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one endpoint of an EndpointSlice."""

    address: Address
    protocol: int
    port: int


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A discovery.k8s.io/v1 EndpointSlice: part of a Service's endpoints.

    Readiness is not kept: rules that match a service count all its addresses (v3 trap 9).
    """

    namespace: str
    name: str
    service: str
    """The value of label ``kubernetes.io/service-name``."""
    endpoints: tuple[SliceEndpoint, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"
