"""The innermost door over HTTP; the only importer of the HTTP client outside the sandbox's face."""

from headgate.http_upstream.client import HttpUpstream
from headgate.http_upstream.report import AttemptReport

__all__ = ["AttemptReport", "HttpUpstream"]
