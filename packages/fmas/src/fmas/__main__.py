"""``python -m fmas`` is ``fmas``."""

from __future__ import annotations

from fmas.cli import main

if __name__ == "__main__":
    main()
