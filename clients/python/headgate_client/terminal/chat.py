"""The chat itself: lines go in, and each is answered or obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headgate_client.errors import HeadgateError
from headgate_client.terminal.commands import HELP, KEYS, Command, parse
from headgate_client.terminal.transcript import save
from headgate_client.terminal.wording import error_line, summary_line, waiting_line

if TYPE_CHECKING:
    from headgate_client.conversation import Conversation
    from headgate_client.request import CallParams
    from headgate_client.stream import Stream
    from headgate_client.terminal.screen import Screen
    from headgate_client.v1 import chat_pb2 as pb


class Chat:
    """One conversation on one screen.

    Attributes:
        failed: whether anything has gone wrong so far.
    """

    def __init__(
        self, conversation: Conversation, screen: Screen, params: CallParams, target: str
    ) -> None:
        self.failed: bool = False
        self._conversation = conversation
        self._screen = screen
        self._params = params
        self._target = target
        self._unanswered: str | None = None

    def take(self, line: str) -> bool:
        """Answer or obey one line; False when it says to leave.

        Raises:
            KeyboardInterrupt: Ctrl-C while answering; the answer is cancelled and not kept.
        """
        meaning = parse(line)
        if isinstance(meaning, Command):
            return self._obey(meaning)
        if meaning:
            self._ask(meaning)
        return True

    def _obey(self, command: Command) -> bool:
        match command.name:
            case "help":
                self._help()
            case "reset":
                self._reset()
            case "system":
                self._system(command.argument)
            case "retry":
                self._retry()
            case "save":
                self._save(command.argument)
            case "quit" | "exit":
                return False
            case _:
                self._fail(f"unknown command /{command.name}; /help lists them")
        return True

    def _help(self) -> None:
        for usage, meaning in HELP.items():
            self._screen.note(f"  {usage:<14}{meaning}")
        self._screen.note(f"  {KEYS}")

    def _reset(self) -> None:
        self._conversation.reset()
        self._unanswered = None
        self._screen.note("forgotten; this is a new conversation")

    def _system(self, text: str) -> None:
        if text:
            self._conversation.system = None if text == "-" else text
        self._screen.note(f"system prompt: {self._conversation.system or 'none'}")

    def _retry(self) -> None:
        question = self._unanswered or self._conversation.undo()
        if question is None:
            self._fail("there is no question to ask again")
        else:
            self._ask(question)

    def _save(self, name: str) -> None:
        if not name:
            self._fail("/save needs the name of a file")
            return
        path = Path(name).expanduser()
        try:
            save(self._conversation.messages, path)
        except OSError as error:
            self._fail(f"cannot save to {path}: {error.strerror}")
        else:
            self._screen.note(f"saved to {path}")

    def _ask(self, question: str) -> None:
        self._unanswered = question
        stream = self._conversation.stream(question, **self._params).stream
        with stream:
            try:
                self._show(stream)
            except KeyboardInterrupt:
                self._screen.end()
                raise
            except HeadgateError as error:
                self._screen.end()
                self._fail(error_line(error, self._target))
            else:
                self._unanswered = None

    def _show(self, stream: Stream) -> None:
        self._screen.waiting(waiting_line(None))
        for event in stream:
            match event.WhichOneof("event"):
                case "queued":
                    self._screen.waiting(waiting_line(event.queued))
                case "delta":
                    self._delta(event.delta)
                case "finished":
                    self._screen.end()
                    self._screen.note(summary_line(event.finished))

    def _delta(self, delta: pb.ChatDelta) -> None:
        if delta.reasoning_content:
            self._screen.piece(delta.reasoning_content, aside=True)
        if spoken := delta.content or delta.refusal:
            self._screen.piece(spoken)

    def _fail(self, line: str) -> None:
        self.failed = True
        self._screen.error(line)
