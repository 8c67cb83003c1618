"""The embedded sandbox: the published API in front of a small deterministic model."""

from headgate.sandbox.running import RunningSandbox, serve_sandbox, start_sandbox

__all__ = ["RunningSandbox", "serve_sandbox", "start_sandbox"]
