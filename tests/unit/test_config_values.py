"""Kinds of values: numbers, lists, addresses, URLs, secrets and files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import (
    Address,
    ConfigError,
    load,
    parse_address,
)
from headgate.config.names import variable

if TYPE_CHECKING:
    from pathlib import Path


def faults(
    env: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(flags or {}, env or {}, None)
    return caught.value.lines


@pytest.mark.parametrize("word", ["inf", "Infinity", "+inf", "INF"])
@pytest.mark.parametrize("name", ["throttle.max_queue", "throttle.rate", "server.grace"])
def test_no_limit_is_inf_for_whole_numbers_too(name: str, word: str) -> None:
    """One word for "no limit", in every kind of setting that can be without one."""
    section, key = name.split(".")
    value = getattr(getattr(load({}, {variable(name): word}, None), section), key)
    assert value == math.inf


def test_grpc_is_told_an_int32_or_no_limit() -> None:
    """The channel arguments of gRPC are int32, with -1 for no limit."""
    for given_value, told in [("5", 5), ("inf", -1), (str(2**31 - 1), 2**31 - 1), (str(2**31), -1)]:
        settings = load({}, {"HEADGATE_SERVER__MAX_MESSAGE_BYTES": given_value}, None)
        assert settings.server.grpc_max_message_bytes == told


def test_aiohttp_is_told_a_whole_number() -> None:
    """It knows no inf."""
    for given_value, told in [("5", 5), ("inf", 2**40)]:
        settings = load({}, {"HEADGATE_SERVER__MAX_MESSAGE_BYTES": given_value}, None)
        assert settings.server.http_max_message_bytes == told


@pytest.mark.parametrize("text", ["a,b", " a , b,", '["a", "b"]'])
def test_lists_from_the_environment_are_json_or_commas(text: str) -> None:
    """Both ways of writing a list in one line of text mean the same."""
    settings = load({}, {"HEADGATE_UPSTREAM__EXTRA_ALLOWED": text}, None)
    assert settings.upstream.extra_allowed == ["a", "b"]


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    """As secrets are mounted: one line, with or without an end of line."""
    file = tmp_path / "key"
    file.write_text("sk-in-a-file\n")
    settings = load({"upstream.api_key_file": str(file)}, {}, None)
    assert settings.upstream.read_api_key() == "sk-in-a-file"


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"a\nb", "one line of printable ASCII"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_key_file_without_a_key_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    """The start fails, not the first call; and the key is not quoted."""
    file = tmp_path / "key"
    file.write_bytes(content)
    (line,) = faults(flags={"upstream.api_key_file": str(file)})
    assert line.startswith("upstream.api_key_file: ")
    assert says in line


@pytest.mark.parametrize("name", ["upstream.api_key_file", "system_prompt.file"])
def test_a_file_that_cannot_be_read_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    """Every file that a setting names is read once before anything is served."""
    path = str(tmp_path / "none")
    line = f"{name}: cannot read {path}: No such file or directory"
    assert faults(flags={name: path}) == (line,)


def test_the_system_prompt_may_stand_in_a_file(tmp_path: Path) -> None:
    """The end of the last line is not part of the prompt."""
    file = tmp_path / "prompt.txt"
    file.write_text("Be brief.\nBe kind.\n")
    settings = load({"system_prompt.file": str(file)}, {}, None)
    assert settings.system_prompt.read_text() == "Be brief.\nBe kind."


@pytest.mark.parametrize("key", ["with space ", "two\nlines", "schl\u00fcssel", "***"])
def test_a_secret_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    """A line break in a header would be an injection; messages never quote secrets."""
    for env in (
        {"HEADGATE_UPSTREAM__API_KEY": key},
        {"HEADGATE_UPSTREAM__HEADERS": f'{{"x-key": "{key}"}}'.replace("\n", "\\n")},
    ):
        (line,) = faults(env)
        assert "*** is not allowed" in line
        assert key == "***" or key not in line


def test_a_header_needs_a_name_that_http_allows() -> None:
    """RFC 9110: a token."""
    (line,) = faults({"HEADGATE_UPSTREAM__HEADERS": '{"a b": "c"}'})
    assert "'a b' cannot be the name of an HTTP header" in line


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("unix:/tmp/a b.sock", Address(path="/tmp/a b.sock")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """HOST:PORT, [IPV6]:PORT and unix:PATH."""
    assert parse_address(text) == address
    assert load({"listen": text}, {}, None).listen == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "50051",
        ":50051",
        "::1:80",
        "[::1]",
        "[x]:1",
        "a:65536",
        "a:-1",
        "a:1x",
        "unix:",
        "a b:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address that gRPC would read in its own way is refused before."""
    (line,) = faults(flags={"listen": text})
    assert "must be HOST:PORT, [IPV6]:PORT or unix:PATH" in line


def test_the_http_face_has_no_unix_socket() -> None:
    """Only gRPC is served on a path."""
    (line,) = faults(flags={"http_listen": "unix:/tmp/x"})
    assert "must be HOST:PORT or [IPV6]:PORT" in line


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    """No other exception escapes from reading an address."""
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert address.path or (address.host and 0 <= address.port <= 65535)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8000/v1/chat/completions", True),
        ("https://example.org/api?x=y", True),
        ("example.org/api", False),
        ("ftp://example.org", False),
        ("http://", False),
        ("http://h:0/", False),
        ("http://h:99999/", False),
        ("http://user:password@h/", False),
        ("http://h/ x", False),
    ],
)
def test_the_upstream_is_named_by_its_full_url(url: str, allowed: bool) -> None:
    """Anything that is no URL of an endpoint is refused, and a password in it is not shown."""
    if allowed:
        assert load({"upstream.url": url}, {}, None).upstream.url == url
    else:
        (line,) = faults(flags={"upstream.url": url})
        assert line.startswith("upstream.url: ")
        assert "password@" not in line


@pytest.mark.parametrize(
    ("include", "url", "sends"),
    [
        ("auto", "http://h/v1/chat/completions", True),
        ("auto", "http://h/v1/chat/completions?a=b", True),
        ("auto", "http://h/api", False),
        ("true", "http://h/api", True),
        ("false", "http://h/v1/chat/completions", False),
    ],
)
def test_usage_is_asked_for_where_openai_s_path_is_served(
    include: str, url: str, sends: bool
) -> None:
    """`auto` looks at the path alone."""
    settings = load({"upstream.url": url, "upstream.include_usage": include}, {}, None)
    assert settings.upstream.sends_include_usage is sends


def test_trusted_peers_are_networks_and_the_unix_socket() -> None:
    """An address alone is the network that holds it alone; `unix` needs no network."""
    peers = load({"callers.trusted_peers": "10.0.0.0/8,::1,unix"}, {}, None).callers.trusted_peers
    assert peers == ["10.0.0.0/8", "::1/128", "unix"]
    assert "each must be a network" in faults(flags={"callers.trusted_peers": "10.0.0.1/8"})[0]
