"""The command line: reads the settings, then hands over; every fault is one line, status 2."""

from __future__ import annotations

import errno
import math
import os
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate import __version__
from headgate.config import (
    SANDBOX_DEFAULTS,
    ConfigError,
    Settings,
    StartError,
    effective,
    load,
    log_warnings,
    parse_address,
    plain_text_warnings,
)
from headgate.flags import ReflectionOption, SettingsCommand, given, setting_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CANNOT_WRITE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG})
_ALL = frozenset(Settings.model_fields)
_OF_THE_SANDBOX = frozenset({"listen", "http", "callers", "system_prompt", "server", "sandbox"})
_RULES = """
Every setting has a flag, its name with two dashes in front (secrets have none: a process list
shows flags), an environment variable (throttle.rate is HEADGATE_THROTTLE__RATE) and a place in
the TOML file (rate in [throttle]). Flags win over the environment, the environment over the
file, the file over the defaults in brackets. Durations are seconds, "no limit" is inf.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 2 for a wrong setting, flag or address."""
    # Before gRPC is imported anywhere: it would tell of every handshake that fails, and strangers
    # can fail as often as they like.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        status = _headgate.main(arguments, prog_name="headgate", standalone_mode=False)
    except click.ClickException as error:
        return _refuse(_in_our_words(error))
    except ConfigError as error:
        return _refuse(*error.lines)
    except StartError as error:
        return _refuse(str(error))
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        return _speechless(error)
    return status if isinstance(status, int) else 0


def _in_our_words(error: click.ClickException) -> str:
    """What click says itself is a whole sentence, and leaves one alone."""
    said = error.format_message()
    if not said.endswith(".") and not said.startswith("Got "):
        return said
    said = said[:1].lower() + said[1:].removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said}; `{context.command_path} --help` tells more" if context else said


def _speechless(error: OSError) -> int:
    """What is written to standard output gets nowhere: a full disk, or a reader that has left."""
    # Else the interpreter tries again at its end, and fails in its own words.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno != errno.EPIPE:
        click.echo(f"headgate: cannot write: {(error.strerror or '').lower()}", err=True)
    return 1


def _refuse(*lines: str) -> int:
    for line in lines:
        click.echo(f"headgate: {line}", err=True)
    return 2


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command {args[0]}; the commands are {', '.join(self.commands)}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, no_args_is_help=False, invoke_without_command=True)
@click.version_option(__version__, message="headgate %(version)s")
@click.pass_context
def _headgate(ctx: click.Context) -> None:
    """The gRPC front door of a chat-completion HTTP API."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _command(
    name: str, wanted: frozenset[str], *extra: click.Parameter
) -> Callable[[Callable[..., int]], click.Command]:
    """Declares a command that takes settings as flags."""

    def declare(callback: Callable[..., int]) -> click.Command:
        config = click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            envvar="HEADGATE_CONFIG",
            help="A TOML file with settings; also HEADGATE_CONFIG.",
        )
        command = SettingsCommand(
            name,
            callback=callback,
            help=f"{callback.__doc__}\n{_RULES}",
            short_help=callback.__doc__,
            params=[*extra, config, *setting_options(wanted)],
            context_settings={"token_normalize_func": _underscores},
        )
        _headgate.add_command(command)
        return command

    return declare


def _underscores(token: str) -> str:
    """`--http-listen` and `--http_listen` are the same flag."""
    return token.replace("-", "_")


def _load(values: dict[str, Any], defaults: Mapping[str, object] | None = None) -> Settings:
    return load(given(values), os.environ, values["config"], defaults=defaults)


def _sandbox_flag() -> click.Option:
    return click.Option(
        ["--sandbox"],
        is_flag=True,
        help="Serve in front of an embedded sandbox; no upstream needed.",
    )


@_command("serve", _ALL, _sandbox_flag(), ReflectionOption())
def _serve(*, sandbox: bool, **values: Any) -> int:
    """Serve the gateway."""
    settings = _gateway_settings(values, sandbox=sandbox)
    if settings.upstream.url is None and not sandbox:
        raise ConfigError([_NO_UPSTREAM])

    def load() -> Settings:
        return _gateway_settings(values, sandbox=sandbox)

    if settings.server.workers > 1:
        from headgate.workers.supervisor import supervise  # noqa: PLC0415 - few need it

        return supervise(settings, sandbox=sandbox, load=load)
    from headgate.server import serve  # noqa: PLC0415 - gRPC takes long to import

    return serve(settings, sandbox=sandbox, load=load)


@_command("check", _ALL, _sandbox_flag(), ReflectionOption())
def _check(*, sandbox: bool, **values: Any) -> int:
    """Validate what `serve` would use and print all of it as TOML, secrets hidden."""
    settings = _gateway_settings(values, sandbox=sandbox)
    click.echo(effective(settings), nl=False)
    if settings.upstream.url is None and not sandbox:
        return _refuse(_NO_UPSTREAM)  # as `serve`; what there is may be worth reading all the same
    return 0


_NO_UPSTREAM = (
    "upstream.url is not set; name the upstream's chat endpoint with --upstream URL or"
    " HEADGATE_UPSTREAM__URL, or try --sandbox"
)


def _gateway_settings(values: dict[str, Any], *, sandbox: bool) -> Settings:
    settings = _load(values, {"server.reflection": True} if sandbox else None)
    if sandbox and settings.upstream.url is not None:
        origin = settings.origins["upstream.url"]
        raise ConfigError([f"upstream.url (from {origin}) must not be set with --sandbox"])
    from headgate.security.security import check_files  # noqa: PLC0415 - takes long to import
    from headgate.signals import tell  # noqa: PLC0415 - likewise

    check_files(settings)
    for line in [*plain_text_warnings(settings), *log_warnings(settings.log)]:
        tell(line)
    return settings


@_command("sandbox", _OF_THE_SANDBOX)
def _sandbox(**values: Any) -> int:
    """Serve the published HTTP API with a small deterministic model."""
    settings = _load(values, SANDBOX_DEFAULTS)
    if parse_address(settings.listen).path:
        raise ConfigError([f"listen: {settings.listen} is not allowed; must be HOST:PORT"])
    if settings.server.workers > 1:
        workers = f"server.workers: {settings.server.workers} is not allowed"
        raise ConfigError([f"{workers}; must be 1: the sandbox is one process"])
    from headgate.sandbox import serve_sandbox  # noqa: PLC0415 - takes long to import

    return serve_sandbox(settings)


@_headgate.command("demo")
@click.argument("prompt", default="What is headgate?")
def _demo(prompt: str) -> int:
    """Stream an answer through sandbox, gateway and client, all in one go."""
    from headgate.demo import run_demo  # noqa: PLC0415 - takes long to import

    return run_demo(prompt)


@_headgate.command("token", short_help="Make a bearer token for a caller.")
@click.argument("name")
@click.option("--expires", metavar="TIME", help="When it ends, such as 2027-01-31T00:00:00Z.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Append the line to this auth.tokens_file, and print the token alone.",
)
def _token(name: str, expires: str | None, file: Path | None) -> int:
    """Make a bearer token for the caller NAME, and the line for auth.tokens_file."""
    from headgate.security.tokens import new_token, read_time  # noqa: PLC0415 - few need it

    try:
        until = math.inf if expires is None else read_time(expires)
    except ValueError:
        allowed = "must be a time such as 2027-01-31T00:00:00Z"
        raise click.UsageError(f"--expires: {expires} is not allowed; {allowed}") from None
    try:
        token, line = new_token(name, until)
    except ValueError as error:
        raise click.UsageError(f"NAME: {name!r} is not allowed; {error}") from None
    if until <= time.time():
        raise click.UsageError(f"--expires: {expires} is not allowed; must be in the future")
    if file is None:
        click.echo(f"token: {token}\nline for auth.tokens_file: {line}")
        return 0
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")
    except OSError as error:
        raise click.UsageError(f"--file: cannot write {file}: {error.strerror}") from None
    click.echo(token)
    return 0


@_headgate.command("proto")
@click.option("--descriptor-set", is_flag=True, help="Write the binary descriptor set instead.")
@click.option(
    "--http-rules",
    is_flag=True,
    help="Write a descriptor set that says where each method is found over HTTP, for Envoy.",
)
def _proto(descriptor_set: bool, http_rules: bool) -> int:
    """Print the contract, chat.proto, for making stubs in any language."""
    if http_rules:
        from headgate import http_rules as rules  # noqa: PLC0415 - protobuf is slow to load

        click.echo(rules.descriptor_set(), nl=False)
        return 0
    name = "chat.binpb" if descriptor_set else "chat.proto"
    click.echo(resources.files("headgate").joinpath("v1", name).read_bytes(), nl=False)
    return 0
