"""``python -m fmas_evaluate.cli``, where the script is not on the path."""

from __future__ import annotations

import sys

from fmas_evaluate.cli import main

if __name__ == "__main__":
    sys.exit(main())
