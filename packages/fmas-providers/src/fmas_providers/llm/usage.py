"""What was asked and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

__all__ = ["Tokens", "UsageMeter"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one reply used; ``None`` where the service did not say (compatible servers often do not)."""

    input: int | None = None
    output: int | None = None


class UsageMeter:
    """Adds up.

    Args:
        price_input: US dollars per million input tokens; ``None`` if unknown.
        price_output: US dollars per million output tokens; ``None`` if unknown.
    """

    def __init__(self, *, price_input: float | None = None, price_output: float | None = None) -> None:
        self._prices = (price_input, price_output)
        self._lock = Lock()  # pictures are asked for in several threads
        self._calls = 0
        self._input = 0
        self._output = 0
        self._uncounted = 0

    def add(self, tokens: Tokens) -> None:
        """Count one reply."""
        with self._lock:
            self._calls += 1
            self._input += tokens.input or 0
            self._output += tokens.output or 0
            self._uncounted += tokens.input is None or tokens.output is None

    def as_dict(self) -> dict[str, object]:
        """Return the totals as JSON values; ``cost_usd`` is ``None`` unless both prices and all tokens are known."""
        price_input, price_output = self._prices
        known = price_input is not None and price_output is not None and not self._uncounted
        cost = (
            round((self._input * (price_input or 0.0) + self._output * (price_output or 0.0)) / 1e6, 6)
            if known
            else None
        )
        return {
            "calls": self._calls,
            "input_tokens": self._input,
            "output_tokens": self._output,
            "replies_without_usage": self._uncounted,
            "cost_usd": cost,
        }
