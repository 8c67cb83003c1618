"""The channel's settings: one named set, the same for every language's client.

The two JSON files beside this module are copies of `protos/channel_defaults.json` and
`protos/service_config.json` in the project's repository.
"""

from __future__ import annotations

from importlib import resources
from json import loads
from typing import Final

from headgate_client.version import __version__

DEFAULT_TARGET: Final = "127.0.0.1:50051"
USER_AGENT: Final = f"headgate-client-python/{__version__}"

Options = list[tuple[str, str | int]]


def channel_options(server_name: str | None = None) -> Options:
    """The options every channel of this package is opened with (gRPC's own names; ms and bytes).

    `server_name` is the name to expect in the server's certificate; None: the target's.
    The service config retries UNAVAILABLE only, and gRPC itself does it: the server's pushback
    (gRFC A6) is honoured, and nothing is retried once a message has arrived.
    """
    return [
        *_defaults().items(),
        ("grpc.primary_user_agent", USER_AGENT),
        ("grpc.service_config", _text("service_config.json")),
        *([] if server_name is None else [("grpc.ssl_target_name_override", server_name)]),
    ]


def _defaults() -> dict[str, int]:
    defaults: dict[str, int] = loads(_text("channel_defaults.json"))
    return defaults


def _text(name: str) -> str:
    return resources.files("headgate_client").joinpath(name).read_text("utf-8")
