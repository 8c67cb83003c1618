"""What a worker is started with: the settings as they were, and its part of what is divided."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import ConfigError, Settings, StartError, load
from headgate.workers import messages
from headgate.workers.link import Link
from headgate.workers.outfit import keeps_schedule, outfit, plain_settings, settings_of
from headgate.workers.port import Port
from headgate.workers.worker import Worker

if TYPE_CHECKING:
    from headgate.gateway import Gateway

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1)
LIMIT = st.integers(8, 2**40) | st.just(math.inf)
SECONDS = st.floats(0.001, 1e6) | st.just(math.inf)


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Settings with all kinds of value, as far as they go together."""
    names = st.text("abcdefgh-", min_size=1).map("x-{}".format)
    values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
    sections: dict[str, Any] = {
        "profile": draw(st.sampled_from(["published", "openai", "unlimited"])),
        "listen": draw(st.sampled_from(["127.0.0.1:5", "[::1]:6", "localhost:7"])),
        "http_listen": draw(st.sampled_from([None, "0.0.0.0:8"])),
        "http": {"cors_origins": draw(st.sampled_from([[], ["https://a.example"]]))},
        "upstream": {
            "url": "https://h/v1/chat/completions",
            "api_key": draw(st.none() | values.filter("***".__ne__)),
            "headers": draw(st.dictionaries(names, values.filter("***".__ne__), max_size=3)),
            "include_usage": draw(st.sampled_from(["auto", True, False])),
            "max_event_bytes": draw(LIMIT),
            "total_timeout": draw(SECONDS),
        },
        "throttle": {
            "rate": draw(st.floats(0.01, 1e6)),
            "burst": draw(st.integers(1, 9)),
            "max_in_flight": draw(LIMIT),
            "replicas": draw(st.integers(1, 9)),
        },
        "callers": {
            "max_queue": draw(LIMIT),
            "trusted_peers": draw(st.sampled_from([[], ["10.0.0.0/8", "::1/128"]])),
            **draw(
                st.dictionaries(
                    st.text("abc/:. ", min_size=1).map("n{}".format),
                    st.fixed_dictionaries({"weight": st.floats(0.1, 9), "max_in_flight": LIMIT}),
                    max_size=2,
                )
            ),
        },
        "system_prompt": {"text": draw(st.none() | TEXT)},
        "server": {"grace": draw(SECONDS), "workers": draw(st.integers(1, 8))},
    }
    made = Settings.model_validate(sections)
    made.origins.update(draw(st.dictionaries(TEXT, TEXT, max_size=2)))
    return made


def travelled(sent: messages.Outfit) -> Settings:
    """The settings as a worker has them, after the socket."""
    received = messages.to_worker.decode(messages.line(sent))
    assert isinstance(received, messages.Outfit)
    return settings_of(received)


@given(settings())
def test_settings_travel_as_they_are(sent: Settings) -> None:
    """Secrets, no limits, callers with limits of their own, sources: all of it."""
    got = travelled(messages.Outfit(plain_settings(sent), sent.origins, ledger=True))
    assert got == sent
    assert got.upstream.read_api_key() == sent.upstream.read_api_key()
    assert got.upstream.header_values() == sent.upstream.header_values()


@given(settings(), st.booleans())
def test_limits_of_the_server_are_divided(sent: Settings, again: bool) -> None:
    """The parts make the whole, none is empty, and all else is as for everybody."""
    workers = sent.server.workers
    got = [travelled(outfit(sent, worker, again=again)) for worker in range(workers)]
    parts = [own.throttle.max_in_flight for own in got]
    assert sum(parts) == sent.throttle.max_in_flight
    assert min(parts) >= 1
    if sent.throttle.max_in_flight != math.inf:
        assert max(parts) - min(parts) <= 1
    for own in got:
        assert own.throttle.replicas == sent.throttle.replicas * workers
        assert own.throttle.store_required is not again
        assert own.server == sent.server.model_copy(update={"workers": 1})
        assert own.callers == sent.callers
        assert own.upstream == sent.upstream


@pytest.mark.parametrize(
    ("throttle", "kept"),
    [
        ({}, True),
        ({"rate": math.inf}, True),
        ({"min_interval": 0}, True),
        ({"rate": math.inf, "min_interval": 0}, False),
        ({"store": "redis://127.0.0.1:6379/0"}, False),
    ],
)
def test_who_keeps_the_schedule(throttle: dict[str, Any], *, kept: bool) -> None:
    """The supervisor, unless Redis does or there is none."""
    made = Settings.model_validate({"throttle": throttle})
    assert keeps_schedule(made.throttle) is kept
    assert outfit(made, 0, again=False).ledger is kept


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("listen", "unix:/run/x", "HOST:PORT with {}: a Unix socket has one listener"),
        ("throttle.max_in_flight", "3", "4 or more with {}: each worker has a part of it"),
        ("throttle.max_queue", "0", "1 or more with {}: calls wait while a slot is fetched"),
    ],
)
def test_what_does_not_go_with_several_workers(setting: str, value: str, allowed: str) -> None:
    """One line that names both settings; with one worker all of it is fine."""
    with pytest.raises(ConfigError) as refused:
        load({setting: value, "server.workers": "4"}, {}, None)
    start = f"{setting}: {value} is not allowed (from --{setting}); must be "
    assert refused.value.lines == (start + allowed.format("server.workers 4"),)
    load({setting: value}, {}, None)


def test_a_queue_is_needed_for_a_pace_only() -> None:
    """Without one nothing is fetched."""
    flags = {"profile": "unlimited", "throttle.max_queue": "0", "server.workers": "2"}
    assert load(flags, {}, None).server.workers == 2


def test_port_zero_is_chosen_once() -> None:
    """And whoever shares the port can have it; the holder listens to nobody."""
    with Port("127.0.0.1:0") as port:
        host, _, number = port.address.rpartition(":")
        assert int(number) > 0
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect((host, int(number)))
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, int(number)))
            listener.listen()
            with socket.create_connection((host, int(number))):
                listener.accept()[0].close()


@pytest.mark.parametrize("shares", [False, True])
def test_a_stranger_on_the_port_is_noticed(*, shares: bool) -> None:
    """Though it shares the port with everybody: half of the connections would go there."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        with pytest.raises(StartError, match=f"cannot listen on {address}: address already in use"):
            Port(address)


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no.such.host.invalid:0"])
def test_an_address_of_nobody(listen: str) -> None:
    """One line, as from a single process."""
    with pytest.raises(StartError, match=f"cannot listen on {listen}: "):
        Port(listen)


async def test_a_link_carries_lines_however_they_are_cut() -> None:
    """Messages come whole and in order; the end comes after the last of them."""
    near, far = socket.socketpair()
    heard: list[object] = []
    lost = asyncio.Event()

    def lose() -> None:
        heard.append("lost")
        lost.set()

    link = Link(messages.to_supervisor, heard.append, lose)
    await link.connect(near)
    said: list[messages.ToSupervisor] = [
        messages.Ready(),
        messages.Failed(["a\nb", "ü"]),
        messages.Reserve(1, 2, 3),
    ]
    with far:
        first, *rest = said
        far.send(b"".join(messages.line(message) for message in rest))
        for byte in messages.line(first):
            link.data_received(bytes([byte]))
        link.send(messages.Beat())
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(far, 100) == messages.line(messages.Beat())
    await lost.wait()
    assert heard == [*said, "lost"]
    link.send(messages.Beat())
    await link.aclose()


def test_the_supervisor_has_no_grpc() -> None:
    """It spawns processes for as long as it lives, and gRPC's threads do not like that."""
    code = (
        "import sys, headgate.cli, headgate.workers.supervisor\n"
        "found = {'grpc', 'aiohttp', 'uvloop'} & set(sys.modules)\n"
        "sys.exit(' '.join(found) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_worker_says_that_it_has_renewed_whatever_its_files_are() -> None:
    """Its supervisor waits for all of them, and would obey no reload any more."""

    class Faulty:
        async def refresh(self) -> None:
            raise FileNotFoundError("tls.crt")

    worker = Worker()
    told: list[object] = []
    worker._link.send = told.append  # type: ignore[method-assign,assignment]
    with structlog.testing.capture_logs() as logs:
        await worker._finish_renewal(cast("Gateway", Faulty()), 7)
    assert told == [messages.Renewed(7)]
    assert [line["log_level"] for line in logs] == ["error"]
