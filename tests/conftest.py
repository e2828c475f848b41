"""Settings for every test: property-based tests draw the same examples on every machine and at any load."""

from __future__ import annotations

import signal

from hypothesis import settings

# Wall-clock deadlines fail on a busy machine, and an example that only one run drew cannot be found again.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

# A shell starts what it puts into the background with Ctrl-C ignored, and every process started from there inherits
# that; the tests that interrupt a command would then wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
