"""Stage 3: paint several candidates per pair, refine each one's mask at once, paint again what is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fmas.components import ComponentHandle
from fmas.config import CropConfig, RefineConfig
from fmas.crop import Crop, cut_crop
from fmas.errors import ComponentError
from fmas.protocols import Inpainter
from fmas.refine import Refined, refine
from fmas.samples import Candidate, Failure, Pair, Rejection, RejectReason, Sample
from fmas.seeds import SampleSeeds
from fmas.stages import Resources
from fmas.types import Defect, Fingerprint

__all__ = ["InpaintStage"]


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """One candidate that is still to be accepted."""

    sample: int
    pair: int
    candidate: int
    crop: Crop
    defect: Defect
    seeds: SampleSeeds


class InpaintStage:
    """Fills every pair's candidates.

    Args:
        inpainter: The component.
        candidates: How many per pair.
        crop: What the inpainter sees.
        refine_config: When a candidate is accepted, and how often it is painted again.
        run_seed: The run's seed.
        category: The category's folder name.
    """

    name = "inpaint"
    resources = Resources()
    batch_size = 4

    def __init__(
        self,
        inpainter: ComponentHandle[Inpainter],
        *,
        candidates: int,
        crop: CropConfig,
        refine_config: RefineConfig,
        run_seed: int,
        category: str,
    ) -> None:
        self._inpainter = inpainter
        self._candidates = candidates
        self._crop = crop
        self._refine = refine_config
        self._run_seed = run_seed
        self._category = category

    def setup(self) -> None:
        """Create the inpainter."""
        self._inpainter.get()

    def fingerprint(self) -> Fingerprint:
        """Return the inpainter's together with what the core does around it."""
        inpainter = self._inpainter.fingerprint()
        return Fingerprint(
            self.name,
            "1",
            {
                "inpainter": inpainter.digest(),
                "candidates": self._candidates,
                "crop": self._crop.model_dump(mode="json"),
                "refine": self._refine.model_dump(mode="json"),
            },
        )

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Paint until every candidate is accepted or out of attempts; all of a batch's candidates go together."""
        accepted: dict[tuple[int, int], list[Candidate]] = {}
        rejected: dict[tuple[int, int], list[Rejection]] = {}
        wanted = self._wanted(batch)
        for attempt in range(self._refine.attempts):
            if not wanted:
                break
            still_wanted: list[_Wanted] = []
            for item, seed, outcome in self._paint(wanted, attempt):
                key = (item.sample, item.pair)
                if isinstance(outcome, Refined):
                    candidate = Candidate(
                        index=item.candidate,
                        attempt=attempt,
                        seed=seed,
                        box=item.crop.box,
                        image=outcome.image,
                        mask=outcome.mask,
                        noise_floor=outcome.noise_floor,
                        high=outcome.high,
                    )
                    accepted.setdefault(key, []).append(candidate)
                else:
                    rejection = Rejection(item.candidate, attempt, seed, outcome)
                    rejected.setdefault(key, []).append(rejection)
                    still_wanted.append(item)
            wanted = still_wanted
        return [
            replace(
                sample,
                pairs=tuple(
                    _with_candidates(
                        pair, accepted.get((number, pair.index), []), rejected.get((number, pair.index), [])
                    )
                    for pair in sample.pairs
                ),
            )
            for number, sample in enumerate(batch)
        ]

    def _wanted(self, batch: Sequence[Sample]) -> list[_Wanted]:
        wanted = []
        inpainter = self._inpainter.get()
        for number, sample in enumerate(batch):
            if sample.image is None or sample.foreground is None:  # held out
                continue
            for pair in sample.active:
                if pair.region is None or pair.defect is None:
                    continue
                crop = cut_crop(sample.image, sample.foreground.mask, pair.region, self._crop, inpainter)
                seeds = SampleSeeds(self._run_seed, self._category, sample.source.relative, pair.index)
                wanted += [
                    _Wanted(number, pair.index, candidate, crop, pair.defect, seeds)
                    for candidate in range(self._candidates)
                ]
        return wanted

    def _paint(self, wanted: Sequence[_Wanted], attempt: int) -> list[tuple[_Wanted, int, Refined | RejectReason]]:
        seeds = [item.seeds.candidate(item.candidate, attempt) for item in wanted]
        jobs = [item.crop.job(item.defect, seed) for item, seed in zip(wanted, seeds, strict=True)]
        outputs = self._inpainter.get().inpaint(jobs)
        if len(outputs) != len(jobs):
            raise ComponentError(
                f"expected {len(jobs)} crops from the inpainter, got {len(outputs)}; "
                "check it with fmas.testing.check_inpainter"
            )
        results = []
        for item, seed, output in zip(wanted, seeds, outputs, strict=True):
            crop = item.crop
            raw = crop.restore(output)
            results.append((item, seed, refine(crop.image, raw, crop.region, crop.foreground, self._refine)))
        return results


def _with_candidates(pair: Pair, accepted: list[Candidate], rejected: list[Rejection]) -> Pair:
    accepted.sort(key=lambda candidate: candidate.index)
    failure = pair.failure
    if rejected and not accepted:
        reasons = ", ".join(sorted({rejection.reason.value for rejection in rejected}))
        failure = Failure(
            InpaintStage.name,
            "rejected",
            f"expected an accepted candidate, got {len(rejected)} rejected ones ({reasons}); "
            "raise refine.attempts or choose another --inpainter or defect",
        )
    return replace(pair, candidates=tuple(accepted), rejections=tuple(rejected), failure=failure)
