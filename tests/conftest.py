"""What the tests need of the process that runs them."""

import signal

from hypothesis import settings

# A shell has its background jobs ignore Ctrl-C, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A stall of a busy machine is no fault of an example.
settings.register_profile("headgate", deadline=None)
settings.load_profile("headgate")
