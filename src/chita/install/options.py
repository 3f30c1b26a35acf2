"""What whoever installs Chita decides; everything else is read from the cluster."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita import __version__
from chita.errors import InputError
from chita.model.net import Cidr

NAMESPACE = "chita-system"
DEFAULT_POD_CIDR = "10.244.0.0/16"


class Encryption(StrEnum):
    """What travels encrypted (FabricConfiguration ``spec.encryption``)."""

    BETWEEN_LOCATIONS = "BetweenLocations"
    ALL = "All"
    NONE = "None"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of an installation, each with what is there unless chosen otherwise."""

    pod_cidrs: tuple[str, ...] = (DEFAULT_POD_CIDR,)
    """One network, or one of each family."""
    pod_mtu_bytes: int | None = None
    """Of pods' interfaces; None: each node's wire less what wrapping takes."""
    encryption: Encryption = Encryption.BETWEEN_LOCATIONS
    image: str = f"chita:{__version__}"
    """Without registry, so that it is the one that was imported on the nodes."""

    def checked(self) -> Options:
        """Return these options.

        Raises:
            InputError: a pod network is none, or there are two of one family.
        """
        families = [Cidr.parse(text).family for text in self.pod_cidrs]
        if not families:
            raise InputError("no pod network; give --pod-cidr, such as 10.244.0.0/16")
        if len(set(families)) != len(families):
            raise InputError(
                f"--pod-cidr {', '.join(self.pod_cidrs)}: two networks of one family; give one "
                "IPv4 network, one IPv6 network, or one of each; more are IPPools of their own"
            )
        return self
