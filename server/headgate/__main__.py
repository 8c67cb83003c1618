"""`python -m headgate`, and the command `headgate`."""

import signal
import sys


def main() -> int:
    """Run the command line; the exit status.

    Until a server has taken over the signals, Ctrl-C is the end and no traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from headgate.cli import main as command_line  # noqa: PLC0415 - it takes long to import

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
