"""Settings for every test: property-based tests draw the same examples on every machine and at any load."""

from __future__ import annotations

from hypothesis import settings

# Wall-clock deadlines fail on a busy machine, and an example that only one run drew cannot be found again.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
