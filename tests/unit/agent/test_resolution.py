"""The host name of a stated endpoint: asked again, told when it changes, kept in silence."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from build import cluster, node
from chita.agent.resolution import host_to_resolve, keep_resolved, resolve
from chita.model.cluster import ClusterState
from chita.model.net import Address
from own_record import own_record

ONE, OTHER = (Address.parse(f"203.0.113.{index}") for index in (1, 2))
FAILED = OSError("nobody answers")


def with_endpoint(text: str) -> ClusterState:
    return cluster(msgspec.structs.replace(node("node-1", "192.0.2.1"), endpoint=text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="none"),
        pytest.param("203.0.113.7:4500", "", id="an-address-already"),
        pytest.param("vpn.example.org:4500", "vpn.example.org", id="name"),
        pytest.param("vpn.example.org:0", "", id="malformed"),
    ],
)
def test_host_to_resolve(text: str, expected: str) -> None:
    assert expected == host_to_resolve(with_endpoint(text), "node-1")


def test_nobody_resolves_for_a_node_that_is_not_known() -> None:
    assert "" == host_to_resolve(ClusterState(), "node-1")


@pytest.mark.parametrize(
    ("answers", "expected", "changes"),
    [
        pytest.param([(ONE,)], (ONE,), 1, id="first-answer"),
        pytest.param([FAILED, (ONE,)], (ONE,), 1, id="tried-again"),
        pytest.param([FAILED, FAILED], None, 0, id="never"),
    ],
)
def test_what_it_resolves_to_is_told(
    answers: list[tuple[Address, ...] | OSError],
    expected: tuple[Address, ...] | None,
    changes: int,
) -> None:
    async def act() -> None:
        record, left, told = own_record("node-1"), list(answers), list[int]()
        heard = asyncio.Event()

        async def look_up(host: str) -> tuple[Address, ...]:
            assert "vpn.example.org" == host
            answer = left.pop(0)
            if not left:
                heard.set()
            if isinstance(answer, OSError):
                raise answer
            return answer

        task = asyncio.create_task(
            keep_resolved(
                record,
                lambda: with_endpoint("vpn.example.org"),
                lambda: told.append(1),
                look_up=look_up,
                interval_s=0,
            )
        )
        await asyncio.wait_for(heard.wait(), 5)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert expected == record.observed.resolved.get("vpn.example.org")
        assert changes == len(told)

    asyncio.run(act())


def test_an_address_resolves_to_itself() -> None:
    assert (ONE,) == asyncio.run(resolve("203.0.113.1"))
