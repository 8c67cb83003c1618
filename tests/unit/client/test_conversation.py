"""A conversation remembers complete answers, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from headgate_client import Client, Conversation, HeadgateError
from support.chat_client import FakeWire, answer, delta, response, started

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate_client import ChatMessage

OK = grpc.StatusCode.OK


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
def conversation(wire: FakeWire) -> Conversation:
    return Conversation(Client(channel=wire.channel), "Be brief.")


def said(messages: Iterable[ChatMessage]) -> list[str]:
    return [message.content for message in messages]


def ask(conversation: Conversation, wire: FakeWire, question: str, reply: str) -> list[str]:
    """Ask and answer one question; returns what was sent."""
    with wire.calling(lambda: conversation.send(question)) as call:
        request = wire.reply(reply)
    assert call.result() == reply
    return said(request.messages)


def test_each_question_is_sent_with_what_was_said(
    conversation: Conversation, wire: FakeWire
) -> None:
    """The system prompt, the history, and then the question, in this order."""
    assert ask(conversation, wire, "q1", "a1") == ["Be brief.", "q1"]
    assert ask(conversation, wire, "q2", "a2") == ["Be brief.", "q1", "a1", "q2"]
    assert said(conversation.messages) == ["Be brief.", "q1", "a1", "q2", "a2"]


def test_a_streamed_answer_is_kept_when_it_is_complete(
    conversation: Conversation, wire: FakeWire
) -> None:
    """The pieces come one by one; the whole message enters the history with `finished`."""
    pieces = conversation.stream("q", temperature=0)
    assert said(conversation.messages) == ["Be brief."]
    wire.finish(*answer("He", "llo"))
    assert list(pieces) == ["He", "llo"]
    assert said(conversation.messages) == ["Be brief.", "q", "Hello"]


def test_a_failed_question_leaves_the_history_as_it_was(
    conversation: Conversation, wire: FakeWire
) -> None:
    """An error of `send`, or in the middle of `stream`, takes the question back."""
    ask(conversation, wire, "q1", "a1")
    before = conversation.messages
    with wire.calling(lambda: conversation.send("q2")) as call:
        _, _, rpc = wire.take_chat()
        rpc.terminate(None, (), grpc.StatusCode.UNAVAILABLE, "gone")
    with pytest.raises(HeadgateError):
        call.result()
    pieces = conversation.stream("q2")
    wire.play(started(), delta("He")).terminate((), grpc.StatusCode.ABORTED, "cut")
    with pytest.raises(HeadgateError):
        list(pieces)
    assert conversation.messages == before


def test_a_cancelled_answer_leaves_the_history_as_it_was(
    conversation: Conversation, wire: FakeWire
) -> None:
    """`cancel()` in the middle keeps neither the question nor half an answer."""
    pieces = conversation.stream("q")
    wire.play(started(), delta("He"))
    assert next(pieces) == "He"
    pieces.stream.cancel()
    assert said(conversation.messages) == ["Be brief."]


def test_reset_forgets_all_but_the_system_prompt(
    conversation: Conversation, wire: FakeWire
) -> None:
    """After `reset()` the next question is the first; an answer on its way is not kept."""
    ask(conversation, wire, "q1", "a1")
    late = conversation.stream("q2")
    conversation.reset()
    wire.finish(*answer("a2"))
    assert list(late) == ["a2"]
    assert ask(conversation, wire, "q3", "a3") == ["Be brief.", "q3"]


def test_the_system_prompt_can_change_at_any_time(
    conversation: Conversation, wire: FakeWire
) -> None:
    """The prompt is no part of the history: the next request begins with the new one."""
    ask(conversation, wire, "q1", "a1")
    conversation.system = "Rhyme."
    assert ask(conversation, wire, "q2", "a2") == ["Rhyme.", "q1", "a1", "q2"]
    conversation.system = None
    assert said(conversation.messages) == ["q1", "a1", "q2", "a2"]


def test_undo_takes_the_last_question_and_its_answer_back(
    conversation: Conversation, wire: FakeWire
) -> None:
    """Tool results that followed a question go with it; with nothing to undo it says None."""
    ask(conversation, wire, "q1", "a1")
    ask(conversation, wire, "q2", "a2")
    with wire.calling(lambda: conversation.send({"role": "tool", "content": "3"})):
        _, _, rpc = wire.take_chat()
        rpc.terminate(response("three"), (), OK, "")
    assert conversation.undo() == "q2"
    assert said(conversation.messages) == ["Be brief.", "q1", "a1"]
    assert conversation.undo() == "q1"
    assert conversation.undo() is None


def test_the_history_cannot_be_changed_from_outside(
    conversation: Conversation, wire: FakeWire
) -> None:
    """`messages` are copies."""
    ask(conversation, wire, "q", "a")
    conversation.messages[1].content = "other"
    conversation.messages.clear()
    assert said(conversation.messages) == ["Be brief.", "q", "a"]
