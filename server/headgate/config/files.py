"""Reading the files that settings name."""

from pathlib import Path

from headgate.config.fault import ConfigError
from headgate.config.values import check_secret


def read_secret(setting: str, path: str) -> str:
    """The secret that a file holds, in clear; not for logs.

    Raises:
        ConfigError: the file cannot be read, or holds no secret that can be sent.
    """
    secret = read(setting, path).strip()
    if not secret:
        raise ConfigError([f"{setting}: {path} is empty"])
    try:
        return check_secret(secret)
    except ValueError as error:
        raise ConfigError([f"{setting}: the secret in it {error}"]) from None


def read(setting: str, path: str) -> str:
    """The UTF-8 text that a file holds; the setting that names the file is for the complaint.

    Raises:
        ConfigError: the file cannot be read, or is something else.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{setting}: {path} is not UTF-8 text"]) from None
