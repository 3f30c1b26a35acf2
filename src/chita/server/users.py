"""Who asks: the user that a client certificate names, as Kubernetes reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from chita.model.node import NODE_PREFIX, NODES

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMINS = "system:masters"


class User(msgspec.Struct, frozen=True):
    """A user's name and groups. *node* is set for a node's own credentials."""

    name: str
    groups: tuple[str, ...]

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return ADMINS in self.groups

    @property
    def node(self) -> str:
        """The node whose agent this is, or the empty string."""
        if NODES in self.groups and self.name.startswith(NODE_PREFIX):
            return self.name.removeprefix(NODE_PREFIX)
        return ""


SERVER = User("system:apiserver", (ADMINS,))


def user_of(certificate: Mapping[str, Any] | None) -> User | None:
    """Return the user of a verified certificate (`ssl.SSLSocket.getpeercert`), or None.

    The common name is the user, each organization a group (Kubernetes, "X509 client
    certificates").
    """
    if not certificate:
        return None
    names: dict[str, list[str]] = {}
    for relative in certificate.get("subject", ()):
        for field, value in relative:
            names.setdefault(field, []).append(value)
    common_name = names.get("commonName", [""])[0]
    if not common_name:
        return None
    return User(common_name, tuple(names.get("organizationName", ())))
