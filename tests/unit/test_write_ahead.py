"""One write under way while its writer goes on."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from headgate.outbox import Outbox
from headgate.write_ahead import WriteAhead


class Peer:
    """Writes that end when the test says so.

    Attributes:
        begun, ended: what was written, in order.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.left: list[asyncio.Future[None]] = []

    async def write(self, word: str) -> None:
        self.begun.append(word)
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left.append(left)
        await left
        self.ended.append(word)


async def test_a_write_begins_at_once() -> None:
    """Up to where it waits, without a turn of the event loop."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start(peer.write("a"))
    assert (peer.begun, ahead.done) == (["a"], False)
    peer.left[0].set_result(None)
    assert ahead.done
    ahead.end()
    assert peer.ended == ["a"]


async def test_settling_waits_for_it() -> None:
    """The next write begins behind the one before."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start(peer.write("a"))
    settling = asyncio.create_task(ahead.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    peer.left[0].set_result(None)
    await settling
    assert peer.ended == ["a"]
    assert ahead.done


async def test_nothing_under_way_is_settled() -> None:
    """Also behind a write that did not have to wait."""
    ahead = WriteAhead(Outbox())
    await ahead.settle()

    async def quick() -> None:
        pass

    ahead.start(quick())
    assert ahead.done
    await ahead.settle()


@pytest.mark.parametrize("way", ["end", "settle"])
async def test_a_fault_is_raised_once(way: str) -> None:
    """To whoever asks next, and to nobody after."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start(peer.write("a"))
    peer.left[0].set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        ahead.end() if way == "end" else await ahead.settle()
    await ahead.settle()


async def test_a_fault_at_once_is_raised_at_once() -> None:
    """A write on a call that is over does not get as far as waiting."""

    async def refused() -> None:
        raise ConnectionError

    ahead = WriteAhead(Outbox())
    with pytest.raises(ConnectionError):
        ahead.start(refused())
    assert ahead.done


async def test_cancelling_who_waits_does_not_cancel_the_write() -> None:
    """What a write holds is freed by gRPC when it has ended, and only then."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start(peer.write("a"))
    settling = asyncio.create_task(ahead.settle())
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    assert not peer.left[0].cancelled()
    ahead.drop()
    peer.left[0].set_result(None)
    await asyncio.sleep(0)
    assert peer.ended == ["a"]


@pytest.mark.parametrize("fault", [None, ConnectionError("gone")], ids=["well", "badly"])
async def test_a_dropped_write_ends_by_itself(fault: Exception | None) -> None:
    """And nobody hears of it, not even the event loop."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: heard.append(told))
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start(peer.write("a"))
    ahead.drop()
    if fault is None:
        peer.left[0].set_result(None)
    else:
        peer.left[0].set_exception(fault)
    await asyncio.sleep(0)
    peer.left.clear()
    gc.collect()
    assert peer.ended == ([] if fault else ["a"])
    assert heard == []
    ahead.drop()


async def test_a_write_that_is_to_start_soon_begins_in_the_next_turn() -> None:
    """Until then it is under way: no other may overtake it."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start_soon(peer.write("a"))
    assert (peer.begun, ahead.done) == ([], False)
    await asyncio.sleep(0)
    assert (peer.begun, ahead.done) == (["a"], False)
    peer.left[0].set_result(None)
    ahead.end()
    assert peer.ended == ["a"]


async def test_what_is_planned_begins_before_the_next_write() -> None:
    """Which waits for it; and no second time in its turn."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start_soon(peer.write("a"))
    settling = asyncio.create_task(ahead.settle())
    await asyncio.sleep(0)
    peer.left[0].set_result(None)
    await settling
    await asyncio.sleep(0)
    assert (peer.begun, peer.ended) == (["a"], ["a"])


async def test_what_is_planned_begins_before_it_is_dropped() -> None:
    """So that a status does not overtake it."""
    peer, ahead = Peer(), WriteAhead(Outbox())
    ahead.start_soon(peer.write("a"))
    ahead.drop()
    assert peer.begun == ["a"]
    peer.left[0].set_result(None)
    await asyncio.sleep(0)
    assert (peer.begun, peer.ended) == (["a"], ["a"])


async def test_a_fault_of_a_planned_write_is_heard_at_its_end() -> None:
    """Once, and the writes of other streams begin all the same."""

    async def refused() -> None:
        raise ConnectionError

    outbox, peer = Outbox(), Peer()
    ahead, other = WriteAhead(outbox), WriteAhead(outbox)
    ahead.start_soon(refused())
    other.start_soon(peer.write("b"))
    await asyncio.sleep(0)
    assert peer.begun == ["b"]
    assert ahead.done
    with pytest.raises(ConnectionError):
        ahead.end()
    await ahead.settle()
    other.drop()
