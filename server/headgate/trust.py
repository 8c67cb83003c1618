"""Whose certificates are believed on connections that headgate opens."""

from __future__ import annotations

import ssl

import certifi

from headgate.config import ConfigError


def authorities(setting: str, path: str | None) -> ssl.SSLContext:
    """A context for clients, with the authorities in the file; None: the usual ones.

    Raises:
        ConfigError: the file, which the setting of this name gives, cannot be read or holds none.
    """
    try:
        return ssl.create_default_context(cafile=path or certifi.where())
    except ssl.SSLError:
        raise ConfigError([f"{setting}: {path} holds no PEM certificate"]) from None
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path}: {error.strerror}"]) from None
