"""Every setting once: name, default, one line of help, and what is allowed.

File (TOML), environment, flags, `headgate check` and the README's table all derive from the
models in `sections`; `load` puts the sources together.
"""

from headgate.config.effective import effective, limits_line
from headgate.config.fault import ConfigError, StartError
from headgate.config.load import load
from headgate.config.log import LogSettings, log_warnings
from headgate.config.metrics import MetricsSettings
from headgate.config.renew import changes, renewed, without_files
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
from headgate.config.telemetry import TelemetrySettings
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
    "LogSettings",
    "MetricsSettings",
    "RetrySettings",
    "SandboxSettings",
    "ServerSettings",
    "Settings",
    "StartError",
    "SystemPromptSettings",
    "TelemetrySettings",
    "ThrottleSettings",
    "TlsSettings",
    "UpstreamSettings",
    "changes",
    "effective",
    "limits_line",
    "load",
    "log_warnings",
    "parse_address",
    "plain_text_warnings",
    "renewed",
    "without_files",
]
