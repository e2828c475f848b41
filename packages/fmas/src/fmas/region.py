"""Stage 3: decide which defect goes where on the product, within what the user allows.

Defects that reach over the product's edge (fray, break) may leave it by a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fmas.config import RegionConfig
from fmas.placement import Ground, Place
from fmas.plan import StoredPlan
from fmas.region_drawing import draw_region
from fmas.samples import Failure, Pair, Sample
from fmas.seeds import SampleSeeds
from fmas.stages import Resources
from fmas.types import Defect, Fingerprint
from fmas.user_masks import UserMasks

__all__ = ["RegionStage"]

_VERSION = "3"  # raise it whenever the same input would give another region


class RegionStage:
    """Gives every pair its defect and its region.

    Args:
        plan: What can go wrong.
        config: Shapes and sizes.
        run_seed: The run's seed.
        category: The category's folder name.
        masks: Where the user allows defects.
    """

    name = "region"
    resources = Resources()
    batch_size = 1

    def __init__(
        self,
        plan: StoredPlan,
        config: RegionConfig,
        *,
        run_seed: int,
        category: str,
        masks: UserMasks | None = None,
    ) -> None:
        self._plan = plan
        self._config = config
        self._run_seed = run_seed
        self._category = category
        self._masks = masks if masks is not None else UserMasks()

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Draw a defect and a region for each pair."""
        return [self._process_one(sample) for sample in batch]

    def fingerprint(self) -> Fingerprint:
        """Return the region's options, the digests of the user's masks and the plan's digest."""
        content = {**self._config.identity(), "masks": dict(self._masks.digests), "plan": self._plan.digest()}
        return Fingerprint(self.name, _VERSION, content)

    def _process_one(self, sample: Sample) -> Sample:
        if sample.foreground is None:  # held out: nothing is painted
            return sample
        mask = sample.foreground.mask
        ground = Ground(sample.foreground, self._masks.allowed(sample.source, (mask.shape[0], mask.shape[1])))
        return replace(sample, pairs=tuple(self._place(ground, sample, pair) for pair in sample.pairs))

    def _place(self, ground: Ground, sample: Sample, pair: Pair) -> Pair:
        seeds = SampleSeeds(self._run_seed, self._category, sample.source.relative, pair.seeds_as)
        if pair.defect is None:
            choice = self._choose(ground, seeds)
            pair = replace(pair, defect=self._plan.defects[choice], defect_slug=self._plan.slugs[choice])
        defect = pair.defect
        if defect is None:
            raise ValueError(f"expected a defect for pair {pair.stem}, got none; this is a bug in the region stage")
        place = self._where(defect, ground)
        generator = seeds.region(pair.generation)
        config = self._config
        if defect.kind.spreads and place != "edge":
            config = config.model_copy(update={"area": config.spread_area})
        drawn = [
            draw_region(ground, config=config, place=place, over_border=defect.kind.reaches_edge, generator=generator)
            for _ in range(self._config.placements)
        ]
        placements = tuple(region for region in drawn if region is not None)
        failure = None if placements else Failure(self.name, "no_region", self._why_none(ground, place))
        return replace(pair, placements=placements, failure=failure)

    def _choose(self, ground: Ground, seeds: SampleSeeds) -> int:
        """Draw one of the plan's defects; where there is no edge, what needs one is left out while there is more."""
        possible = list(range(len(self._plan.defects)))
        if ground.is_texture or (ground.allowed is not None and not ground.has_edge):
            possible = [index for index in possible if not self._needs_edge(self._plan.defects[index])] or possible
        return possible[int(seeds.generator("defect").integers(len(possible)))]

    def _needs_edge(self, defect: Defect) -> bool:
        wanted = self._wanted(defect)
        return defect.placement == "edge" or (defect.kind.reaches_edge and wanted == "edge")

    def _wanted(self, defect: Defect) -> Place:
        """Return where a defect belongs: by its own word, else by the run's, else by its kind."""
        for wish in (defect.placement, self._config.placement):
            if wish != "auto":
                return wish
        return "edge" if defect.kind.reaches_edge else "anywhere"

    def _where(self, defect: Defect, ground: Ground) -> Place:
        """Return where to put it on this photograph.

        A product without an edge is used as a texture is. Where it has one that the user excludes, only a defect that
        nobody asked to be at the edge goes elsewhere.
        """
        place = self._wanted(defect)
        if place != "edge" or ground.has_edge:
            return place
        asked = "edge" in (defect.placement, self._config.placement)
        return "edge" if asked and ground.whole_edge.any() else "anywhere"

    def _why_none(self, ground: Ground, place: Place) -> str:
        """Say why there is no place, and what to do about it."""
        allowed = ground.allowed
        advice = "mend the mask, or try another --segmenter, into another --out"
        if allowed is not None and not allowed.any():
            return f"expected some place that region.mask and region.avoid allow, got none on this photograph; {advice}"
        if allowed is not None and not ground.anywhere.count:
            return (
                f"expected the place that region.mask and region.avoid allow on the product, got its "
                f"{int(allowed.sum())} pixels all outside the product's {ground.product_area}; {advice}"
            )
        if allowed is not None and not ground.pixels(place, self._config.inside_margin).count:
            where = "at the product's edge" if place == "edge" else "inside the product"
            return (
                f"expected a place {where}, got none of it among the {ground.anywhere.count} pixels that region.mask "
                "and region.avoid allow on it; mend the mask or the defect's placement, into another --out"
            )
        return (
            f"expected {self._config.min_pixels} connected pixels to put a {self._config.shape} on, got none in "
            f"{self._config.redraws + 1} draws; try a lower region.min_pixels or region.area into another --out"
        )
