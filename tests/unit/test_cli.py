"""The command line: what it hands over, and that every fault is one line and status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions

from headgate import __version__, settings_doc
from headgate.cli import main
from headgate.config import Settings, StartError
from headgate.config.names import SETTINGS
from headgate.config.section import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADGATE_"):
            monkeypatch.delenv(name)


class Served:
    """Stands where the server would start, and keeps what it was given."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.sandbox: bool | None = None
        self.error: Exception | None = None
        self.count = 0
        self.supervised = False
        self.load: Callable[[], Settings] | None = None

    def in_workers(self, settings: Settings, *, sandbox: bool, load: Callable[[], Settings]) -> int:
        self.supervised = True
        return self(settings, sandbox=sandbox, load=load)

    def __call__(
        self,
        settings: Settings,
        *,
        sandbox: bool | None = None,
        load: Callable[[], Settings] | None = None,
    ) -> int:
        self.count += 1
        self.load = load
        self.settings, self.sandbox = settings, sandbox
        if self.error:
            raise self.error
        return 0


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    served = Served()
    _replace(monkeypatch, "headgate.server", serve=served)
    _replace(monkeypatch, "headgate.workers.supervisor", supervise=served.in_workers)
    _replace(monkeypatch, "headgate.sandbox", serve_sandbox=served)
    return served


def _replace(monkeypatch: pytest.MonkeyPatch, name: str, **members: Callable[..., Any]) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


Capture = pytest.CaptureFixture[str]


def test_version(capsys: Capture) -> None:
    """One line, for scripts and reports."""
    assert run(capsys, "--version") == (0, f"headgate {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments: list[str], capsys: Capture) -> None:
    """Without a command the help is what one needs, and no fault."""
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    for command in ("serve", "sandbox", "demo", "check", "proto"):
        assert f"\n  {command} " in out


def test_serve_help_shows_every_flag_with_its_default_by_section(capsys: Capture) -> None:
    """All settings but secrets, which have no flag because a process list shows flags."""
    _, out, _ = run(capsys, "serve", "--help")
    words = out.split()
    for setting in SETTINGS:
        flag = f"--{setting.name}".replace("--http_listen", "--http-listen")
        assert (flag in words) == (setting.name not in SECRETS), setting.name
    sections = [line for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert sections == [
        "Options:",
        *(f"{key}:" for key in dict.fromkeys(s.section for s in SETTINGS) if key),
    ]
    assert "[2 (openai, unlimited: inf)]" in " ".join(words)


def test_serve_hands_over_the_settings(served: Served, capsys: Capture) -> None:
    """Aliases, dashes for underscores and plain names set the same settings."""
    status, _, err = run(
        capsys,
        "serve",
        *("--upstream", "http://h/api"),
        *("--listen", "[::1]:1", "--http-listen", "localhost:2"),
        *("--throttle.min-interval", "1", "--throttle.max_wait", "2"),
        *("--workers", "1", "--reflection"),
    )
    assert (status, err, served.count, served.sandbox) == (0, "", 1, False)
    settings = served.settings
    assert (settings.upstream.url, settings.listen) == ("http://h/api", "[::1]:1")
    assert settings.http_listen == "localhost:2"
    assert (settings.throttle.min_interval, settings.throttle.max_wait) == (1, 2)
    assert settings.server.reflection is True


@pytest.mark.parametrize("sandbox", [False, True])
def test_several_workers_have_a_supervisor(
    served: Served, capsys: Capture, *, sandbox: bool
) -> None:
    """It gets what a single process would get."""
    source = ["--sandbox"] if sandbox else ["--upstream", "http://h/api"]
    assert run(capsys, "serve", *source, "--workers", "2") == (0, "", "")
    assert (served.supervised, served.count, served.sandbox) == (True, 1, sandbox)
    assert served.settings.server.workers == 2


def test_serve_demands_an_upstream(served: Served, capsys: Capture) -> None:
    """The line says all three ways to go on."""
    status, out, err = run(capsys, "serve")
    assert (status, out, served.count) == (2, "", 0)
    assert err.count("\n") == 1
    for way in ("--upstream", "HEADGATE_UPSTREAM__URL", "--sandbox"):
        assert way in err


def test_the_embedded_sandbox_needs_no_upstream(served: Served, capsys: Capture) -> None:
    """And turns reflection on, so that generic tools find the service."""
    assert run(capsys, "serve", "--sandbox")[0] == 0
    assert (served.sandbox, served.settings.server.reflection) == (True, True)
    assert run(capsys, "serve", "--sandbox", "--no-reflection")[0] == 0
    assert served.settings.server.reflection is False


def test_the_embedded_sandbox_is_no_second_upstream(
    served: Served, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who set both would be surprised by either."""
    monkeypatch.setenv("HEADGATE_UPSTREAM__URL", "http://h/api")
    status, _, err = run(capsys, "serve", "--sandbox")
    assert (status, served.count) == (2, 0)
    assert err == (
        "headgate: upstream.url (from HEADGATE_UPSTREAM__URL) must not be set with --sandbox\n"
    )


def test_the_sandbox_has_defaults_of_its_own(served: Served, capsys: Capture) -> None:
    """The published limits for each peer, pages from anywhere, its own port."""
    assert run(capsys, "sandbox", "--callers.rate", "9")[0] == 0
    settings = served.settings
    assert settings.listen == "127.0.0.1:8080"
    assert settings.http.cors_origins == ["*"]
    assert (settings.callers.rate, settings.callers.min_interval) == (9, 0.5)


def test_the_sandbox_speaks_http_only(served: Served, capsys: Capture) -> None:
    """A path to a socket and the settings of an upstream mean nothing to it."""
    for arguments in (["--listen", "unix:/tmp/x"], ["--upstream", "http://h/api"]):
        status, _, err = run(capsys, "sandbox", *arguments)
        assert (status, served.count, err.count("\n")) == (2, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serv"], "no command serv; the commands are serve, check, sandbox, demo, token, proto"),
        (
            ["serve", "--throttle.raet", "1"],
            "no option --throttle.raet; did you mean --throttle.rate?",
        ),
        (
            ["serve", "--upstream.api_key", "k"],
            (
                "no option --upstream.api_key; upstream.api_key is a secret and has no flag,"
                " because process lists show flags; set"
                " HEADGATE_UPSTREAM__API_KEY or --upstream.api_key_file"
            ),
        ),
        (
            ["serve", "--upstream.headers=X: k"],
            (
                "no option --upstream.headers; upstream.headers is a secret and has no flag,"
                " because process lists show flags; set"
                " HEADGATE_UPSTREAM__HEADERS or headers in [upstream]"
            ),
        ),
        (["serve", "--throttle.rate"], "option '--throttle.rate' requires an argument"),
        (
            ["serve", "extra"],
            "got unexpected extra argument (extra); `headgate serve --help` tells more",
        ),
        (["token"], "missing argument 'NAME'; `headgate token --help` tells more"),
        (
            ["token", "ci", "--expires", "2001-01-01T00:00:00Z"],
            "--expires: 2001-01-01T00:00:00Z is not allowed; must be in the future",
        ),
        (["proto", "--x"], "no such option '--x'; `headgate proto --help` tells more"),
        (
            ["serve", "--throttle.rate", "0"],
            "throttle.rate: 0 is not allowed (from --throttle.rate); must be at least 0.0001",
        ),
        (["serve", "--config", "none.toml"], "cannot read none.toml: No such file or directory"),
        (["sandbox", "--workers", "4"], "server.workers: 4 is not allowed; must be 1: the sandbox"),
    ],
)
def test_a_fault_is_one_line_and_status_2(
    arguments: list[str], line: str, served: Served, capsys: Capture
) -> None:
    """Nothing is started and nothing else is printed."""
    status, out, err = run(capsys, *arguments)
    assert (status, out, served.count) == (2, "", 0)
    assert err.startswith(f"headgate: {line}")
    assert err.count("\n") == 1


def test_a_server_that_cannot_start_is_one_line(served: Served, capsys: Capture) -> None:
    """A taken port, say."""
    served.error = StartError("cannot listen on 127.0.0.1:1: address already in use")
    status, _, err = run(capsys, "serve", "--sandbox")
    assert (status, err) == (2, f"headgate: {served.error}\n")


def test_check_prints_what_would_be_used(capsys: Capture, tmp_path: Path) -> None:
    """From all sources, as TOML, secrets hidden."""
    file = tmp_path / "headgate.toml"
    file.write_text('[upstream]\nurl = "http://h/api"\napi_key = "sk-secret"\n')
    status, out, err = run(capsys, "check", "--config", str(file), "--retry.budget", "0.5")
    assert (status, err) == (0, "")
    assert "budget = 0.5  # from --retry.budget" in out
    assert f'url = "http://h/api"  # from upstream.url in {file}' in out
    assert "sk-secret" not in out


def test_check_refuses_what_serve_refuses(capsys: Capture, tmp_path: Path) -> None:
    """And prints no configuration then."""
    file = tmp_path / "headgate.toml"
    file.write_text("throttle.rate = 0\nthrottle.raet = 1")
    status, out, err = run(capsys, "check", "--config", str(file))
    assert (status, out) == (2, "")
    assert "did you mean throttle.rate" in err


def test_check_says_when_the_upstream_is_missing(capsys: Capture) -> None:
    """The defaults can be looked at, but serving them needs one more thing, as the status says."""
    status, out, err = run(capsys, "check")
    assert status == 2
    assert 'profile = "published"' in out
    assert err.startswith("headgate: upstream.url is not set")
    assert (run(capsys, "check", "--sandbox")[::2]) == (0, "")


def test_a_warning_that_nobody_reads_stops_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a reload, the reader of stderr may have gone long ago."""
    arguments = ("check", "--listen", "0.0.0.0:1", "--upstream", "http://h/api")
    assert run(capsys, *arguments)[2].startswith("headgate: WARNING: 0.0.0.0:1 is plain text")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as raw:
        monkeypatch.setattr(sys, "stderr", TextIOWrapper(raw, write_through=True))
        assert run(capsys, *arguments)[0] == 0


def test_the_config_file_may_come_from_the_environment(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For containers, where the command line is fixed."""
    file = tmp_path / "headgate.toml"
    file.write_text("server.grace = 7")
    monkeypatch.setenv("HEADGATE_CONFIG", str(file))
    assert f"grace = 7.0  # from server.grace in {file}" in run(capsys, "check")[1]


def test_the_contract_comes_with_the_program(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A stranger with only the program can make a stub: text, or a descriptor set."""
    assert main(["proto"]) == 0
    text = capfdbinary.readouterr().out
    assert b"\nservice ChatService {" in text
    assert main(["proto", "--descriptor-set"]) == 0
    assert b"ChatService" in capfdbinary.readouterr().out
    assert text == (ROOT / "protos" / "headgate" / "v1" / "chat.proto").read_bytes()


def test_a_proxy_finds_the_methods_by_http(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The contract with a path for each method, and every type that it or its errors need."""
    assert main(["proto", "--http-rules"]) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(capfdbinary.readouterr().out).file:
        pool.AddSerializedFile(
            file.SerializeToString()
        )  # refuses a file whose imports are not there before it
    methods = pool.FindServiceByName("headgate.v1.ChatService").methods
    rules = {}
    for method in methods:
        options = method.GetOptions().SerializeToString()
        rules[method.name] = MethodOptions.FromString(options).Extensions[annotations_pb2.http]
    assert {name: (rule.post, rule.body) for name, rule in rules.items()} == {
        "Chat": ("/v1/chat", "*"),
        "StreamChat": ("/v1/chat:stream", "*"),
    }
    for name in ("ErrorInfo", "RetryInfo", "BadRequest", "QuotaFailure"):
        assert pool.FindMessageTypeByName(f"google.rpc.{name}")


def test_help_loads_neither_grpc_nor_http() -> None:
    """The help and `headgate check` stay quick."""
    code = (
        "import sys; from headgate.cli import main; main(['--help']);"
        "print(sorted({'grpc', 'aiohttp', 'httpx', 'google.protobuf'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    """`headgate proto | head` closes the pipe early."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "headgate", "serve", "--help"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, b"")


def test_the_table_in_the_readme_is_made_from_the_settings() -> None:
    """`make settings` writes it; nobody edits it by hand."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert settings_doc.put_into(readme) == readme


def test_the_table_goes_between_its_markers(tmp_path: Path, capsys: Capture) -> None:
    """Everything outside the markers stays, and a file without them is refused."""
    file = tmp_path / "README.md"
    file.write_text(f"a\n{settings_doc.START}\nold\n{settings_doc.END}\nb\n")
    settings_doc.main([str(file)])
    settings_doc.main([])
    assert file.read_text() == (
        f"a\n{settings_doc.START}\n\n{capsys.readouterr().out}\n{settings_doc.END}\nb\n"
    )
    with pytest.raises(ValueError, match="missing"):
        settings_doc.put_into("nothing here")
