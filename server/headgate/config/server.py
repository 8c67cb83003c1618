"""The section `server`: the listeners, what a connection may do, and how it all ends."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from headgate.config.section import MIB, Section
from headgate.config.values import (
    Clash,
    FiniteSeconds,
    HttpListen,
    Limit,
    Seconds,
    Timeout,
    Whole,
    is_loopback,
    parse_address,
)


class ServerSettings(Section):
    max_message_bytes: Limit = Field(
        default=16 * MIB, ge=1, description="The largest request, over gRPC and over HTTP."
    )
    write_stall_timeout: Timeout = Field(
        default=60.0,
        description="Seconds after which a stream whose reader does not read is aborted.",
    )
    default_deadline: Timeout = Field(
        default=math.inf, description="Seconds that a call without a deadline of its own gets."
    )
    max_deadline: Timeout = Field(default=math.inf, description="The longest deadline, in seconds.")
    drain_delay: FiniteSeconds = Field(
        default=0.0, description="Seconds between NOT_SERVING and the end of new calls, at a stop."
    )
    grace: Seconds = Field(
        default=30.0, description="Seconds that running streams get to finish in."
    )
    workers: Whole = Field(
        default=1,
        ge=1,
        description="Processes that share the port and the limits of `throttle`; max_queue,"
        " `callers` and `retry` hold for each of them by itself.",
    )
    reflection: bool = Field(
        default=False, description="Serve gRPC reflection (on with `--sandbox`)."
    )
    health_listen: HttpListen = Field(
        default=None,
        description="A further address, HOST:PORT, for gRPC health checks alone, in plain text:"
        " for probes that have no certificate.",
    )
    channelz_listen: HttpListen = Field(
        default=None,
        description="A loopback address, HOST:PORT, for gRPC's channelz, which tells what each"
        " connection is doing; for one process.",
    )
    handshake_timeout: Timeout = Field(
        default=10.0, description="Seconds in which a new connection must be set up, TLS included."
    )
    max_connection_idle: Timeout = Field(
        default=300.0, description="Seconds after which a connection without calls is closed."
    )
    max_connection_age: Timeout = Field(
        default=math.inf,
        description="Seconds after which gRPC clients are sent to connect anew (give or take a"
        " tenth), so that they find new replicas.",
    )
    max_connection_age_grace: Timeout = Field(
        default=math.inf,
        description="Seconds that calls on such a connection still get; they are cut after it.",
    )
    max_concurrent_streams: Whole = Field(
        default=1024,
        ge=1,
        le=2**31 - 1,
        description="Calls at once on one gRPC connection; more wait in the client.",
    )

    @property
    def grpc_max_message_bytes(self) -> int:
        """`max_message_bytes` as gRPC's channel arguments want it: an int32, or -1 for no limit."""
        return int(self.max_message_bytes) if self.max_message_bytes < 2**31 else -1

    @property
    def http_max_message_bytes(self) -> int:
        """`max_message_bytes` as aiohttp wants it: whole, and a TiB for no limit."""
        return int(min(self.max_message_bytes, 2**40))

    @model_validator(mode="after")
    def _channelz_is_for_us(self) -> Self:
        listen = self.channelz_listen
        if listen is None:
            return self
        if not is_loopback(parse_address(listen).host):
            allowed = "must be a loopback address, such as 127.0.0.1:50053: it tells who calls"
            raise Clash("channelz_listen", listen, allowed)
        if self.workers > 1:
            allowed = "must not be set with server.workers: each has connections of its own"
            raise Clash("channelz_listen", listen, allowed)
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_deadline < self.default_deadline < math.inf:
            allowed = f"must be at most server.max_deadline, {self.max_deadline:g}"
            raise Clash("default_deadline", self.default_deadline, allowed)
        return self
