"""What policy is applied to and what rules name as peers: endpoints, network sets, profiles."""

from __future__ import annotations

import hashlib
from sys import intern

import msgspec

from chita.model.net import Address, Cidr
from chita.model.policy import Rule


class NamedPort(msgspec.Struct, frozen=True, gc=False):
    """A port an endpoint declares by name (container ports; v3 ``spec.ports``)."""

    name: str
    protocol: int
    port: int


class WorkloadEndpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod's (or VM's) interface: the v3 WorkloadEndpoint.

    Pods that have finished (phase Succeeded or Failed) and pods on the host's network are not
    workload endpoints.
    """

    namespace: str
    name: str
    """The pod's name; with the namespace it is the key."""
    node: str
    interface: str
    """The host's end of its link."""
    labels: dict[str, str]
    """Its own labels, with namespace, orchestrator and service account (`chita.model.labels`)."""
    addresses: tuple[Address, ...] = ()
    profiles: tuple[str, ...] = ()
    ports: tuple[NamedPort, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``; interned, since many collections have it."""
        return intern(f"{self.namespace}/{self.name}")


class HostEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of a host, or all of them (``*``): the v3 HostEndpoint."""

    name: str
    node: str
    interface: str
    """Interface name, ``*``, or empty when *expected_addresses* alone locate it."""
    labels: dict[str, str]
    expected_addresses: tuple[Address, ...] = ()
    """The only addresses that selectors know it by."""
    profiles: tuple[str, ...] = ()
    ports: tuple[NamedPort, ...] = ()

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


class NetworkSet(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled networks: the v3 NetworkSet, or GlobalNetworkSet when *namespace* is empty."""

    namespace: str
    name: str
    labels: dict[str, str]
    nets: tuple[Cidr, ...] = ()
    profiles: tuple[str, ...] = ()
    """Its namespace's profile, so that namespace selectors find it."""

    @property
    def key(self) -> str:
        """``namespace/name``; a global one is ``/name``."""
        return f"{self.namespace}/{self.name}"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that endpoints inherit, and rules used when no tier decided: the v3 Profile."""

    name: str
    labels_to_apply: dict[str, str] = {}
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


def interface_name(namespace: str, pod: str, *, prefix: str = "cali") -> str:
    """Return the name of the host's end of a pod's link, as Calico names it.

    *prefix* and the first 11 hex digits of SHA-1 over ``namespace.pod``: 15 characters, the
    kernel's limit (IFNAMSIZ, linux/if.h).
    """
    digest = hashlib.sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()
    return prefix + digest[:11]
