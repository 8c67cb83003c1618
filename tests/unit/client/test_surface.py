"""What the package offers, and what it needs."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import headgate_client


def test_the_public_names_are_these() -> None:
    """A name enters or leaves the public surface only together with this list."""
    assert headgate_client.__all__ == [
        "AsyncClient",
        "AsyncConversation",
        "AsyncStream",
        "AsyncTextIterator",
        "Cancelled",
        "ChatMessage",
        "ChatRequest",
        "ChatResponse",
        "Client",
        "Conversation",
        "DeadlineExceeded",
        "FieldViolation",
        "HeadgateError",
        "InternalFailure",
        "Interrupted",
        "InvalidRequest",
        "PermissionDenied",
        "RateLimited",
        "Stream",
        "StreamChatResponse",
        "TextIterator",
        "Unauthenticated",
        "Unavailable",
        "UpstreamRefused",
        "__version__",
        "text",
    ]
    assert all(hasattr(headgate_client, name) for name in headgate_client.__all__)


def test_the_package_says_that_it_is_typed() -> None:
    """Type checkers read the package's own annotations (PEP 561)."""
    assert files(headgate_client).joinpath("py.typed").is_file()


def test_importing_needs_nothing_of_the_terminal() -> None:
    """The library works without the extra: it imports neither rich nor prompt_toolkit."""
    program = (
        "import sys, headgate_client, headgate_client.terminal; "
        "print(sorted({'rich', 'prompt_toolkit', 'headgate'} & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
