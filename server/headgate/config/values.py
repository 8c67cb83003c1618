"""The kinds of value that a setting can have, each with its own words for what is allowed.

Durations are seconds. "No limit" is `inf` everywhere, in whole-number limits too.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

_ORIGIN = re.compile(r"https?://[^/?#@\s]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_DATABASE = re.compile(r"(/\d*)?")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
HIDDEN = "***"


class Clash(ValueError):
    """The setting `key` does not go together with others; the text says what is allowed."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(allowed)
        self.key = key
        self.value = value


class Address(NamedTuple):
    """Where to listen: `host` (no brackets) and `port`, or `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; port 0 is any free port.

    Raises:
        ValueError: it is none of these.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(path=text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host or not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        colon = ""
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("not an address")
    return Address(host, int(port))


def _listen(text: str) -> str:
    try:
        parse_address(text)
    except ValueError:
        raise ValueError(
            "must be HOST:PORT, [IPV6]:PORT or unix:PATH; 0.0.0.0:PORT is every interface"
        ) from None
    return text


def _http_listen(text: str) -> str:
    if not text.startswith("unix:"):
        try:
            parse_address(text)
        except ValueError:
            pass
        else:
            return text
    raise ValueError("must be HOST:PORT or [IPV6]:PORT; 0.0.0.0:PORT is every interface")


def _number(value: object) -> object:
    if isinstance(value, bool) or str(value).strip().lower().lstrip("+-") == "nan":
        raise ValueError("must be a number")
    return value


def _whole(value: object) -> object:
    """Whole numbers as int, `inf` as float; text as the environment has it."""
    number: object = value
    if isinstance(value, str):
        number = _from_text(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError("must be a whole number or inf")  # noqa: TRY004 - as above
    if isinstance(number, int) or number == math.inf:
        return number
    if math.isnan(number) or number != math.floor(number):
        raise ValueError("must be a whole number or inf")
    return int(number)


def _from_text(text: str) -> float | None:
    try:
        return int(text)
    except ValueError:
        return math.inf if text.strip().lower() in {"inf", "+inf", "infinity"} else None


def _auto(value: object) -> object:
    """Text as the environment has it: auto, true or false."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool) and value != "auto":
        raise ValueError("must be auto, true or false")
    return value


def _nothing_if_empty(value: object) -> object:
    """The environment and TOML have no null: an empty text unsets."""
    return None if value == "" else value


def _list(value: object) -> object:
    """A list may be written as JSON or separated by commas, for flags and the environment."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value, "must be a JSON list, or words separated by commas")
    return [word.strip() for word in value.split(",") if word.strip()]


def _table(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _json(value, 'must be a JSON object such as {"name": "value"}') if value else {}


def _json(text: str, allowed: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(allowed) from None


def _url(text: str) -> str:
    allowed = "must be the full URL of the chat endpoint, such as http://127.0.0.1:8000/v1/chat/completions"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(allowed)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password; use upstream.api_key or headers")
    return text


def _proxy(text: str) -> str:
    if text != "environment":
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("must be http://HOST:PORT, https://HOST:PORT or environment")
    return text


def conceal(text: str) -> str:
    """The text with the user and password of every URL in it hidden."""
    return _USER_INFO.sub(HIDDEN + "@", text)


def conceal_query(url: str) -> str:
    """The URL with its query hidden: some upstreams take their key there."""
    before, mark, _ = url.partition("?")
    return before + mark + HIDDEN if mark else url


def check_secret(text: str) -> str:
    """A secret that can stand in an HTTP header.

    Raises:
        ValueError: it cannot; the message does not quote it.
    """
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable ASCII, without spaces around it")
    if text == HIDDEN:
        raise ValueError("must be the secret itself; *** is what `headgate check` prints instead")
    return text


def _secret(value: SecretStr) -> SecretStr:
    check_secret(value.get_secret_value())
    return value


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, secret in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an HTTP header")
        try:
            check_secret(secret.get_secret_value())
        except ValueError as error:
            raise ValueError(f"the value of {name} {error}") from None
    return value


def _origin(text: str) -> str:
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise ValueError("each must be an origin such as https://example.org, or *")
    return text


def _peer(text: str) -> str:
    if text == "unix":
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        allowed = "each must be a network such as 10.0.0.0/8, an IP address, or unix"
        raise ValueError(allowed) from None


def _store(text: str) -> str:
    if text != "memory":
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not _DATABASE.fullmatch(parts.path) or parts.query or parts.fragment:
            raise ValueError("must be memory, redis://[USER@]HOST:PORT/DB or rediss://...")
        if parts.password:
            raise ValueError("must not hold a password; set throttle.store_password")
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host, without a look at any name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keys_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, usable = parts.hostname or "", parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        parts, host, usable = urlsplit(""), "", False
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not usable or not host or not safe:
        allowed = "must be https://..., or http:// on a loopback address"
        raise ValueError(f"{allowed}: whoever can change the keys comes in")
    return text


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Limit = Annotated[int | float, BeforeValidator(_whole)]
AutoOrBool = Annotated[Literal["auto"] | bool, BeforeValidator(_auto)]
# At least 0; `Finite` ones may not be inf.
Seconds = Annotated[Number, Field(ge=0)]
FiniteSeconds = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
# A timer of 0 would end every call before it starts.
Timeout = Annotated[Number, Field(gt=0)]
# What is slower than this is a slip, and the times that follow from it fit into no message.
Rate = Annotated[Number, Field(ge=0.0001)]
Gap = Annotated[Number, Field(ge=0, le=86_400)]
Text = Annotated[str | None, BeforeValidator(_nothing_if_empty)]
Secret = Annotated[
    Annotated[SecretStr, AfterValidator(_secret)] | None, BeforeValidator(_nothing_if_empty)
]
Headers = Annotated[dict[str, SecretStr], BeforeValidator(_table), AfterValidator(_headers)]
Words = Annotated[list[str], BeforeValidator(_list)]
Table = Annotated[dict[str, str], BeforeValidator(_table)]
Propagators = Annotated[list[Literal["tracecontext", "baggage"]], BeforeValidator(_list)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(_list)]
Peers = Annotated[list[Annotated[str, AfterValidator(_peer)]], BeforeValidator(_list)]
Listen = Annotated[str, AfterValidator(_listen)]
HttpListen = Annotated[
    Annotated[str, AfterValidator(_http_listen)] | None, BeforeValidator(_nothing_if_empty)
]
Url = Annotated[Annotated[str, AfterValidator(_url)] | None, BeforeValidator(_nothing_if_empty)]
Proxy = Annotated[Annotated[str, AfterValidator(_proxy)] | None, BeforeValidator(_nothing_if_empty)]
Store = Annotated[str, AfterValidator(_store)]
Methods = Annotated[
    list[Literal["Chat", "StreamChat", "Models", "Reflection"]], BeforeValidator(_list)
]
# Signatures with a public key: with a shared one, who can check can sign.
Algorithms = Annotated[
    list[
        Literal[
            "RS256",
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "ES256",
            "ES384",
            "ES512",
            "EdDSA",
        ]
    ],
    BeforeValidator(_list),
]
KeysUrl = Annotated[
    Annotated[str, AfterValidator(_keys_url)] | None, BeforeValidator(_nothing_if_empty)
]
