"""Every setting once: name, default, one line of help, and what is allowed.

File (TOML), environment, flags, `headgate check` and the README's table all derive from the
models in one file for each section; `load` puts the sources together.
"""

from headgate.config.callers import CallerLimits, CallersSettings
from headgate.config.effective import effective, limits_line
from headgate.config.fault import ConfigError, StartError
from headgate.config.http import HttpSettings
from headgate.config.idempotency import IdempotencySettings
from headgate.config.load import load
from headgate.config.log import LogSettings, log_warnings
from headgate.config.metrics import MetricsSettings
from headgate.config.renew import changes, renewed, without_files
from headgate.config.retry import RetrySettings
from headgate.config.sandbox import SandboxSettings
from headgate.config.security import AuthSettings, TlsSettings
from headgate.config.server import ServerSettings
from headgate.config.settings import SANDBOX_DEFAULTS, Settings, plain_text_warnings
from headgate.config.system_prompt import SystemPromptSettings
from headgate.config.telemetry import TelemetrySettings
from headgate.config.throttle import ThrottleSettings
from headgate.config.upstream import UpstreamSettings
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
