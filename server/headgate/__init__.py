"""headgate: the gRPC front door of a chat-completion HTTP API."""

from importlib.metadata import version

__version__ = version("headgate")
