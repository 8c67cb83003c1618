"""Every setting once: name, default, one line of help, and what is allowed.

File (TOML), environment, flags, `headgate check` and the README's table all derive from the
models in `sections`; `load` puts the sources together.
"""

from headgate.config.effective import effective, limits_line
from headgate.config.fault import ConfigError, StartError
from headgate.config.load import load
from headgate.config.metrics import MetricsSettings
from headgate.config.sections import (
    CallerLimits,
    CallersSettings,
    HttpSettings,
    IdempotencySettings,
    RetrySettings,
    SandboxSettings,
    ServerSettings,
    SystemPromptSettings,
    ThrottleSettings,
    UpstreamSettings,
)
from headgate.config.security import AuthSettings, TlsSettings
from headgate.config.settings import SANDBOX_DEFAULTS, Settings, plain_text_warnings
from headgate.config.values import Address, parse_address

__all__ = [
    "SANDBOX_DEFAULTS",
    "Address",
    "AuthSettings",
    "CallerLimits",
    "CallersSettings",
    "ConfigError",
    "HttpSettings",
    "IdempotencySettings",
    "MetricsSettings",
    "RetrySettings",
    "SandboxSettings",
    "ServerSettings",
    "Settings",
    "StartError",
    "SystemPromptSettings",
    "ThrottleSettings",
    "TlsSettings",
    "UpstreamSettings",
    "effective",
    "limits_line",
    "load",
    "parse_address",
    "plain_text_warnings",
]
