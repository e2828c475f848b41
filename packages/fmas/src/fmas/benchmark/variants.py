"""What is compared with what: the columns of the paper's ablation, and the same questions asked of ``unet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fmas.errors import UsageError, suggest

__all__ = ["CONTRASTS", "QUICK", "VARIANTS", "Contrast", "Variant", "chosen_variants"]

_DEFAULT_OPTIONS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train.

    Attributes:
        name: As tables and ``--variants`` have it.
        detector: Registered name of the detector.
        options: What sets it apart, options of that detector.
        published: Its column in the authors' table, if it has one.
    """

    name: str
    detector: str
    options: Mapping[str, bool | str]
    published: str | None = None

    @property
    def looks_through_wdam(self) -> bool:
        """Whether its network holds WDAM."""
        return self.options["wdam"] is True


@dataclass(frozen=True, slots=True)
class Contrast:
    """One question: does ``variant`` do better than ``baseline``?

    Attributes:
        asks: What the difference between the two is.
        variant: Name of the one with it.
        baseline: Name of the one without it.
    """

    asks: str
    variant: str
    baseline: str


def _cutpaste(name: str, column: str, *, fmas: bool = False, foreground: bool = False, wdam: bool = False) -> Variant:
    return Variant(name, "cutpaste", {"fmas": fmas, "foreground": foreground, "wdam": wdam}, column)


def _unet(name: str, anomalies: str, *, wdam: bool) -> Variant:
    return Variant(name, "unet", {"anomalies": anomalies, "wdam": wdam})


VARIANTS: tuple[Variant, ...] = (
    _cutpaste("cutpaste", "cutpaste"),
    _cutpaste("cutpaste+fmas", "fmas", fmas=True),
    _cutpaste("cutpaste+fmas+fm", "fm", fmas=True, foreground=True),
    _cutpaste("cutpaste+fmas+fm+wdam", "wdam", fmas=True, foreground=True, wdam=True),
    _unet("unet-scars", "scars", wdam=False),
    _unet("unet-scars+wdam", "scars", wdam=True),
    _unet("unet-fmas", "fmas", wdam=False),
    _unet("unet-fmas+wdam", "fmas", wdam=True),
)

QUICK: tuple[str, ...] = tuple(variant.name for variant in VARIANTS if variant.detector == "unet")

CONTRASTS: tuple[Contrast, ...] = (
    Contrast("FMAS", "cutpaste+fmas", "cutpaste"),
    Contrast("FM", "cutpaste+fmas+fm", "cutpaste+fmas"),
    Contrast("WDAM", "cutpaste+fmas+fm+wdam", "cutpaste+fmas+fm"),
    Contrast("FMAS instead of scars", "unet-fmas", "unet-scars"),
    Contrast("FMAS instead of scars, both with WDAM", "unet-fmas+wdam", "unet-scars+wdam"),
    Contrast("WDAM, trained on FMAS", "unet-fmas+wdam", "unet-fmas"),
    Contrast("WDAM, trained on scars", "unet-scars+wdam", "unet-scars"),
)


def chosen_variants(names: Sequence[str], *, quick: bool) -> tuple[Variant, ...]:
    """Return the variants to run, in the order of the tables.

    Args:
        names: ``--variants``; all by default.
        quick: Take the four of ``unet`` by default.

    Raises:
        UsageError: If a name is none of ours.
    """
    known = [variant.name for variant in VARIANTS]
    for name in names:
        if name not in known:
            raise UsageError(f"expected a variant, got {name!r}; {suggest(name, known)}")
    wanted = names or (QUICK if quick else known)
    return tuple(variant for variant in VARIANTS if variant.name in wanted)
