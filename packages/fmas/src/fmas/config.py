"""What a run is told: one tree of pydantic models, the same for ``fmas run``, YAML files and ``synthesize()``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from fmas.intensity import DEFAULT_INTENSITY, INTENSITIES, WORDS_MEAN, ordered_band, parse_intensity
from fmas.proportions import canonical_proportions
from fmas.secrecy import first_secret_setting
from fmas.slugs import slug
from fmas.types import Placement

__all__ = [
    "ComponentConfig",
    "CropConfig",
    "PaintConfig",
    "RefineConfig",
    "RegionConfig",
    "RegionShape",
    "RunConfig",
    "SelectConfig",
    "WriteConfig",
]

RegionShape: TypeAlias = Literal["rectangle", "ellipse", "stroke", "blob"]
Anything: TypeAlias = object  # inside RunConfig the word `object` is a field
Fraction: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]

_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ComponentConfig(BaseModel):
    """Which component to use, and its own options beside the name; ``llm: openai`` is short for ``{name: openai}``."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    name: str = "builtin"

    @model_validator(mode="before")
    @classmethod
    def _accept_bare_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _refuse_secrets(self) -> ComponentConfig:
        if key := first_secret_setting(self.__pydantic_extra__):
            # The resolved configuration is written to OUT; a key must never get that far.
            raise ValueError(
                f"option {key!r} would put a secret into a file; leave it out and set the variable that its "
                "SDK reads, e.g. OPENAI_API_KEY"
            )
        return self

    @property
    def options(self) -> dict[str, JsonValue]:
        """The component's own options."""
        return dict(self.__pydantic_extra__)


def _ordered(value: tuple[float, float], what: str) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"expected {what} as LOW, HIGH with LOW <= HIGH, got {value[0]}, {value[1]}; swap them")
    return value


class RegionConfig(_Section):
    """Where a defect may be painted.

    Attributes:
        shape: ``rectangle`` is the paper's.
        area: Smallest and largest area, as a fraction of the foreground's.
        spread_area: The same for kinds that spread over a surface (stain, discoloration, and fray that is no edge): one
            may well cover half of a part.
        aspect: Smallest and largest width / height.
        min_pixels: Least area in pixels: a defect in a smaller region could not be seen.
        max_pixels: Greatest area in pixels; where ``area`` would exceed it on a large photograph, all regions are
            scaled down alike. A large photograph is taken because defects are small on it, and no model paints more
            at once well.
        min_overlap: Least share of the shape that must lie on the foreground, and on what ``mask`` and ``avoid`` leave.
        min_overlap_at_border: The same for kinds that reach over the foreground's border.
        edge_margin: How far kinds such as fray and break may reach over the foreground's border, as a fraction of the
            shape's shorter side.
        redraws: How often a shape may be drawn again when too little of it lies on the foreground; each time its area
            shrinks by 3 %, below the smallest of ``area`` if it must. After that, as on a wire, a connected part of
            the foreground itself is taken.
        placements: How many regions are tried, one after the other, until a candidate is accepted in one.
        placement: Where on the product defects lie that do not say so themselves: ``anywhere``, at its ``edge``,
            ``inside`` away from it; ``auto`` goes by their kind. A texture has no edge.
        inside_margin: How far from the edge ``inside`` is, as a fraction of how far the innermost point is.
        mask: An image, white where defects may be, or a folder with one for each photograph; its pixels are part of the
            run, its path is not.
        avoid: An image, white where no defect may be, or a folder with one for some photographs; alike.
    """

    shape: RegionShape = "rectangle"
    area: tuple[float, float] = (0.01, 0.1)
    spread_area: tuple[float, float] = (0.02, 0.45)
    aspect: tuple[float, float] = (0.33, 3.0)
    min_pixels: int = Field(strict=True, default=100, ge=1)
    max_pixels: int = Field(strict=True, default=512 * 512, ge=1)
    min_overlap: Fraction = 0.6
    min_overlap_at_border: Fraction = 0.3
    edge_margin: Fraction = 0.35
    redraws: int = Field(strict=True, default=100, ge=0, le=10_000)
    placements: int = Field(strict=True, default=3, ge=1, le=100)
    placement: Placement = "auto"
    inside_margin: float = Field(default=0.25, ge=0.0, lt=1.0, allow_inf_nan=False)
    mask: Path | None = None
    avoid: Path | None = None

    def identity(self) -> dict[str, object]:
        """Return what of this can change a byte, as JSON values; masks count through their pixels, not their paths."""
        return self.model_dump(mode="json", exclude={"mask", "avoid"})

    @field_validator("area", "spread_area")
    @classmethod
    def _area(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= 1 or not 0 < value[1] <= 1:
            raise ValueError(f"expected fractions in (0, 1], got {value[0]}, {value[1]}")
        return _ordered(value, "area")

    @field_validator("aspect")
    @classmethod
    def _aspect(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.01 <= value[0] <= 100 or not 0.01 <= value[1] <= 100:
            raise ValueError(f"expected ratios in [0.01, 100], got {value[0]}, {value[1]}")
        return _ordered(value, "aspect")


class CropConfig(_Section):
    """What the inpainter sees around a region.

    Attributes:
        context: Border added on each side, as a multiple of the region's longer side.
        min_side: Crops are at least this many pixels wide and high where the image allows it.
    """

    context: float = Field(default=0.5, ge=0.0, le=10.0, allow_inf_nan=False)
    min_side: int = Field(strict=True, default=64, ge=1, le=4096)


class PaintConfig(_Section):
    """How a pair's candidates differ, so that there is something to choose from.

    Attributes:
        severity_spread: Candidates are painted with evenly spaced severities, from the planned one times 1 - spread to
            the planned one times 1 + spread, at most 1; a single candidate, or a spread of 0, keeps to the plan.
    """

    severity_spread: Fraction = 0.6

    def severity(self, planned: float, candidate: int, candidates: int) -> float:
        """Return the severity of one candidate, in [0, 1].

        Args:
            planned: The defect's severity in the plan, in [0, 1].
            candidate: Which candidate, from 0.
            candidates: How many there are.
        """
        place = 2 * candidate / (candidates - 1) - 1 if candidates > 1 else 0.0
        return round(min(max(planned * (1 + self.severity_spread * place), 0.0), 1.0), 6)


class RefineConfig(_Section):
    """When a change counts as a defect.

    Attributes:
        min_noise_floor: Changes up to this many grey levels never count, however quiet the backend is outside.
        min_peak: The largest change must reach this many grey levels.
        min_changed: Share of the mask's pixels that must have changed by at least one grey level.
        min_area: Components of the mask below this many pixels are dropped.
        attempts: How often each candidate is painted before it is given up.
    """

    min_noise_floor: int = Field(strict=True, default=4, ge=4, le=100)
    min_peak: int = Field(strict=True, default=8, ge=8, le=255)
    min_changed: float = Field(default=0.9, ge=0.9, le=1.0)
    min_area: int = Field(strict=True, default=8, ge=1)
    attempts: int = Field(strict=True, default=4, ge=1, le=100)


class SelectConfig(_Section):
    """Which candidate is kept.

    Attributes:
        band: Scores the selector should hit; the candidate nearest to the middle of the band wins. ``subtle``,
            ``medium``, ``strong`` and ``LO:HI`` are understood as well; the words stand for distances of the built-in
            selector.
    """

    band: tuple[float, float] = INTENSITIES[DEFAULT_INTENSITY]

    @field_validator("band", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return parse_intensity(value) if isinstance(value, str) else value

    @field_validator("band")
    @classmethod
    def _band(cls, value: tuple[float, float]) -> tuple[float, float]:
        return ordered_band(value)


class WriteConfig(_Section):
    """How files are written.

    Attributes:
        compress_level: zlib level of the PNG files; 0 is fastest, 9 smallest.
        keep_candidates: Whether every accepted candidate is kept in ``OUT/candidates``, for ``fmas select`` to choose
            from; not part of the run's identity.
    """

    compress_level: int = Field(strict=True, default=4, ge=0, le=9)
    keep_candidates: bool = Field(strict=True, default=True)

    def identity(self) -> dict[str, object]:
        """Return what can change a byte of the data set."""
        return self.model_dump(mode="json", exclude={"keep_candidates"})


class RunConfig(_Section):
    """Everything :func:`fmas.synthesize` needs to know.

    Attributes:
        images: A folder of photographs of good parts, or one photograph.
        out: The output folder.
        object: The product in words, as the LLM is told.
        category: Folder name of the category; else the slug of ``object`` where that leaves anything, else of the
            folder's name.
        per_image: Pairs per photograph.
        candidates: Candidates per pair, of which one is kept.
        seed: The run's seed.
        limit: Only the first N photographs; not part of the run's identity.
        workers: Processes; not part of the run's identity.
        shard: ``(I, N)``: this process does every N-th photograph from the I-th, from 1; not part of the identity.
        holdout_good: Share of the photographs that go to ``test/good`` instead of being used.
        controls: Share of the other photographs of which a normal image is made as well that took the same way through
            the inpainter as a defective one, without a defect.
        balance: Proportions of the defects: ``even``, ``even-kinds`` or ``scratch=3,dent=1`` by defect or kind; none
            to let chance decide.
        max_pixels: Larger photographs are refused before they are decoded; the default is the most that Pillow opens.
    """

    images: Path
    out: Path
    object: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"\S")
    category: str | None = None
    per_image: int = Field(strict=True, default=1, ge=1, le=1000)
    candidates: int = Field(strict=True, default=4, ge=1, le=100)
    seed: int = Field(strict=True, default=0, ge=0, lt=2**63)
    limit: int | None = Field(strict=True, default=None, ge=1)
    workers: int = Field(strict=True, default=1, ge=1, le=256)
    shard: tuple[int, int] = (1, 1)
    holdout_good: float = Field(default=0.0, ge=0.0, lt=1.0)
    controls: Fraction = 0.0
    balance: str | None = None
    max_pixels: int = Field(strict=True, default=178_956_970, ge=1, le=178_956_970)
    llm: ComponentConfig = ComponentConfig()
    segmenter: ComponentConfig = ComponentConfig()
    inpainter: ComponentConfig = ComponentConfig()
    selector: ComponentConfig = ComponentConfig()
    region: RegionConfig = RegionConfig()
    crop: CropConfig = CropConfig()
    paint: PaintConfig = PaintConfig()
    refine: RefineConfig = RefineConfig()
    select: SelectConfig = SelectConfig()
    write: WriteConfig = WriteConfig()

    @model_validator(mode="before")
    @classmethod
    def _refuse_words_for_other_distances(cls, values: Anything) -> Anything:
        """A word for an intensity stands for distances of the built-in selector, and of no other."""
        if not isinstance(values, Mapping):
            return values
        select, selector = values.get("select"), values.get("selector")
        band = select.get("band") if isinstance(select, Mapping) else None
        name = selector.get("name", "builtin") if isinstance(selector, Mapping) else selector
        if isinstance(band, str) and band.strip() in INTENSITIES and isinstance(name, str) and name != WORDS_MEAN[0]:
            raise ValueError(
                f"expected LO:HI as the intensity with the selector {name!r}, got {band.strip()!r}, which stands for "
                "distances of the builtin selector; run once, then fmas select OUT --intensity 0:1 --dry-run shows how "
                "its scores are distributed"
            )
        return values

    @field_validator("shard", mode="before")
    @classmethod
    def _parse_shard(cls, value: Anything) -> Anything:
        """Accept ``I/N`` as the command line writes it."""
        if isinstance(value, str):
            match = re.fullmatch(r"(\d+)/(\d+)", value.strip())
            if match is None:
                raise ValueError(f"expected I/N, e.g. 1/4, got {value!r}")
            return (int(match[1]), int(match[2]))
        return value

    @field_validator("shard")
    @classmethod
    def _check_shard(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError(f"expected I/N with 1 <= I <= N, got {value[0]}/{value[1]}; shards count from 1")
        return value

    @field_validator("balance", mode="before")
    @classmethod
    def _check_balance(cls, value: Anything) -> Anything:
        return None if value is None else canonical_proportions(value)

    @field_validator("category")
    @classmethod
    def _check_category(cls, value: str | None) -> str | None:
        if value is not None and not _CATEGORY.fullmatch(value):
            raise ValueError(
                f"expected a folder name of letters, digits, '_', '-' and '.', got {value!r}; "
                f"try {slug(value, fallback='category')!r}"
            )
        return value

    @property
    def category_name(self) -> str:
        """The category's folder name."""
        if self.category is not None:
            return self.category
        if self.object is not None and (name := slug(self.object, fallback="category")) != "category":
            return name
        images = self.images.resolve()
        return slug(images.stem if images.is_file() else images.name, fallback="category")

    @property
    def object_name(self) -> str:
        """What the LLM is told the product is."""
        return self.object if self.object is not None else self.category_name.replace("_", " ")
