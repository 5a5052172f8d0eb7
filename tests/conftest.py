"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell that starts a command with & has it ignore SIGINT, and so would every process that
# the tests start; several are there to see what Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)
