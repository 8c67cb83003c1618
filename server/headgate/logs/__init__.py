"""What this process writes to stderr, one line for each thing that happened.

`lines` sets it up; `calls` writes a line for each call at its end, `attempts` one for each attempt
that failed; `transcript` writes prompts and answers, where an operator asks for that.
The root of this package knows no gRPC: a supervisor, which has none, logs too.
"""

from headgate.logs.lines import configure_logs, hide, set_level

__all__ = ["configure_logs", "hide", "set_level"]
