"""Wrong settings: one line each, with the setting, the value, the source and the rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import (
    ConfigError,
    load,
)
from headgate.config.names import SETTINGS, flag, variable

if TYPE_CHECKING:
    from pathlib import Path


ENV = dict[str, str]


def faults(
    env: ENV | None = None, flags: dict[str, object] | None = None, file: Path | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(flags or {}, env or {}, file)
    return caught.value.lines


def toml(path: Path, text: str) -> Path:
    file = path / "headgate.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("throttle.rate", "0", "0 is not allowed (from {}); must be at least 0.0001"),
        ("throttle.rate", "nan", "nan is not allowed (from {}); must be a number"),
        ("throttle.rate", "1e-300", "1e-300 is not allowed (from {}); must be at least 0.0001"),
        ("throttle.max_wait", "-NaN", "-NaN is not allowed (from {}); must be a number"),
        ("throttle.min_interval", "1e300", "1e300 is not allowed (from {}); must be at most 86400"),
        ("throttle.margin", "1e24", "1e24 is not allowed (from {}); must be at most 86400"),
        ("callers.rate", "1e-300", "1e-300 is not allowed (from {}); must be at least 0.0001"),
        ("callers.min_interval", "inf", "inf is not allowed (from {}); must be at most 86400"),
        (
            "server.max_concurrent_streams",
            "2147483648",
            "2147483648 is not allowed (from {}); must be at most 2147483647",
        ),
        ("throttle.rate", "fast", "fast is not allowed (from {}); must be a number"),
        ("throttle.min_interval", "-1", "-1 is not allowed (from {}); must be at least 0"),
        ("throttle.min_interval", "inf", "inf is not allowed (from {}); must be at most 86400"),
        ("throttle.burst", "0", "0 is not allowed (from {}); must be at least 1"),
        ("throttle.burst", "1.5", "1.5 is not allowed (from {}); must be a whole number"),
        (
            "throttle.max_queue",
            "nan",
            "nan is not allowed (from {}); must be a whole number or inf",
        ),
        ("throttle.max_queue", "", "'' is not allowed (from {}); must be a whole number or inf"),
        ("throttle.max_in_flight", "0", "0 is not allowed (from {}); must be at least 1"),
        (
            "profile",
            "x",
            "x is not allowed (from {}); must be 'published', 'openai' or 'unlimited'",
        ),
        ("server.reflection", "on?", "on? is not allowed (from {}); must be true or false"),
        ("upstream.include_usage", "1", "1 is not allowed (from {}); must be auto, true or false"),
        (
            "upstream.headers",
            "x: y",
            '*** is not allowed (from {}); must be a JSON object such as {{"name": "value"}}',
        ),
        (
            "upstream.url",
            "h/api?key=secret",
            (
                "h/api?*** is not allowed (from {}); must be the full URL of the chat endpoint,"
                " such as http://127.0.0.1:8000/v1/chat/completions"
            ),
        ),
        (
            "throttle.store",
            "redis://u:secret@h",
            (
                "redis://***@h is not allowed (from {}); must not hold a password; set"
                " throttle.store_password"
            ),
        ),
    ],
)
def test_a_wrong_value_names_setting_value_source_and_rule(
    name: str, value: str, line: str
) -> None:
    """One line says everything that is needed to put it right."""
    place = variable(name)
    assert faults({place: value}) == (f"{name}: {line.format(place)}",)


@pytest.mark.parametrize("name", [s.name for s in SETTINGS if s.field.annotation in {float, int}])
def test_numbers_are_never_nan_or_true(name: str) -> None:
    """NaN compares with nothing, and `true` is not 1."""
    assert len(faults(flags={name: math.nan})) == 1
    assert len(faults(flags={name: True})) == 1


@pytest.mark.parametrize(
    ("env", "named", "rule"),
    [
        (
            {"HEADGATE_PROFILE": "unlimited", "HEADGATE_THROTTLE__BURST": "2"},
            "throttle.burst: 2 is",
            "must be 1 while rate is inf",
        ),
        (
            {"HEADGATE_CALLERS__BURST": "2"},
            "callers.burst: 2 is",
            "must be 1 while rate is inf",
        ),
        (
            {"HEADGATE_CALLERS__TEAM__BURST": "2"},
            "callers.team.burst: 2 is",
            "must be 1 while rate is inf",
        ),
        (
            {"HEADGATE_RETRY__MAX_BACKOFF": "0.1"},
            "retry.max_backoff: 0.1 is",
            "must be at least retry.initial_backoff, 0.5",
        ),
        (
            {"HEADGATE_SERVER__MAX_DEADLINE": "1", "HEADGATE_SERVER__DEFAULT_DEADLINE": "2"},
            "server.default_deadline: 2.0 is",
            "must be at most server.max_deadline, 1",
        ),
        (
            {"HEADGATE_UPSTREAM__API_KEY": "k", "HEADGATE_UPSTREAM__API_KEY_FILE": "f"},
            "upstream.api_key_file: f is",
            "must not be set together with upstream.api_key",
        ),
        (
            {"HEADGATE_SYSTEM_PROMPT__TEXT": "t", "HEADGATE_SYSTEM_PROMPT__FILE": "f"},
            "system_prompt.file: f is",
            "must not be set together with system_prompt.text",
        ),
        (
            {"HEADGATE_LISTEN": "localhost:1", "HEADGATE_HTTP_LISTEN": "localhost:1"},
            "http_listen: localhost:1 is",
            "must differ from listen",
        ),
        (
            {"HEADGATE_HTTP__CORS_ORIGINS": "*", "HEADGATE_UPSTREAM__API_KEY": "k"},
            "http.cors_origins: * is",
            "must name each origin",
        ),
        (
            {
                "HEADGATE_HTTP__CORS_ORIGINS": "*",
                "HEADGATE_UPSTREAM__HEADERS": '{"X-Api-Key": "k"}',
            },
            "http.cors_origins: * is",
            "must name each origin",
        ),
        (
            {"HEADGATE_HTTP__CORS_ORIGINS": "*", "HEADGATE_UPSTREAM__URL": "http://h/?key=k"},
            "http.cors_origins: * is",
            "must name each origin",
        ),
    ],
)
def test_settings_that_clash_are_refused(env: ENV, named: str, rule: str) -> None:
    """Rules between settings name one of them, its value and the rule."""
    (line,) = faults(env)
    assert line.startswith(named)
    assert rule in line


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start five times to find five mistakes."""
    file = toml(tmp_path, "[throttle]\nrate = 0\nmax_queue = true")
    lines = faults({"HEADGATE_RETRY__MAX_ATTEMPTS": "0"}, {"listen": "here"}, file)
    assert [line.split(":")[0] for line in lines] == [
        "listen",
        "throttle.rate",
        "throttle.max_queue",
        "retry.max_attempts",
    ]
    assert f"(from throttle.rate in {file})" in lines[1]
    assert "true is not allowed" in lines[2]


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ("HEADGATE_THROTTLE__RAET", "HEADGATE_THROTTLE__RATE"),
        ("HEADGATE_THROTTLE_RATE", "HEADGATE_THROTTLE__RATE"),
        ("HEADGATE_UPSTREAM_URL", "HEADGATE_UPSTREAM__URL"),
        ("HEADGATE_UPSTREAM__URL__X", "HEADGATE_UPSTREAM__URL"),
        ("HEADGATE_LISTN", "HEADGATE_LISTEN"),
        ("HEADGATE_CALLERS__TEAM__RAET", "HEADGATE_CALLERS__TEAM__RATE"),
        ("HEADGATE_CALLERS__RAET", "HEADGATE_CALLERS__RATE"),
    ],
)
def test_an_unknown_variable_names_the_nearest_known_one(env: str, line: str) -> None:
    """A misspelt variable is a fault and never a setting that silently does nothing."""
    (found,) = faults({env: "8"})
    assert found == f"unknown setting {env}; did you mean {line}?"


@pytest.mark.parametrize(
    ("text", "unknown", "near"),
    [
        ("[throttle]\nraet = 1", "throttle.raet", "throttle.rate"),
        ("[trottle]\nrate = 1", "trottle.rate", "throttle.rate"),
        ("listne = 'x'", "listne", "listen"),
        ("[callers.team]\nwieght = 1", "callers.team.wieght", "callers.team.weight"),
        ("[upstream.url]\nx = 1", "upstream.url", ""),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(
    text: str, unknown: str, near: str, tmp_path: Path
) -> None:
    """In the file too, whole sections included."""
    file = toml(tmp_path, text)
    (line,) = faults(file=file)
    if near:
        assert line == f"unknown setting {unknown} in {file}; did you mean {near} in {file}?"
    else:
        assert line.startswith(f"{unknown}: ")
        assert line.endswith("must be text")


@given(st.sampled_from([setting.name for setting in SETTINGS]), st.data())
def test_a_typing_error_is_never_accepted(name: str, data: st.DataObject) -> None:
    """Leaving out any letter of any name gives a line that names a known setting."""
    place = data.draw(st.integers(0, len(name) - 1))
    typo = name[:place] + name[place + 1 :]
    known = {setting.name for setting in SETTINGS}
    if typo not in known:
        (line,) = faults(flags={typo: "1"})
        near = line.partition("did you mean ")[2].removesuffix("?")
        assert near in {flag(name) for name in known}


def test_variables_that_kubernetes_makes_are_not_ours() -> None:
    """A Service called headgate puts these into every pod; they must not stop the start."""
    load(
        {},
        {
            "HEADGATE_PORT": "tcp://10.0.0.1:50051",
            "HEADGATE_PORT_50051_TCP": "tcp://10.0.0.1:50051",
            "HEADGATE_PORT_50051_TCP_ADDR": "10.0.0.1",
            "HEADGATE_PORT_50051_TCP_PORT": "50051",
            "HEADGATE_PORT_50051_TCP_PROTO": "tcp",
            "HEADGATE_SERVICE_HOST": "10.0.0.1",
            "HEADGATE_SERVICE_PORT": "50051",
            "HEADGATE_SERVICE_PORT_GRPC": "50051",
            "HEADGATE_REDIS_SERVICE_HOST": "10.0.0.2",
            "HEADGATE_REDIS_PORT": "tcp://10.0.0.2:6379",
            "HEADGATE_CONFIG": "read by the command line",
            "OTHER": "x",
        },
        None,
    )
    (line,) = faults({"HEADGATE_PORT": "8080"})
    assert line.startswith("unknown setting HEADGATE_PORT;")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[throttle\nrate = 1", "is not TOML: "),
        (b"x = 1\ny = = 2", "line 2"),
        (b"\xff", "is not UTF-8 text"),
    ],
)
def test_a_broken_file_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    """Syntax errors say the file and the place in it."""
    file = tmp_path / "headgate.toml"
    file.write_bytes(content)
    (line,) = faults(file=file)
    assert str(file) in line
    assert says in line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """A file that was asked for must be there."""
    file = tmp_path / "none.toml"
    assert faults(file=file) == (f"cannot read {file}: No such file or directory",)
    assert faults(file=tmp_path) == (f"cannot read {tmp_path}: Is a directory",)


def test_a_fault_for_every_caller_is_told_once() -> None:
    """Inherited values are not blamed on those who inherit them."""
    lines = faults({"HEADGATE_CALLERS__RATE": "0", "HEADGATE_CALLERS__TEAM__WEIGHT": "2"})
    assert [line.split(":")[0] for line in lines] == ["callers.rate"]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors write one, and nobody sees it."""
    file = tmp_path / "headgate.toml"
    file.write_text("server.grace = 7", encoding="utf-8-sig")
    assert load({}, {}, file).server.grace == 7
