"""How every check reports a breach."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ConformanceError",
    "require",
    "require_image",
    "require_number",
    "require_protocol",
    "require_untouched",
]


class ConformanceError(AssertionError):
    """A plugin or a component breaks its contract; the message says what was expected, what arrived and what to do."""


def require(kept: object, *, expected: str, got: object, fix: str) -> None:
    """Raise unless ``kept`` is truthy.

    Args:
        kept: Whether the contract is kept.
        expected: What the contract asks for.
        got: What arrived.
        fix: What the author of the component should do.

    Raises:
        ConformanceError: If it is not.
    """
    if not kept:
        raise ConformanceError(f"expected {expected}, got {got}; {fix}")


def require_protocol(component: object, protocol: type) -> None:
    """Raise unless ``component`` has every member of a runtime-checkable protocol."""
    missing = [one for one in dir(protocol) if not one.startswith("_") and not hasattr(component, one)]
    require(
        isinstance(component, protocol),
        expected=f"an object that fulfils fmas.protocols.{protocol.__name__}",
        got=f"a {type(component).__name__} without {', '.join(missing) or 'some of its methods'}",
        fix="add what is missing",
    )


def require_image(image: object, shape: tuple[int, ...], dtype: type[np.generic], *, what: str) -> None:
    """Raise unless ``image`` is an array of exactly this shape and dtype."""
    described = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
    require(
        isinstance(image, np.ndarray) and image.shape == shape and image.dtype == dtype,
        expected=f"{what} as a numpy array {np.dtype(dtype).name} {shape}",
        got=described,
        fix="convert it before you return it",
    )


def require_number(value: object, *, lowest: float = -math.inf, highest: float = math.inf, what: str, fix: str) -> None:
    """Raise unless ``value`` is a finite Python float in ``[lowest, highest]`` (a ``numpy.float64`` is one, too)."""
    require(
        isinstance(value, float) and math.isfinite(value) and lowest <= value <= highest,
        expected=f"{what} as a finite float in [{lowest}, {highest}]",
        got=f"{value!r} ({type(value).__name__})",
        fix=fix,
    )


def require_untouched(given: NDArray[np.generic], before: NDArray[np.generic], *, what: str) -> None:
    """Raise unless ``given`` still equals the copy that was taken before the call."""
    require(
        np.array_equal(given, before),
        expected=f"{what} to be left alone",
        got=f"{int((given != before).sum())} changed values in it",
        fix="work on a copy",
    )
