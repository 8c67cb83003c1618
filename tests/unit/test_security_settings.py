"""What of `tls` and `auth` does not go together, and files that `check` refuses as `serve` does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from headgate.cli import main
from headgate.config import ConfigError, load, plain_text_warnings
from headgate.security.tokens import read_tokens
from support.certificates import DAY, Authority, Files
from support.issuer import Issuer

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
KEYS = {"auth.jwks_file": "jwks.json"}
RULES = {"auth.jwt_issuer": "https://i", "auth.jwt_audience": "a"}
PAIR = {"tls.cert_file": "c", "tls.key_file": "k"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADGATE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"tls.cert_file": "c"}, "tls.key_file: none is not allowed (from a default); must be set"),
        ({"tls.key_file": "k"}, "tls.cert_file: none is not allowed (from a default); must be set"),
        ({"tls.client_ca_file": "ca"}, "tls.client_ca_file: ca is not allowed (from --tls.client"),
        (
            PAIR | {"listen": "unix:/tmp/x"},
            "tls.cert_file: c is not allowed (from --tls.cert_file)",
        ),
        ({"auth.required": "true"}, "auth.required: true is not allowed (from --auth.required)"),
        (KEYS, "auth.jwt_issuer: none is not allowed (from a default); must be set with"),
        (
            KEYS | RULES | {"auth.jwks_url": "https://i/k"},
            "auth.jwks_file: jwks.json is not allowed",
        ),
        (RULES, "auth.jwt_issuer: https://i is not allowed (from --auth.jwt_issuer); must be set"),
        ({"auth.jwks_ca_file": "ca"}, "auth.jwks_ca_file: ca is not allowed"),
        ({"auth.jwks_url": "http://issuer.example/k"} | RULES, "auth.jwks_url: http://issuer"),
        ({"auth.jwks_url": "https://u:p@issuer/k"} | RULES, "auth.jwks_url: https://***@issuer/k"),
        ({"auth.jwt_algorithms": "none"}, "auth.jwt_algorithms: none is not allowed"),
        ({"auth.jwt_algorithms": "HS256"}, "auth.jwt_algorithms: HS256 is not allowed"),
        ({"auth.jwt_algorithms": ""}, "auth.jwt_algorithms: [] is not allowed"),
        ({"auth.jwt_claim": ""}, "auth.jwt_claim: '' is not allowed"),
        ({"callers.methods": "Chat,Everything"}, "callers.methods: Everything is not allowed"),
        ({"callers.trusted_names": "x"}, "callers.trusted_names: ['x'] is not allowed"),
        ({"server.health_listen": "127.0.0.1:50051"}, "server.health_listen: 127.0.0.1:50051 is"),
        ({"server.channelz_listen": "0.0.0.0:9"}, "server.channelz_listen: 0.0.0.0:9 is not"),
        (
            {"server.channelz_listen": "127.0.0.1:9", "server.workers": "2"},
            "server.channelz_listen: 127.0.0.1:9 is not",
        ),
        (
            {"server.channelz_listen": "127.0.0.1:9", "metrics.listen": "127.0.0.1:9"},
            "server.channelz_listen: 127.0.0.1:9 is not allowed",
        ),
        ({"server.max_concurrent_streams": "0"}, "server.max_concurrent_streams: 0 is not allowed"),
    ],
)
def test_what_does_not_go_together(flags: dict[str, str], line: str) -> None:
    """One line that names the setting, its value and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        load(flags, {}, None)
    assert [text[: len(line)] for text in refused.value.lines] == [line]


@pytest.mark.parametrize(
    "flags",
    [
        PAIR | {"tls.client_ca_file": "ca", "auth.required": "true"},
        PAIR | {"listen": "unix:/tmp/x", "http_listen": "0.0.0.0:1"},
        KEYS | RULES | {"auth.jwt_algorithms": "ES256,EdDSA", "auth.required": "true"},
        {"auth.jwks_url": "http://127.0.0.1:1/k"} | RULES,
        {"callers.trusted_peers": "10.0.0.0/8", "auth.required": "true"},
        {"callers.trusted_peers": "10.0.0.0/8", "callers.trusted_names": "spiffe://a/b"},
        {"callers.methods": ""},
    ],
)
def test_what_does(flags: dict[str, str]) -> None:
    """Each of these is a server that somebody may want."""
    load(flags, {}, None)


@pytest.mark.parametrize(
    ("flags", "addresses"),
    [
        ({}, []),
        ({"listen": "[::1]:1", "http_listen": "localhost:2"}, []),
        ({"listen": "unix:/tmp/x"}, []),
        ({"listen": "0.0.0.0:1", "http_listen": "[::]:2"}, ["0.0.0.0:1", "[::]:2"]),
        ({"listen": "10.0.0.1:1"}, ["10.0.0.1:1"]),
        ({"listen": "gate.example:1"}, ["gate.example:1"]),
        (PAIR | {"listen": "0.0.0.0:1"}, []),
    ],
)
def test_plain_text_that_others_can_read_is_said_loudly(
    flags: dict[str, str], addresses: list[str]
) -> None:
    """In one line for each address that is not of this machine alone."""
    lines = plain_text_warnings(load(flags, {}, None))
    assert [line.partition(" is plain text")[0] for line in lines] == [
        f"WARNING: {address}" for address in addresses
    ]


def test_the_warning_is_printed_and_nothing_is_refused(capsys: Capture) -> None:
    """`check` says it too."""
    assert main(["check", "--sandbox", "--listen", "0.0.0.0:1"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("headgate: WARNING: 0.0.0.0:1 is plain text, and not of this machine")
    assert err.count("\n") == 1


class Setup:
    """A server's files, all good; `flags` names them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self.tls = Files(folder, self.authority.server(), self.authority.pem)
        self.tokens, self.jwks, self.ca = (folder / name for name in ("tokens", "jwks", "ca.pem"))
        self.tokens.write_text(f"search sha256:{'0' * 64}\n")
        self.jwks.write_bytes(Issuer(kind="EC").jwks)
        self.ca.write_bytes(self.authority.pem)
        self.flags = {
            **{f"tls.{name}": value for name, value in self.tls.settings().items()},
            "auth.tokens_file": str(self.tokens),
            "auth.jwks_file": str(self.jwks),
            "upstream.ca_file": str(self.ca),
            "throttle.store_ca_file": str(self.ca),
            **RULES,
        }

    def run(self, command: str, **flags: str) -> int:
        given = self.flags | flags
        return main([command, *(f"--{name}={value}" for name, value in given.items())])


def test_check_takes_what_serve_takes(tmp_path: Path, capsys: Capture) -> None:
    """All files there and good."""
    setup = Setup(tmp_path)
    assert setup.run("check", **{"upstream.url": "https://h/api"}) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f'tokens_file = "{setup.tokens}"' in out


@pytest.mark.parametrize("command", ["check", "serve"])
def test_every_file_that_cannot_be_used_is_named(
    tmp_path: Path, command: str, capsys: Capture
) -> None:
    """All at once, as they will be met at the start; nothing is started."""
    setup = Setup(tmp_path)
    setup.tls.put(setup.authority.server(lifetime=-DAY))
    setup.tokens.write_text("search plain-token")
    setup.jwks.write_text("{}")
    setup.ca.write_text("nothing")
    assert setup.run(command, **{"upstream.url": "https://h/api"}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(": ")[2].partition(":")[0] for line in err.splitlines()] == [
        "upstream.ca_file",
        "throttle.store_ca_file",
        "tls.cert_file",
        "auth.tokens_file",
        "auth.jwks_file",
    ]
    assert "plain-token" not in err


FILES = (
    *("upstream.ca_file", "throttle.store_ca_file", "tls.key_file", "tls.client_ca_file"),
    *("auth.tokens_file", "auth.jwks_file"),
)


@pytest.mark.parametrize("name", FILES)
def test_check_refuses_a_missing_file(tmp_path: Path, name: str, capsys: Capture) -> None:
    """With the line that serving would end with."""
    gone = tmp_path / "gone"
    assert Setup(tmp_path).run("check", **{"upstream.url": "https://h/api", name: str(gone)}) == 2
    expected = f"headgate: {name}: cannot read {gone}: No such file or directory\n"
    assert capsys.readouterr().err == expected


def test_check_refuses_a_key_of_another_certificate(tmp_path: Path, capsys: Capture) -> None:
    """The commonest slip of all."""
    setup = Setup(tmp_path)
    setup.tls.key.write_bytes(setup.authority.server().key)
    assert setup.run("check") == 2
    expected = f"headgate: tls.key_file: the key in {setup.tls.key} is not that of "
    assert capsys.readouterr().err.startswith(expected)


def test_a_new_token_and_its_line(tmp_path: Path, capsys: Capture) -> None:
    """Both to be copied; with a file, the line goes there and the token alone is printed."""
    assert main(["token", "search"]) == 0
    token, line = (text.partition(": ")[2] for text in capsys.readouterr().out.splitlines())
    assert read_tokens(line).caller(token, now=0) == "search"

    file = tmp_path / "tokens"
    for name in ("search", "spiffe://a/b"):
        until = "2027-01-31T00:00:00Z"
        assert main(["token", name, "--expires", until, "--file", str(file)]) == 0
        token = capsys.readouterr().out.rstrip("\n")
        assert read_tokens(file.read_text()).caller(token, now=0) == name
        assert token not in file.read_text()
    assert file.read_text().count(until) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["10.0.0.7"], "NAME: '10.0.0.7' is not allowed; must be one word, and neither an address"),
        (["a", "--expires", "soon"], "--expires: soon is not allowed; must be a time such as"),
        (["a", "--file", "/nowhere/tokens"], "--file: cannot write /nowhere/tokens: No such file"),
    ],
)
def test_a_token_that_cannot_be_made(arguments: list[str], line: str, capsys: Capture) -> None:
    """One line, status 2."""
    assert main(["token", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"headgate: {line}")
