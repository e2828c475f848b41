"""The components that come with ``fmas``: no torch, no key, no network. Plugins like any other, named ``builtin``."""
