"""What holds when the metadata service is asked again: news is taken, silence takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chita.agent.discovery import current, keep_discovered
from chita.agent.identity import Identity
from chita.agent.record import OwnRecord
from chita.cloud.facts import NOTHING, CloudFacts, Fact, Source
from chita.dataplane.netlink.fake import FakeLinks
from chita.dataplane.netlink.links import InterfaceAddress, VethEnd
from chita.model.net import Address


def told(public: str = "", *, source: Source = Source.METADATA) -> CloudFacts:
    held: tuple[Address, ...] = (Address.parse(public),) if public else ()
    address = Fact(held, source) if held else None
    return CloudFacts(provider=Fact("aws", source), public_addresses=address)


OLD, NEW, NONE = told("203.0.113.1"), told("203.0.113.2"), told()
FIRMWARE = told(source=Source.DMI)


@pytest.mark.parametrize(
    ("before", "last", "now", "expected"),
    [
        pytest.param(OLD, OLD, OLD, OLD, id="unchanged"),
        pytest.param(OLD, OLD, NEW, NEW, id="another-address"),
        pytest.param(NONE, NONE, NEW, NEW, id="an-address-at-last"),
        pytest.param(OLD, OLD, NONE, OLD, id="missing-once"),
        pytest.param(OLD, NONE, NONE, NONE, id="missing-twice"),
        pytest.param(OLD, OLD, NOTHING, OLD, id="silent"),
        pytest.param(OLD, NOTHING, NOTHING, OLD, id="silent-for-long"),
        pytest.param(OLD, FIRMWARE, FIRMWARE, OLD, id="only-the-firmware"),
        pytest.param(NOTHING, NOTHING, OLD, OLD, id="heard-for-the-first-time"),
    ],
)
def test_current(
    before: CloudFacts, last: CloudFacts, now: CloudFacts, expected: CloudFacts
) -> None:
    assert expected == current(before, last, now)


def own_record(discovered: CloudFacts) -> OwnRecord:
    links = FakeLinks()
    far = VethEnd(name="far", mac="", namespace=None)
    links.add_veth(VethEnd(name="eth0", mac=""), far, mtu_bytes=1500)
    links.set_up(links.index("eth0"))
    links.put_address(links.index("eth0"), InterfaceAddress(Address.parse("192.0.2.1"), 24))
    identity = Identity(node="node-1", wireguard_public_key="", vtep_mac="")
    return OwnRecord("node-1", lambda _: identity, links, discovered)


@pytest.mark.parametrize(
    ("answers", "expected", "changes"),
    [
        pytest.param([OLD, OLD], OLD, 0, id="no-news"),
        pytest.param([NOTHING, NEW, NEW], NEW, 1, id="another-address-after-an-outage"),
        pytest.param([NONE, OLD, NONE], OLD, 0, id="flapping"),
        pytest.param([NONE, NONE, NONE], NONE, 1, id="given-up"),
    ],
)
def test_news_is_told_once(
    answers: Sequence[CloudFacts], expected: CloudFacts, changes: int
) -> None:
    """The record says what the cloud says now; who must know is told when it changes, not else."""

    async def act() -> None:
        record, left, told_of = own_record(OLD), list(answers), list[CloudFacts]()
        heard = asyncio.Event()

        async def discover() -> CloudFacts:
            if not left:
                heard.set()
                await asyncio.Event().wait()
            return left.pop(0)

        task = asyncio.create_task(
            keep_discovered(
                record, discover, lambda: told_of.append(record.discovered), interval_s=0
            )
        )
        await asyncio.wait_for(heard.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert (expected, changes) == (record.discovered, len(told_of))

    asyncio.run(act())
