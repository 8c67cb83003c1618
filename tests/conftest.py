"""What the tests need of the process that runs them."""

import signal

# A shell has its background jobs ignore Ctrl-C, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
