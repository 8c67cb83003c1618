"""Puts headgate-chat together and runs it."""

from __future__ import annotations

import os
import ssl
import sys
from typing import TYPE_CHECKING

import grpc

from headgate_client.client import Client
from headgate_client.conversation import Conversation
from headgate_client.credentials import CERTIFICATE, KEY, read_pem
from headgate_client.terminal.chat import Chat
from headgate_client.terminal.keyboard import piped_lines, typed_lines
from headgate_client.terminal.options import Options, parse_options
from headgate_client.terminal.screen import PipeScreen, TerminalScreen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate_client.request import CallParams
    from headgate_client.terminal.screen import Screen


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 when something in a pipe went wrong; 2 for an option that is wrong."""
    options = parse_options(arguments)
    try:
        client = _client(options)
    except OSError as error:
        return _refuse(f"cannot read {error.filename}: {error.strerror}")
    except ValueError as error:
        return _refuse(str(error))
    with client:
        return _talk(client, options)


def _refuse(line: str) -> int:
    sys.stderr.write(f"headgate-chat: {line}\n")
    return 2


def _talk(client: Client, options: Options) -> int:
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    for stream in (sys.stdin, sys.stdout):
        _tolerant(stream)
    screen: Screen = TerminalScreen() if at_terminal else PipeScreen()
    conversation = Conversation(client, options.system)
    chat = Chat(conversation, screen, _params(options, at_terminal=at_terminal), options.target)
    if at_terminal:
        screen.note(f"headgate at {options.target}. /help lists the commands, Ctrl-D leaves.")
        _typed(chat, screen)
        return 0
    return _piped(chat)


def _typed(chat: Chat, screen: Screen) -> None:
    for line in typed_lines():
        try:
            if not chat.take(line):
                return
        except KeyboardInterrupt:
            screen.note("stopped; /retry asks again")


def _piped(chat: Chat) -> int:
    try:
        for line in piped_lines(sys.stdin):
            if not chat.take(line):
                break
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough, and stdout must not complain at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if chat.failed else 0


def _params(options: Options, *, at_terminal: bool) -> CallParams:
    # Queue updates commit a call, so a pipe, which shows none, keeps its retries instead.
    return {
        "model": options.model,
        "temperature": options.temperature,
        "queue_updates": at_terminal or None,
    }


def _client(options: Options) -> Client:
    files = (options.ca_file, options.cert_file, options.key_file)
    usual = options.tls and files == (None, None, None)
    token = (
        options.token_file.read_bytes().decode("ascii", "replace") if options.token_file else None
    )
    client = Client(
        options.target,
        ca=_pem(options.ca_file, CERTIFICATE),
        cert=_pem(options.cert_file, CERTIFICATE),
        key=_pem(options.key_file, KEY),
        credentials=grpc.ssl_channel_credentials() if usual else None,
        token=None if token is None else token.strip(),
    )
    if options.cert_file and options.key_file:
        _check_pair(options.cert_file, options.key_file)
    return client


def _pem(file: Path | None, kind: str) -> bytes | None:
    return None if file is None else read_pem(file, kind, str(file))


def _check_pair(cert: Path, key: Path) -> None:
    """Of a key that does not fit gRPC tells only its log."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except ssl.SSLError:
        raise ValueError(f"{key} is not the key of {cert}, or needs a password") from None


def _tolerant(stream: object) -> None:
    """Show and read what the locale cannot say as question marks, instead of failing."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")
