"""headgate-chat, over the fake channel: what is typed, what is shown."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from google.rpc.error_details_pb2 import BadRequest
from rich.console import Console

from headgate_client import Client, Conversation
from headgate_client.terminal import main
from headgate_client.terminal.chat import Chat
from headgate_client.terminal.commands import HELP, Command, parse
from headgate_client.terminal.keyboard import history_path, piped_lines
from headgate_client.terminal.options import Options, parse_options
from headgate_client.terminal.screen import PipeScreen, TerminalScreen
from headgate_client.v1 import chat_pb2 as pb
from support.certificates import Authority
from support.chat_client import FakeWire, answer, delta, failure, finished, queued, started

if TYPE_CHECKING:
    from collections.abc import Iterable


class Recorder:
    """A Screen that writes down what it is told; `spoken` is set with the first piece.

    While `interrupted`, every piece meets a Ctrl-C.
    """

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.spoken = threading.Event()
        self.interrupted = False

    def waiting(self, line: str) -> None:
        self.log.append(("waiting", line))

    def piece(self, text: str, *, aside: bool = False) -> None:
        self.log.append(("aside" if aside else "piece", text))
        self.spoken.set()
        if self.interrupted:
            raise KeyboardInterrupt

    def end(self) -> None:
        self.log.append(("end", ""))

    def note(self, line: str) -> None:
        self.log.append(("note", line))

    def error(self, line: str) -> None:
        self.log.append(("error", line))

    def said(self, kind: str) -> list[str]:
        return [line for each, line in self.log if each == kind]


class Sitting:
    """A chat whose far end the test plays."""

    def __init__(self) -> None:
        self.wire = FakeWire()
        self.screen = Recorder()
        self.conversation = Conversation(Client(channel=self.wire.channel))
        self.chat = Chat(self.conversation, self.screen, {"model": "m"}, "there:1")

    def ask(self, question: str, *events: pb.StreamChatResponse) -> None:
        """Ask a question whose answer are these events."""
        with self.wire.calling(lambda: self.chat.take(question)) as call:
            self.wire.finish(*events)
        assert call.result() is True

    def fail(self, question: str, code: grpc.StatusCode, details: str, *trailer: str) -> None:
        """Ask a question that fails."""
        with self.wire.calling(lambda: self.chat.take(question)) as call:
            trailers = (trailer,) if trailer else ()
            self.wire.play().terminate(trailers, code, details)
        assert call.result() is True

    def said(self) -> list[str]:
        return [message.content for message in self.conversation.messages]


@pytest.fixture
def sitting() -> Sitting:
    return Sitting()


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("  hello \n", "hello"),
        ("", ""),
        ("/reset", Command("reset", "")),
        ("/System  Be brief. ", Command("system", "Be brief.")),
        ("//etc/passwd", "/etc/passwd"),
        ("/", Command("", "")),
    ],
)
def test_what_a_line_means(line: str, meaning: Command | str) -> None:
    """A slash makes a command, two send a line that begins with one."""
    assert parse(line) == meaning


def test_an_answer_is_shown_as_it_comes(sitting: Sitting) -> None:
    """Waiting, place in line, reasoning, text, end, and a line about it, in this order."""
    usage = pb.Usage(prompt_tokens=3, completion_tokens=2)
    gateway = pb.GatewayInfo(attempts=2)
    gateway.queue_wait.FromMilliseconds(1500)
    sitting.ask(
        "hi",
        queued(2),
        started(),
        delta(reasoning_content="hm"),
        delta("Hel"),
        delta("lo"),
        pb.StreamChatResponse(finished=pb.StreamFinished(usage=usage, gateway=gateway)),
    )
    assert sitting.screen.log == [
        ("waiting", "waiting for the first word"),
        ("waiting", "waiting in line, place 2"),
        ("aside", "hm"),
        ("piece", "Hel"),
        ("piece", "lo"),
        ("end", ""),
        ("note", "tokens: 3 in, 2 out · 2 attempts · waited 1.5 s"),
    ]
    assert sitting.said() == ["hi", "Hello"]
    assert sitting.chat.failed is False


def test_an_error_is_one_line_and_says_when_to_try_again(sitting: Sitting) -> None:
    """The status's details and the delay, rounded up; the question is taken back."""
    sitting.fail(
        "hi",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "queue\nis full",
        "headgate-retry-after-ms",
        "2100",
    )
    assert sitting.screen.said("error") == ["queue is full; try again in 3 s"]
    assert sitting.said() == []
    assert sitting.chat.failed is True


def test_a_gateway_that_is_not_there_is_named(sitting: Sitting) -> None:
    """An UNAVAILABLE of gRPC itself tells which address did not answer."""
    sitting.fail("hi", grpc.StatusCode.UNAVAILABLE, "connection refused")
    assert sitting.screen.said("error") == ["no headgate answers at there:1: connection refused"]


def test_every_wrong_field_is_named(sitting: Sitting) -> None:
    """Several violations stand in one line."""
    wrong = [
        BadRequest.FieldViolation(field="top_p", description="2"),
        BadRequest.FieldViolation(field="n", description="0"),
    ]
    failed = failure(grpc.StatusCode.INVALID_ARGUMENT, "bad", BadRequest(field_violations=wrong))
    with sitting.wire.calling(lambda: sitting.chat.take("hi")):
        sitting.wire.play().terminate(failed.trailers, failed.code, failed.details)
    assert sitting.screen.said("error") == ["top_p: 2; n: 0"]


def test_a_cut_answer_is_shown_and_not_kept(sitting: Sitting) -> None:
    """What came stays on the screen; the history is as before the question."""
    with sitting.wire.calling(lambda: sitting.chat.take("hi")):
        rpc = sitting.wire.play(started(), delta("He"))
        assert sitting.screen.spoken.wait(10)
        rpc.terminate((), grpc.StatusCode.ABORTED, "reset")
    assert sitting.screen.log[1:] == [
        ("piece", "He"),
        ("end", ""),
        ("error", "the answer was cut off: reset"),
    ]
    assert sitting.said() == []


def test_ctrl_c_cancels_the_answer_and_not_the_program(sitting: Sitting) -> None:
    """The call is cancelled, the history is as before, and the next question works."""
    sitting.screen.interrupted = True
    with sitting.wire.calling(lambda: sitting.chat.take("hi")) as call:
        sitting.wire.play(started(), delta("He")).cancelled()
    with pytest.raises(KeyboardInterrupt):
        call.result()
    assert sitting.said() == []
    sitting.screen.interrupted = False
    sitting.ask("again", *answer("ok"))
    assert sitting.said() == ["again", "ok"]


def test_a_long_answer_says_why_it_stopped(sitting: Sitting) -> None:
    """The token limit and a content filter are worth a word."""
    for reason, word in [
        (pb.FINISH_REASON_LENGTH, "stopped at the token limit"),
        (pb.FINISH_REASON_CONTENT_FILTER, "stopped by a content filter"),
    ]:
        sitting.ask("hi", started(), finished(choices=[pb.ChoiceFinish(finish_reason=reason)]))
        assert sitting.screen.said("note")[-1] == word


def test_reset_and_system(sitting: Sitting) -> None:
    """/reset forgets, /system sets, shows and takes away; an empty line asks nothing."""
    sitting.ask("hi", *answer("a"))
    for line in ("/system Rhyme.", "/reset", "/system", "", "   "):
        assert sitting.chat.take(line) is True
    assert sitting.said() == ["Rhyme."]
    sitting.chat.take("/system -")
    assert sitting.said() == []
    assert sitting.screen.said("note")[-4:] == [
        "system prompt: Rhyme.",
        "forgotten; this is a new conversation",
        "system prompt: Rhyme.",
        "system prompt: none",
    ]


def test_retry_asks_the_failed_question_again(sitting: Sitting) -> None:
    """/retry after a failure sends the same question."""
    sitting.fail("hi", grpc.StatusCode.UNAVAILABLE, "gone")
    sitting.ask("/retry", *answer("now"))
    assert sitting.said() == ["hi", "now"]


def test_retry_replaces_the_last_answer(sitting: Sitting) -> None:
    """/retry after an answer takes it back first; with nothing said it says so."""
    sitting.chat.take("/retry")
    assert sitting.screen.said("error") == ["there is no question to ask again"]
    sitting.ask("hi", *answer("one"))
    sitting.ask("/retry", *answer("two"))
    assert sitting.said() == ["hi", "two"]


def test_save_writes_markdown_or_json(sitting: Sitting, tmp_path: Path) -> None:
    """The name decides; the JSON can be sent again as a request's messages."""
    sitting.conversation.system = "Rhyme."
    sitting.ask("hí", *answer("lo"))
    sitting.chat.take(f"/save {tmp_path}/a b.md")
    sitting.chat.take(f"/save {tmp_path}/talk.json")
    text = (tmp_path / "a b.md").read_text("utf-8")
    assert text == "## system\n\nRhyme.\n\n## user\n\nhí\n\n## assistant\n\nlo\n"
    assert json.loads((tmp_path / "talk.json").read_text("utf-8")) == [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "hí"},
        {"role": "assistant", "content": "lo"},
    ]


def test_save_overwrites_nothing(sitting: Sitting, tmp_path: Path) -> None:
    """A file that exists, a folder that does not, and no name are each one line."""
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for line in ("/save", f"/save {taken}", f"/save {tmp_path}/no/where"):
        assert sitting.chat.take(line) is True
    assert taken.read_text() == "mine"
    assert sitting.screen.said("error") == [
        "/save needs the name of a file",
        f"cannot save to {taken}: File exists",
        f"cannot save to {tmp_path}/no/where: No such file or directory",
    ]


def test_help_names_every_command(sitting: Sitting) -> None:
    """Each command of the list is obeyed, and an unknown one is named."""
    sitting.chat.take("/help")
    shown = "\n".join(sitting.screen.said("note"))
    for usage in HELP:
        assert usage in shown
    assert sitting.chat.take("/quit") is False
    sitting.chat.take("/dance")
    assert sitting.screen.said("error") == ["unknown command /dance; /help lists them"]


def terminal(**options: Any) -> tuple[TerminalScreen, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, highlight=False, **options)
    return TerminalScreen(console), out


def show(screen: TerminalScreen | PipeScreen, pieces: Iterable[str]) -> None:
    for piece in pieces:
        screen.piece(piece)
    screen.end()


def test_the_terminal_shows_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """No markup, no emoji codes, no wrapping of ours: what the model says is what is shown."""
    monkeypatch.setenv("NO_COLOR", "1")
    screen, out = terminal()
    show(screen, ["[bold]:smile: ", "x" * 100])
    assert out.getvalue() == "[bold]:smile: " + "x" * 100 + "\n"


def test_no_answer_can_command_the_terminal() -> None:
    """Control characters are shown as replacement characters; newline and tab stay."""
    screen, out = terminal(no_color=True)
    show(screen, ["a\x1b]0;title\x07\x9b2J\tb\r\nc"])
    assert out.getvalue() == "a\ufffd]0;title\ufffd\ufffd2J\tb\nc\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR an error has no colour; without, it is red."""
    for no_color, red in (("1", False), ("", True)):
        monkeypatch.setenv("NO_COLOR", no_color)
        screen, out = terminal()
        screen.error("no")
        assert ("\x1b[31m" in out.getvalue()) is red


def test_a_pipe_gets_the_answer_and_nothing_else() -> None:
    """Text on stdout, errors on stderr; waiting, reasoning and notes are not said."""
    out, err = io.StringIO(), io.StringIO()
    screen = PipeScreen(out, err)
    screen.waiting("in line")
    screen.piece("hm", aside=True)
    show(screen, ["a\x1b[0m", "b"])
    screen.note("3 tokens")
    screen.error("gone")
    assert out.getvalue() == "a\x1b[0mb\n"
    assert err.getvalue() == "headgate-chat: gone\n"


def test_lines_of_a_pipe_can_always_be_sent() -> None:
    """Bytes that are no UTF-8 become question marks instead of an error in the middle."""
    assert list(piped_lines(io.StringIO("a\nb\udcff"))) == ["a\n", "b?"]


def test_the_history_is_in_the_state_directory() -> None:
    """XDG_STATE_HOME when it is set, else ~/.local/state."""
    home = Path("/home/me")
    expected = "/home/me/.local/state/headgate/chat_history"
    assert history_path({}, home) == Path(expected)
    assert history_path({"XDG_STATE_HOME": "/s"}, home) == Path("/s/headgate/chat_history")


def test_the_command_line() -> None:
    """Every option has its place and its default."""
    assert parse_options([]) == Options()
    every = ["--target", "t:1", "--system", "s", "--model", "m", "--temperature", "0.5"]
    every += ["--tls", "--ca-file", "/ca", "--token-file", "/token"]
    every += ["--cert-file", "/cert", "--key-file", "/key"]
    assert parse_options(every) == Options(
        target="t:1",
        system="s",
        model="m",
        temperature=0.5,
        tls=True,
        ca_file=Path("/ca"),
        cert_file=Path("/cert"),
        key_file=Path("/key"),
        token_file=Path("/token"),
    )


def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """headgate-chat of a bare installation exits 2 with the command to run."""
    monkeypatch.setattr("headgate_client.terminal.find_spec", lambda _: None)
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "headgate-chat needs prompt_toolkit and rich: pip install 'headgate-client[terminal]'\n"
    )


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that cannot be read exit 2 and are named."""
    gone = tmp_path / "gone"
    for options in (["--token-file"], ["--ca-file"], ["--cert-file", str(gone), "--key-file"]):
        assert main([*options, str(gone)]) == 2
        expected = f"headgate-chat: cannot read {gone}: No such file or directory\n"
        assert capsys.readouterr().err == expected


def test_an_empty_target_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """It exits 2 before anything is asked, and gRPC says nothing."""
    assert main(["--target", ""]) == 2
    error = capfd.readouterr().err
    assert error.startswith("headgate-chat: target is empty; allowed is")
    assert error.count("\n") == 1


@pytest.mark.parametrize("garbage", ["", "hello\n"])
def test_a_file_without_pem_is_one_line(
    garbage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It exits 2 and is named; an empty authority would be all that gRPC knows."""
    (file := tmp_path / "file").write_text(garbage)
    (certificate := tmp_path / "certificate").write_bytes(Authority().pem)
    wrong = [
        (["--ca-file", file], "certificate"),
        (["--cert-file", file, "--key-file", file], "certificate"),
        (["--cert-file", certificate, "--key-file", file], "private key"),
    ]
    for options, kind in wrong:
        assert main([str(option) for option in options]) == 2
        assert capfd.readouterr().err == f"headgate-chat: {file} holds no PEM {kind}\n"


def test_a_key_that_does_not_fit_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another certificate's, and one that is encrypted: nobody is asked for a password."""
    own, other = Authority().sign("own"), Authority().sign("other")
    (certificate := tmp_path / "certificate").write_bytes(own.certificate)
    encrypted = load_pem_private_key(own.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"river")
    )
    for wrong in (other.key, encrypted):
        (key := tmp_path / "key").write_bytes(wrong)
        assert main(["--cert-file", str(certificate), "--key-file", str(key)]) == 2
        assert capfd.readouterr().err == (
            f"headgate-chat: {key} is not the key of {certificate}, or needs a password\n"
        )


def test_a_token_file_that_is_no_token_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that no header can carry exit 2, and are not shown."""
    file = tmp_path / "token"
    file.write_bytes(b"secret\xff")
    assert main(["--token-file", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("headgate-chat: the token is empty or not printable ASCII")
    assert "secret" not in error
