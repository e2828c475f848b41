"""Stage 4: paint several candidates per pair, refine each one's mask at once, paint again what is rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fmas.components import ComponentHandle
from fmas.config import CropConfig, PaintConfig, RefineConfig
from fmas.controls import IntactPaint, intact_surface, judge_intact, shape_candidate
from fmas.crop import Crop, cut_crop
from fmas.errors import ComponentError
from fmas.protocols import Inpainter
from fmas.refine import Refined, blank_paint, refine
from fmas.samples import Candidate, Failure, Pair, Region, Rejection, RejectReason, Sample
from fmas.seeds import SampleSeeds, first_attempt
from fmas.stages import Resources
from fmas.types import Defect, Fingerprint, InpaintJob

__all__ = ["InpaintStage"]

_JOBS_PER_CALL = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """One candidate that is still to be accepted."""

    sample: int
    pair: int
    candidate: int
    crop: Crop
    defect: Defect
    seeds: SampleSeeds
    first_attempt: int


@dataclass(slots=True)
class _Progress:
    """What has been painted of one pair so far."""

    accepted: list[Candidate] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    region: Region | None = None
    intact: Candidate | None = None

    def finish(self, pair: Pair) -> Pair:
        """Return the pair with its candidates, a control with its one picture, or failed when there are none."""
        accepted = tuple(sorted(self.accepted, key=lambda candidate: candidate.index)) if not pair.control else ()
        failure = pair.failure
        if self.rejected and not accepted and self.intact is None:
            reasons = ", ".join(sorted({rejection.reason.value for rejection in self.rejected}))
            failure = Failure(
                InpaintStage.name,
                "rejected",
                f"expected an accepted candidate, got {len(self.rejected)} rejected ones ({reasons}); "
                "try more refine.attempts or another --inpainter into another --out",
            )
        rejections = tuple(self.rejected)
        pair = replace(pair, region=self.region, candidates=accepted, rejections=rejections, failure=failure)
        return replace(pair, chosen=self.intact) if pair.control else pair


class InpaintStage:
    """Fills every pair's candidates.

    Args:
        inpainter: The component.
        candidates: How many per pair.
        crop: What the inpainter sees.
        paint: How much the candidates' severities differ.
        refine_config: When a candidate is accepted, and how often it is painted again.
        run_seed: The run's seed.
        category: The category's folder name.
        object_name: The product in words; controls are painted with the surface of one.
    """

    name = "inpaint"
    batch_size = 4

    def __init__(
        self,
        inpainter: ComponentHandle[Inpainter],
        *,
        candidates: int,
        crop: CropConfig,
        paint: PaintConfig,
        refine_config: RefineConfig,
        run_seed: int,
        category: str,
        object_name: str = "product",
    ) -> None:
        self._inpainter = inpainter
        self._candidates = candidates
        self._crop = crop
        self._paint_config = paint
        self._refine = refine_config
        self._run_seed = run_seed
        self._category = category
        self._object = object_name

    @property
    def resources(self) -> Resources:
        """What the component asks for."""
        return self._inpainter.resources()

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
                "paint": self._paint_config.model_dump(mode="json"),
                "refine": self._refine.model_dump(mode="json"),
            },
        )

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Paint until every candidate is accepted or out of attempts; all of a batch's candidates go together.

        A pair of which no candidate was accepted is painted in its next placement, with the next attempts' seeds.
        """
        progress = {(number, pair.index): _Progress() for number, sample in enumerate(batch) for pair in sample.active}
        for placement in range(max((len(pair.placements) for sample in batch for pair in sample.active), default=0)):
            wanted = self._wanted(batch, placement, progress)
            for attempt in range(self._refine.attempts):
                if not wanted:
                    break
                wanted = self._attempt(wanted, placement * self._refine.attempts + attempt, progress)
        self._paint_controls(batch, progress)
        finished = [
            replace(
                sample,
                pairs=tuple(
                    progress[number, pair.index].finish(pair) if (number, pair.index) in progress else pair
                    for pair in sample.pairs
                ),
            )
            for number, sample in enumerate(batch)
        ]
        # Told beside the first sample, so that it comes from a worker process the same way.
        return [replace(sample, usage=self._inpainter.new_usage()) for sample in finished[:1]] + finished[1:]

    def _wanted(
        self, batch: Sequence[Sample], placement: int, progress: Mapping[tuple[int, int], _Progress]
    ) -> list[_Wanted]:
        """Return every candidate of the pairs that have nothing accepted yet and a placement left."""
        wanted = []
        inpainter = self._inpainter.get()
        for number, sample in enumerate(batch):
            if sample.image is None or sample.foreground is None:  # held out
                continue
            for pair in sample.active:
                outcome = progress[number, pair.index]
                if outcome.accepted or placement >= len(pair.placements) or pair.defect is None:
                    continue
                outcome.region = pair.placements[placement]
                crop = cut_crop(sample.image, sample.foreground.mask, outcome.region, self._crop, inpainter)
                seeds = self._seeds(sample, pair)
                one = shape_candidate(seeds, self._candidates) if pair.control else None
                wanted += [
                    _Wanted(number, pair.index, candidate, crop, defect, seeds, first_attempt(pair.generation))
                    for candidate, defect in enumerate(
                        self._as_severe(pair.defect, candidate) for candidate in range(self._candidates)
                    )
                    if one in (None, candidate)
                ]
        return wanted

    def _seeds(self, sample: Sample, pair: Pair) -> SampleSeeds:
        return SampleSeeds(self._run_seed, self._category, sample.source.relative, pair.seeds_as)

    def _paint_controls(self, batch: Sequence[Sample], progress: Mapping[tuple[int, int], _Progress]) -> None:
        """Paint every control's shape again, intact this time."""
        wanted: list[tuple[_Progress, IntactPaint]] = []
        for number, sample in enumerate(batch):
            for pair in sample.active:
                outcome = progress[number, pair.index]
                if not pair.control or not outcome.accepted or outcome.region is None or pair.defect is None:
                    continue
                if sample.image is None or sample.foreground is None:
                    continue
                crop = cut_crop(sample.image, sample.foreground.mask, outcome.region, self._crop, self._inpainter.get())
                surface = intact_surface(pair.defect, self._object)
                wanted.append((outcome, IntactPaint(crop, outcome.accepted[0], surface, self._seeds(sample, pair))))
        for again in range(self._refine.attempts):
            open_ = [(outcome, paint) for outcome, paint in wanted if outcome.intact is None]
            for start in range(0, len(open_), _JOBS_PER_CALL):
                some = open_[start : start + _JOBS_PER_CALL]
                jobs = [paint.job(paint.shape.attempt + again) for _, paint in some]
                for (outcome, paint), job, output in zip(some, jobs, self._outputs(jobs), strict=True):
                    attempt = paint.shape.attempt + again
                    judged = judge_intact(paint, attempt, job, output)
                    if isinstance(judged, Candidate):
                        outcome.intact = judged
                    else:
                        outcome.rejected.append(Rejection(paint.shape.index, attempt, job.seed, judged))

    def _as_severe(self, defect: Defect, candidate: int) -> Defect:
        """Return the defect as severe as this candidate is to be."""
        severity = self._paint_config.severity(defect.severity, candidate, self._candidates)
        return defect.model_copy(update={"severity": severity})

    def _attempt(
        self, wanted: Sequence[_Wanted], attempt: int, progress: Mapping[tuple[int, int], _Progress]
    ) -> list[_Wanted]:
        """Paint each wanted candidate once, note the outcome, and return those that are still wanted."""
        still_wanted = []
        for item, seed, outcome in self._paint(wanted, attempt):
            pair_progress = progress[item.sample, item.pair]
            if isinstance(outcome, Refined):
                candidate = Candidate(
                    index=item.candidate,
                    attempt=item.first_attempt + attempt,
                    seed=seed,
                    box=item.crop.box,
                    image=outcome.image,
                    mask=outcome.mask,
                    noise_floor=outcome.noise_floor,
                    high=outcome.high,
                    severity=item.defect.severity,
                )
                pair_progress.accepted.append(candidate)
            else:
                pair_progress.rejected.append(Rejection(item.candidate, item.first_attempt + attempt, seed, outcome))
                still_wanted.append(item)
        return still_wanted

    def _paint(self, wanted: Sequence[_Wanted], attempt: int) -> Iterator[tuple[_Wanted, int, Refined | RejectReason]]:
        """Paint and refine a few candidates at a time, so that memory does not grow with how many are wanted."""
        for start in range(0, len(wanted), _JOBS_PER_CALL):
            some = wanted[start : start + _JOBS_PER_CALL]
            seeds = [item.seeds.candidate(item.candidate, item.first_attempt + attempt) for item in some]
            jobs = [item.crop.job(item.defect, seed) for item, seed in zip(some, seeds, strict=True)]
            for item, job, output in zip(some, jobs, self._outputs(jobs), strict=True):
                yield item, job.seed, self._judge(item.crop, job, output)

    def _outputs(self, jobs: Sequence[InpaintJob]) -> Sequence[object]:
        outputs = self._inpainter.get().inpaint(jobs)
        if len(outputs) != len(jobs):
            raise ComponentError(
                f"expected {len(jobs)} crops from the inpainter, got {len(outputs)}; "
                "check it with fmas.testing.check_inpainter"
            )
        return outputs

    def _judge(self, crop: Crop, job: InpaintJob, output: object) -> Refined | RejectReason:
        raw = crop.restore(output)  # checks what came back
        blank = blank_paint(job.image, np.asarray(output), job.region)
        return blank if blank is not None else refine(crop.image, raw, crop.region, crop.foreground, self._refine)
