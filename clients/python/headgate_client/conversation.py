"""A conversation that remembers: each answer is sent along with the next question.

The history changes only when an answer is complete: after a failed, cancelled or abandoned
answer it is as it was before the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate_client.messages import copy_of, first_message, message_of
from headgate_client.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from headgate_client.client import AsyncClient, Client
    from headgate_client.messages import MessageLike
    from headgate_client.request import CallParams
    from headgate_client.stream import AsyncTextIterator, TextIterator


class History:
    """What was said so far; `system` goes first in every request and is no part of it."""

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        self._said: list[pb.ChatMessage] = []

    @property
    def messages(self) -> list[pb.ChatMessage]:
        """Copies of the messages that the next request would begin with, system first."""
        return [copy_of(message) for message in self._all()]

    def reset(self) -> None:
        """Forget everything but the system prompt; an answer still on its way is not kept."""
        self._said = []

    def undo(self) -> str | None:
        """Take the last question and its answer back; return the question's text, if any."""
        for at in range(len(self._said) - 1, -1, -1):
            if self._said[at].role == pb.ROLE_USER:
                question = self._said[at].content
                del self._said[at:]
                return question
        return None

    def _all(self) -> list[pb.ChatMessage]:
        system = [pb.ChatMessage(role=pb.ROLE_SYSTEM, content=self.system)] if self.system else []
        return system + self._said

    def _turn(
        self, question: MessageLike
    ) -> tuple[Sequence[pb.ChatMessage], Callable[[pb.ChatMessage], None]]:
        """The messages to send for a question, and what to do with its complete answer."""
        asked = message_of(question)
        said = self._said

        def keep(answer: pb.ChatMessage) -> None:
            said.extend((asked, copy_of(answer)))

        return [*self._all(), asked], keep


class Conversation(History):
    """A conversation through a Client. One question at a time."""

    def __init__(self, client: Client, system: str | None = None) -> None:
        super().__init__(system)
        self._client = client

    def send(self, question: MessageLike, **params: Unpack[CallParams]) -> str:
        """Ask, wait, and return the answer's text; `params` as for Client.chat."""
        messages, keep = self._turn(question)
        response = self._client.chat(messages, **params)
        answer = first_message(response)
        keep(answer)
        return answer.content

    def stream(self, question: MessageLike, **params: Unpack[CallParams]) -> TextIterator:
        """Ask, and iterate over the answer's text; its `stream` attribute can cancel."""
        messages, keep = self._turn(question)
        return self._client._stream(messages, params, keep).text()  # noqa: SLF001 - one package


class AsyncConversation(History):
    """As Conversation, for asyncio."""

    def __init__(self, client: AsyncClient, system: str | None = None) -> None:
        super().__init__(system)
        self._client = client

    async def send(self, question: MessageLike, **params: Unpack[CallParams]) -> str:
        """Ask, wait, and return the answer's text; `params` as for Client.chat."""
        messages, keep = self._turn(question)
        response = await self._client.chat(messages, **params)
        answer = first_message(response)
        keep(answer)
        return answer.content

    def stream(self, question: MessageLike, **params: Unpack[CallParams]) -> AsyncTextIterator:
        """Ask, and iterate over the answer's text; its `stream` attribute can cancel."""
        messages, keep = self._turn(question)
        return self._client._stream(messages, params, keep).text()  # noqa: SLF001 - one package
