"""headgate: the gRPC front door of a chat-completion HTTP API."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`__version__`, when somebody asks: to find it takes long."""
    if name != "__version__":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib.metadata import version  # noqa: PLC0415 - as above

    return version("headgate")
