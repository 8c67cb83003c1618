"""A flag for every setting, made from its declaration, and help that is grouped by section."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click

from headgate.config.defaults import default_text
from headgate.config.names import SETTINGS, Setting, flag, nearest, variable
from headgate.config.section import SECRETS

if TYPE_CHECKING:
    from collections.abc import Collection

_SHORT = {"upstream.url": "--upstream", "server.workers": "--workers"}
_GENERAL = "Options"


class SettingsCommand(click.Command):
    """A command whose parameters are settings; an unknown flag names the nearest known one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        written = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            words = (word.partition("=")[0] for word in written)  # a value may be a secret
            given = next((word for word in words if _normal(word) == name), name)
            raise click.UsageError(f"no option {given}; {self._advice(name)}") from None

    def _advice(self, name: str) -> str:
        near = nearest(tuple(name.lstrip("-").split(".")))
        if near in SECRETS:
            return _how_else(near)
        ours = (option.setting for option in self.params if isinstance(option, SettingOption))
        if near and near in ours:
            return f"did you mean {flag(near)}?"
        return f"`headgate {self.name} --help` lists all"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                group = parameter.section if isinstance(parameter, SettingOption) else _GENERAL
                groups.setdefault(group or _GENERAL, []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records, col_max=34)


class SettingOption(click.Option):
    """The flag of one setting; its value stays text until the settings are validated."""

    def __init__(self, setting: Setting) -> None:
        short = [_SHORT[setting.name]] if setting.name in _SHORT else []
        super().__init__(
            [_parameter(setting.name), *short, flag(setting.name)],
            metavar=_metavar(setting.field.annotation),
            help=f"{setting.field.description}  [{default_text(setting)}]",
        )
        self.setting = setting.name
        self.section = setting.section


class ReflectionOption(click.Option):
    """`--reflection` for `--server.reflection true`."""

    def __init__(self) -> None:
        super().__init__(
            ["server__reflection_flag", "--reflection/--no-reflection"],
            default=None,
            help="Short for --server.reflection true or false.",
        )


def setting_options(wanted: Collection[str]) -> list[click.Parameter]:
    """The flags of these settings; each of `wanted` is a section or one setting at the top."""
    return [
        SettingOption(setting)
        for setting in SETTINGS
        if (setting.section or setting.name) in wanted and setting.name not in SECRETS
    ]


def given(values: dict[str, Any]) -> dict[str, object]:
    """What was given on the command line, by the settings' dotted names."""
    flags = {
        setting.name: value
        for setting in SETTINGS
        if (value := values.get(_parameter(setting.name))) is not None
    }
    if values.get("server__reflection_flag") is not None:
        flags["server.reflection"] = values["server__reflection_flag"]
    return flags


def _normal(word: str) -> str:
    """`--http-listne` as click names it: with underscores."""
    return word[:2] + word[2:].replace("-", "_")


def _how_else(secret: str) -> str:
    """Where to put a secret, which has no flag."""
    section, _, key = secret.partition(".")
    in_file = f"{secret}_file"
    names = {setting.name for setting in SETTINGS}
    other = f"--{in_file} FILE" if in_file in names else f"{key} in [{section}] of the TOML file"
    return (
        f"{secret} is a secret and has no flag, because process lists show flags; set"
        f" {variable(secret)} or {other}"
    )


def _parameter(name: str) -> str:
    return name.replace(".", "__")


def _metavar(kind: object) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        inner = [part for part in get_args(kind) if part is not type(None)]
        if len(inner) == 1:
            return _metavar(inner[0])
        return "N" if int in inner else "auto|true|false"
    if get_origin(kind) is list:
        return "A,B,..."
    names: dict[object, str] = {float: "NUMBER", int: "N", bool: "true|false"}
    return names.get(kind, "TEXT")
