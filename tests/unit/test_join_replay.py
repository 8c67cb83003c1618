"""The replay buffer: one sequence, many readers, one bound."""

from __future__ import annotations

import pytest

from headgate.join.replay import FOLD, FOLD_WEIGHT, Replay


def replay(bound: float = 10) -> Replay[str]:
    return Replay(bound, weigh=len, fold="".join)


def test_a_single_reader_holds_the_source_back() -> None:
    """Promise 7: what it does not read is not fetched, beyond the bound."""
    buffer = replay(bound=4)
    reader = buffer.join()
    assert [buffer.offer(item) for item in ("aa", "bb", "cc")] == [True, True, False]
    assert buffer.take(reader, 2) == ["aa"]
    assert not buffer.offer("cc")
    assert buffer.take(reader) == ["bb"]
    assert buffer.offer("cc")
    assert buffer.take(reader) == ["cc"]
    assert not reader.behind


def test_nobody_who_reads_holds_the_source_back_too() -> None:
    """A call that lingers keeps its first deltas for the one who comes back."""
    buffer = replay(bound=4)
    assert buffer.offer("aaaa")
    assert not buffer.offer("b")
    assert buffer.take(buffer.join()) == ["aaaa"]


def test_a_slow_reader_is_given_up_for_one_that_waits() -> None:
    """The one that has read everything goes on; the one a whole bound behind does not."""
    buffer = replay(bound=4)
    fast, slow = buffer.join(), buffer.join()
    for item in ("aa", "bb"):
        assert buffer.offer(item)
        assert buffer.take(fast) == [item]
    assert buffer.take(slow, 2) == ["aa"]
    assert buffer.offer("cc")
    assert not slow.behind
    assert buffer.take(fast) == ["cc"]
    assert buffer.offer("dd")
    assert slow.behind
    assert buffer.take(slow) == []
    assert buffer.take(fast) == ["dd"]
    assert buffer.readers == 1


def test_nobody_is_given_up_while_all_are_slow() -> None:
    """Two readers of the same speed share the source's pace, however fast it could be."""
    buffer = replay(bound=4)
    one, two = buffer.join(), buffer.join()
    assert buffer.offer("aaaa")
    assert not buffer.offer("b")
    buffer.leave(two)
    assert not buffer.offer("b")
    assert buffer.take(one) == ["aaaa"]
    assert buffer.offer("b")


def test_nobody_joins_what_has_lost_its_front() -> None:
    """A reader gets everything from the first item on, or nothing."""
    buffer = replay(bound=2)
    reader = buffer.join()
    for item in ("aa", "bb"):
        assert buffer.offer(item)
        buffer.take(reader)
    assert not buffer.whole
    with pytest.raises(RuntimeError, match="dropped"):
        buffer.join()


def test_one_item_is_taken_whatever_it_weighs() -> None:
    """A whole answer to a unary call is one item."""
    buffer = replay(bound=2)
    reader = buffer.join()
    assert buffer.offer("x" * 100)
    assert buffer.take(reader, 1) == ["x" * 100]


def test_what_all_have_read_is_folded() -> None:
    """So that an answer of a hundred thousand small pieces fits for those who come later."""
    folded: list[int] = []

    def fold(items: list[str]) -> str:
        folded.append(len(items))
        return "x"

    buffer: Replay[str] = Replay(10_000, weigh=len, fold=fold)
    fast, slow = buffer.join(), buffer.join()
    for _ in range(FOLD):
        buffer.offer("ab")
        buffer.take(fast)
    assert folded == []
    buffer.take(slow)
    buffer.offer("ab")
    assert folded == [FOLD]
    assert buffer.weight == 3
    assert buffer.take(slow) == ["ab"]
    assert buffer.take(buffer.join()) == ["x", "ab"]


def test_what_is_large_is_not_folded() -> None:
    """The front is dropped in whole items, so none may hold most of the buffer."""
    buffer = replay(bound=10 * FOLD_WEIGHT)
    reader = buffer.join()
    for _ in range(FOLD):
        buffer.offer("x" * (FOLD_WEIGHT // 8))
        buffer.take(reader)
    assert len(buffer.take(buffer.join())) == FOLD


def test_an_ended_answer_is_folded_whole() -> None:
    """A short one has less than FOLD pieces."""
    buffer = replay()
    for item in "abc":
        buffer.offer(item)
    buffer.end()
    buffer.settle()
    assert buffer.take(buffer.join()) == ["abc"]
    assert "3 items, weight 3" in repr(buffer)
