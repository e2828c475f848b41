"""The ``fmas`` command."""
