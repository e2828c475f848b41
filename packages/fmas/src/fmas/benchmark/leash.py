"""``python -m fmas.benchmark.leash ARGUMENTS`` is ``fmas ARGUMENTS`` that ends when its parent does.

The parent holds the other end of our standard input and never writes to it. However the parent dies, the system closes
that end. Without this, a killed benchmark would leave a training behind that holds the lock on a model, and the next
benchmark would find that cell taken.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

_SECONDS_TO_END_WELL = 10.0


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    # A step that can end well on a signal may; one that is deep in a library's loop hears no signal.
    timer = threading.Timer(_SECONDS_TO_END_WELL, os._exit, (1,))
    timer.daemon = True
    timer.start()
    signal.raise_signal(signal.SIGTERM)


def main() -> None:
    """Run ``fmas`` with a thread beside it that watches the parent."""
    threading.Thread(target=_end_with_parent, daemon=True, name="leash").start()
    sys.argv[0] = "fmas"
    runpy.run_module("fmas", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
