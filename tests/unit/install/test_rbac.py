"""Rights are those that the code uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chita.api.kinds import CALICO, CHITA, CORE, WATCHED
from chita.install.rbac import AGENT, CONTROLLER, ROLES, Role

SOURCES = Path(__file__).parents[3] / "src/chita"
TABLES = {"CORE": CORE, "CALICO": CALICO, "CHITA": CHITA}
CALL = re.compile(
    r"client\.(get|list|update|patch|delete|watch)\(\s*(CORE|CALICO|CHITA)\[\"(\w+)\"\]"
)


def granted(role: Role) -> set[tuple[str, str]]:
    """Return each verb with the resource and its group."""
    rules = [right.rule() for right in (*role.cluster, *role.namespaced)]
    return {
        (verb, f"{name}.{rule['apiGroups'][0]}")
        for rule in rules
        for name in rule["resources"]
        for verb in rule["verbs"]
    }


def calls(folder: str) -> Iterator[tuple[str, str]]:
    for file in (SOURCES / folder).glob("*.py"):
        for verb, table, kind in CALL.findall(file.read_text()):
            resource = TABLES[table][kind]
            yield verb, f"{resource.plural}.{resource.group}"


@pytest.mark.parametrize(
    ("role", "folder"),
    [pytest.param(AGENT, "agent", id="agent"), pytest.param(CONTROLLER, "controller", id="ctl")],
)
def test_calls_in_the_source_are_granted(role: Role, folder: str) -> None:
    """As far as a call names its kind; the rest is in the tests of the running cluster."""
    asked = set(calls(folder))

    assert asked
    assert asked - granted(role) == set()


def test_what_is_watched_is_granted() -> None:
    wanted = {
        (verb, f"{each.plural}.{each.group}") for each in WATCHED for verb in ("list", "watch")
    }

    assert wanted - granted(AGENT) == set()


def test_no_role_is_wide() -> None:
    """No wildcard, no Secret but one, no right over rights, no policy written."""
    for role in ROLES:
        for right in (*role.cluster, *role.namespaced):
            if "secrets" in right.names:
                assert (right in role.namespaced, right.only) == (True, ("chita-webhook",))
        for verb, resource in granted(role):
            assert "*" not in {verb, resource}
            assert resource.partition(".")[0] not in {"configmaps", "clusterroles"}
            if verb not in {"get", "list", "watch"}:
                assert not resource.startswith(("networkpolicies.", "globalnetworkpolicies.")), verb


def test_each_right_has_one_group_and_a_reason() -> None:
    for role in ROLES:
        for right in (*role.cluster, *role.namespaced):
            assert len({resource.group for resource in right.resources}) == 1
            assert right.reason
