"""From the masks that a promptable segmenter proposes to the one foreground that a run needs."""

from __future__ import annotations
