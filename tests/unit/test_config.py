"""Settings: one declaration each, four sources, and ways to print them."""

from __future__ import annotations

import itertools
import math
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config import (
    SANDBOX_DEFAULTS,
    Settings,
    effective,
    limits_line,
    load,
)
from headgate.config.names import SETTINGS, variable

if TYPE_CHECKING:
    from pathlib import Path


def toml(path: Path, text: str) -> Path:
    file = path / "headgate.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_names_and_defaults_are_the_documented_ones() -> None:
    """Scripts are written against these names and values; a change here breaks them."""
    assert {setting.name: setting.field.default for setting in SETTINGS} == {
        "profile": "published",
        "listen": "127.0.0.1:50051",
        "http_listen": None,
        "http.cors_origins": [],
        "metrics.listen": None,
        "upstream.url": None,
        "upstream.api_key": None,
        "upstream.api_key_file": None,
        "upstream.model": None,
        "upstream.headers": {},
        "upstream.ca_file": None,
        "upstream.proxy": None,
        "upstream.connect_timeout": 5.0,
        "upstream.first_token_timeout": 60.0,
        "upstream.idle_timeout": 30.0,
        "upstream.total_timeout": 600.0,
        "upstream.max_event_bytes": 16 * 1024 * 1024,
        "upstream.max_response_bytes": 16 * 1024 * 1024,
        "upstream.include_usage": "auto",
        "upstream.max_tokens_field": "max_tokens",
        "upstream.extra_allowed": [],
        "throttle.rate": 2.0,
        "throttle.min_interval": 0.5,
        "throttle.burst": 1,
        "throttle.max_in_flight": math.inf,
        "throttle.max_queue": 1000,
        "throttle.max_wait": 60.0,
        "throttle.margin": 0.005,
        "throttle.max_cooldown": 60.0,
        "throttle.store": "memory",
        "throttle.store_key": None,
        "throttle.store_password": None,
        "throttle.store_password_file": None,
        "throttle.store_ca_file": None,
        "throttle.store_timeout": 0.5,
        "throttle.store_required": True,
        "throttle.replicas": 1,
        "retry.max_attempts": 3,
        "retry.initial_backoff": 0.5,
        "retry.max_backoff": 8.0,
        "retry.backoff_multiplier": 2.0,
        "retry.budget": 0.2,
        "retry.budget_floor": 10.0,
        "callers.rate": math.inf,
        "callers.min_interval": 0.0,
        "callers.burst": 1,
        "callers.max_in_flight": math.inf,
        "callers.max_queue": math.inf,
        "callers.max_wait": math.inf,
        "callers.weight": 1.0,
        "callers.max_priority": 0,
        "callers.methods": ["Chat", "StreamChat", "Models", "Reflection"],
        "callers.trusted_names": [],
        "callers.trusted_peers": [],
        "tls.cert_file": None,
        "tls.key_file": None,
        "tls.client_ca_file": None,
        "auth.required": False,
        "auth.tokens_file": None,
        "auth.jwks_file": None,
        "auth.jwks_url": None,
        "auth.jwks_ca_file": None,
        "auth.jwks_interval": 300.0,
        "auth.jwt_issuer": None,
        "auth.jwt_audience": None,
        "auth.jwt_algorithms": ["RS256"],
        "auth.jwt_claim": "sub",
        "auth.jwt_prefix": None,
        "auth.jwt_leeway": 30.0,
        "idempotency.linger": 0.0,
        "idempotency.keep": 60.0,
        "idempotency.max_bytes": 64 * 1024 * 1024,
        "idempotency.max_stream_bytes": 4 * 1024 * 1024,
        "system_prompt.text": None,
        "system_prompt.file": None,
        "system_prompt.mode": "if_absent",
        "system_prompt.allow_override": True,
        "server.max_message_bytes": 16 * 1024 * 1024,
        "server.write_stall_timeout": 60.0,
        "server.default_deadline": math.inf,
        "server.max_deadline": math.inf,
        "server.drain_delay": 0.0,
        "server.grace": 30.0,
        "server.workers": 1,
        "server.reflection": False,
        "server.health_listen": None,
        "server.channelz_listen": None,
        "server.handshake_timeout": 10.0,
        "server.max_connection_idle": 300.0,
        "server.max_connection_age": math.inf,
        "server.max_connection_age_grace": math.inf,
        "server.max_concurrent_streams": 1024,
        "log.level": "info",
        "log.format": "auto",
        "log.access": "on",
        "log.addresses": False,
        "log.prompts": False,
        "telemetry.otlp_endpoint": None,
        "telemetry.otlp_headers": {},
        "telemetry.sample_ratio": 1.0,
        "telemetry.service_name": "headgate",
        "telemetry.attributes": {},
        "telemetry.propagators": ["tracecontext", "baggage"],
        "sandbox.token_interval": 0.03,
    }


def test_every_setting_has_one_line_of_help() -> None:
    """The help, the README and the error messages are all made from the declarations."""
    for setting in SETTINGS:
        assert setting.field.description, setting.name
        assert "\n" not in setting.field.description


def test_every_declared_default_is_itself_allowed() -> None:
    """Defaults are not validated by the model, so a wrong one would go unseen."""
    values = {s.name: s.field.default for s in SETTINGS if s.field.default is not None}
    assert load(values, {}, None).model_dump() == Settings().model_dump()


SOURCES = ("flag", "environment", "file", "default")


@pytest.mark.parametrize("count", range(1, len(SOURCES) + 1))
def test_flags_win_over_environment_over_file_over_defaults(count: int, tmp_path: Path) -> None:
    """The highest of the sources that name a setting decides."""
    used = SOURCES[-count:]
    settings = load(
        {"throttle.max_wait": "1"} if "flag" in used else {},
        {"HEADGATE_THROTTLE__MAX_WAIT": "2"} if "environment" in used else {},
        toml(tmp_path, "[throttle]\nmax_wait = 3") if "file" in used else None,
        defaults={"throttle.max_wait": 4},
    )
    assert settings.throttle.max_wait == SOURCES.index(used[0]) + 1


def test_sections_are_merged_from_all_sources(tmp_path: Path) -> None:
    """A source that names one key of a section leaves the others to the sources beneath."""
    settings = load(
        {"retry.max_attempts": "5"},
        {"HEADGATE_RETRY__BUDGET": "0.5"},
        toml(tmp_path, "retry.max_backoff = 9"),
    )
    assert (settings.retry.max_attempts, settings.retry.budget) == (5, 0.5)
    assert (settings.retry.max_backoff, settings.retry.initial_backoff) == (9, 0.5)


@pytest.mark.parametrize(
    ("profile", "rate", "gap", "tokens"),
    [
        ("published", 2, 0.5, "max_tokens"),
        ("openai", math.inf, 0, "max_completion_tokens"),
        ("unlimited", math.inf, 0, "max_tokens"),
    ],
)
def test_a_profile_is_a_set_of_defaults(profile: str, rate: float, gap: float, tokens: str) -> None:
    """A profile lies beneath everything that is set, wherever the profile itself is set."""
    bare = load({}, {"HEADGATE_PROFILE": profile}, None)
    assert (bare.throttle.rate, bare.throttle.min_interval) == (rate, gap)
    assert bare.upstream.max_tokens_field == tokens
    changed = load({"profile": profile}, {"HEADGATE_THROTTLE__RATE": "7"}, None)
    assert (changed.throttle.rate, changed.throttle.min_interval) == (7, gap)
    assert Settings.model_validate({"profile": profile}).throttle == bare.throttle


def test_the_environment_is_read_by_load_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making Settings in code gives the same in every environment."""
    monkeypatch.setenv("HEADGATE_LISTEN", "0.0.0.0:1")
    assert Settings().listen == "127.0.0.1:50051"


def test_settings_do_not_change() -> None:
    """A running server's settings are frozen."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().throttle.rate = 3


def test_an_empty_text_unsets(tmp_path: Path) -> None:
    """The environment has no null, so an empty value takes back what the file says."""
    file = toml(tmp_path, "http_listen = '127.0.0.1:1'\nupstream.api_key = 'k'")
    env = {"HEADGATE_HTTP_LISTEN": "", "HEADGATE_UPSTREAM__API_KEY": ""}
    settings = load({}, env, file)
    assert settings.http_listen is None
    assert settings.upstream.read_api_key() is None


def test_a_caller_s_table_changes_what_it_names(tmp_path: Path) -> None:
    """What a caller's own table leaves out is as for everybody, wherever that was set."""
    file = toml(tmp_path, "[callers]\nrate = 4\n[callers.'10.0.0.1']\nweight = 3\nmax_queue = 5")
    callers = load({"callers.max_wait": "9"}, {"HEADGATE_CALLERS__TEAM__RATE": "1"}, file).callers
    assert (callers.of("10.0.0.1").weight, callers.of("10.0.0.1").max_queue) == (3, 5)
    assert (callers.of("10.0.0.1").rate, callers.of("10.0.0.1").max_wait) == (4, 9)
    assert (callers.of("team").rate, callers.of("team").max_wait) == (1, 9)
    assert (callers.of("anybody").rate, callers.of("anybody").weight) == (4, 1)
    assert set(callers.overrides) == {"10.0.0.1", "team"}


def test_the_sandbox_has_the_published_limits_for_each_peer() -> None:
    """Beneath everything that is set, as any default."""
    settings = load({"callers.rate": "5"}, {}, None, defaults=SANDBOX_DEFAULTS)
    assert (settings.callers.rate, settings.callers.min_interval) == (5, 0.5)
    assert settings.http.cors_origins == ["*"]
    assert settings.listen == "127.0.0.1:8080"


SECRET_ENV = {
    "HEADGATE_UPSTREAM__API_KEY": "sk-very-secret",
    "HEADGATE_UPSTREAM__HEADERS": '{"x-team-key": "also-secret"}',
    "HEADGATE_UPSTREAM__URL": "http://h/api?key=query%2Dsecret&bare-secret",
    "HEADGATE_TELEMETRY__OTLP_HEADERS": '{"x-team-key": "otlp-secret"}',
    "HEADGATE_UPSTREAM__PROXY": "http://user:proxy-secret@proxy:3128",
}


def test_no_way_of_printing_settings_shows_a_secret() -> None:
    """Neither `headgate check` nor a log that prints the object."""
    settings = load({}, SECRET_ENV, None)
    printed = effective(settings) + limits_line(settings)
    assert "secret" not in printed
    assert "secret" not in repr(settings.upstream.headers) + repr(settings.upstream.api_key)
    assert settings.upstream.read_api_key() == "sk-very-secret"
    assert settings.upstream.header_values() == {"x-team-key": "also-secret"}
    assert '# api_key = "***"  # from HEADGATE_UPSTREAM__API_KEY; hidden, set it again' in printed
    assert '# url = "http://h/api?***"  # from HEADGATE_UPSTREAM__URL; hidden' in printed
    assert settings.upstream.shown_url == "http://h/api?***"


def test_whoever_writes_knows_every_secret() -> None:
    """Also two headers of one name, and a query as it is spelled and as it is meant."""
    settings = load({}, SECRET_ENV, None)
    assert set(settings.secrets()) == {
        *("sk-very-secret", "also-secret", "otlp-secret"),
        *("query%2Dsecret", "query-secret", "bare-secret"),
    }


def test_the_effective_configuration_says_where_values_came_from(tmp_path: Path) -> None:
    """What is not a plain default carries its source."""
    file = toml(tmp_path, "retry.budget = 0.1")
    lines = effective(
        load({"profile": "openai"}, {"HEADGATE_LISTEN": "[::1]:1"}, file)
    ).splitlines()
    assert 'profile = "openai"  # from --profile' in lines
    assert 'listen = "[::1]:1"  # from HEADGATE_LISTEN' in lines
    assert "rate = inf  # from profile openai" in lines
    assert f"budget = 0.1  # from retry.budget in {file}" in lines
    assert "max_queue = 1000" in lines


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    seconds = st.floats(0, 1e9) | st.just(math.inf)
    whole = st.integers(1, 10**9) | st.just(math.inf)
    optional = {
        "profile": st.sampled_from(["published", "openai", "unlimited"]),
        "upstream.model": PLAIN_TEXT,
        "upstream.extra_allowed": st.lists(PLAIN_TEXT),
        "upstream.include_usage": st.sampled_from(["auto", True, False]),
        "system_prompt.text": PLAIN_TEXT,
        "throttle.rate": st.floats(0.0001),
        "throttle.max_queue": whole,
        "throttle.max_wait": seconds,
        "callers.max_in_flight": whole,
        "callers.trusted_peers": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"])),
        "server.grace": seconds,
        "server.reflection": st.booleans(),
    }
    return draw(st.fixed_dictionaries({}, optional=optional))


@given(configurations(), st.dictionaries(PLAIN_TEXT, st.floats(0.1, 1e6), max_size=3))
def test_the_effective_configuration_can_be_fed_back(
    flags: dict[str, Any], callers: dict[str, float]
) -> None:
    """`headgate check` prints TOML that gives the same settings again."""
    known = {setting.key for setting in SETTINGS if setting.section == "callers"}
    settings = load(flags, {}, None)
    named = {name: {"weight": weight} for name, weight in callers.items() if name not in known}
    data = settings.model_dump(exclude_unset=True)
    data["callers"] = data.get("callers", {}) | named
    settings = Settings.model_validate(data)
    assert Settings.model_validate(tomllib.loads(effective(settings))) == settings


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            {},
            (
                "limits (profile published): 2 attempts/s, 0.5 s apart; any number in flight;"
                " 1000 queued for at most 60 s; 3 attempts a call; each caller: no pace"
            ),
        ),
        (
            {
                "profile": "unlimited",
                "throttle.max_in_flight": 4,
                "throttle.max_wait": "inf",
                "callers.rate": 5,
                "callers.burst": 3,
            },
            (
                "limits (profile unlimited): no pace; 4 in flight; 1000 queued for any time;"
                " 3 attempts a call; each caller: 5 calls/s in bursts of 3"
            ),
        ),
    ],
)
def test_one_line_tells_the_limits(flags: dict[str, object], line: str) -> None:
    """It is printed at the start, so that nobody has to guess what holds."""
    assert limits_line(load(flags, {}, None)) == line


def test_names_are_unique_however_they_are_spelt() -> None:
    """Flags, variables and file keys all come from one name, so none may be ambiguous."""
    variables = [variable(setting.name) for setting in SETTINGS]
    assert len(set(variables)) == len(variables)
    for one, other in itertools.permutations(variables, 2):
        assert not one.startswith(f"{other}__")
