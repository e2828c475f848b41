"""What a run has to do, what of it is done already, and the manifest lines that say so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fmas.balance import Balance
from fmas.config import RunConfig
from fmas.controls import control_pair, wants_control
from fmas.decisions import Decisions
from fmas.errors import OutputError, UsageError
from fmas.layout import CONTROL_STEM, OutputLayout
from fmas.manifest import ManifestEntry
from fmas.plan import StoredPlan
from fmas.refill import DROPPED_AGAIN
from fmas.samples import Failure, Pair, Sample
from fmas.seeds import SampleSeeds
from fmas.sources import Source
from fmas.write import rejection_rows

__all__ = [
    "manifest_entries",
    "refuse_changed_photographs",
    "refuse_lost_manifest",
    "refuse_too_many",
    "wanted_samples",
]

_MOST_STEMS = CONTROL_STEM


def wanted_samples(
    config: RunConfig, sources: Sequence[Source], plan: StoredPlan | None = None, balance: Balance | None = None
) -> list[Sample]:
    """Return what this shard is to make. Stems count over all sources, so that a failure leaves a gap.

    Args:
        config: The run.
        sources: All photographs.
        plan: Whose defects ``balance`` gives out.
        balance: Gives every pair its defect, counted over the pairs of all sources; by default the region stage does.
    """
    shard, shards = config.shard
    order = balance.order(config.seed, config.category_name) if balance is not None else None
    samples = []
    for source in sources[: config.limit]:
        ours = source.index % shards == shard - 1
        if not ours and order is None:
            continue
        first = source.index * config.per_image
        seeds = SampleSeeds(config.seed, config.category_name, source.relative, 0)
        held_out = config.holdout_good > 0 and seeds.fraction("holdout") < config.holdout_good
        pairs = [Pair(index, first + index) for index in range(1 if held_out else config.per_image)]
        if order is not None and plan is not None and not held_out:
            assigned = [next(order) for _ in pairs]
            pairs = [
                replace(pair, defect=plan.defects[number], defect_slug=plan.slugs[number])
                for pair, number in zip(pairs, assigned, strict=True)
            ]
        if not held_out and wants_control(config, seeds):
            pairs.append(control_pair(config, source.index, pairs))
        if ours:
            samples.append(Sample(source, tuple(pairs), held_out=held_out))
    return samples


def refuse_too_many(config: RunConfig, photographs: int) -> None:
    """Refuse a run whose stems would not fit into six digits.

    From a million on, ``100000_mask.png`` sorts behind ``1000000_mask.png`` while the images sort the other way, and
    loaders that pair by position would swap masks without a word.

    Raises:
        UsageError: If there are too many.
    """
    if photographs * config.per_image > _MOST_STEMS:
        raise UsageError(
            f"expected at most {_MOST_STEMS} pairs in one data set, got {photographs} photographs times "
            f"{config.per_image}; split the folder into several runs"
        )


def refuse_lost_manifest(layout: OutputLayout) -> None:
    """Refuse to begin again over finished images when the record of them is gone: they may have cost money.

    Raises:
        OutputError: If there are images but no manifest folder, which is made before the first image is.
    """
    if layout.dataset.is_dir() and not layout.manifest.exists() and any(layout.dataset.glob("*/*/*.png")):
        raise OutputError(
            f"expected {layout.manifest}, which says what is finished, got images without it; restore it, or choose "
            "another --out"
        )


def refuse_changed_photographs(wanted: Sequence[Sample], done: Mapping[int, str]) -> None:
    """See whether these are the photographs that the finished pairs were made of, not others of the same names.

    Looks at the first, the middle and the last finished one: reading them all would cost as much as a run.

    Raises:
        OutputError: If one has changed.
    """
    finished = [(sample.source, done[pair.stem]) for sample in wanted for pair in sample.pairs if pair.stem in done]
    for place in sorted({0, len(finished) // 2, len(finished) - 1}) if finished else ():
        source, known = finished[place]
        try:
            with source.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue  # its pairs are finished; what cannot be read cannot be compared
        if digest != known:
            raise OutputError(
                f"expected the photographs that the finished pairs were made of, but {source.relative!r} has changed; "
                "restore them, or choose another --out"
            )


def manifest_entries(sample: Sample, decisions: Decisions) -> Iterator[ManifestEntry]:
    """Yield one line for every pair of a sample that came out of the stages.

    A picture made anew that comes out as one that was dropped before has failed, because what was dropped never comes
    back; the next run makes the generation after it.
    """
    for pair in sample.pairs:
        failure: Failure | None = sample.failure or pair.failure
        generation = pair.generation
        if failure is None and not pair.files:
            raise OutputError(f"expected pair {pair.stem} written or failed, got neither; this is a bug in a stage")
        if failure is None and pair.generation and pair.row is not None:
            verdict = decisions.verdict(pair.stem, pair.row.get("image_sha256"))
            if verdict == "drop":
                failure, generation = Failure("review", DROPPED_AGAIN, _DROPPED_AGAIN), generation + 1
        yield ManifestEntry(
            stem=pair.stem,
            source=sample.source.relative,
            status="failed" if failure else "done",
            files={} if failure else pair.files,
            sizes={} if failure else pair.sizes,
            row=None if failure else pair.row,
            failure={"stage": failure.stage, "reason": failure.reason, "message": failure.message} if failure else None,
            rejections=tuple(rejection_rows(pair)),
            candidates={} if failure else pair.kept,
            generation=generation,
        )


_DROPPED_AGAIN = (
    "expected another picture in the place of the dropped one, got one that was dropped before; run the same command "
    "again to make the next, or try another --inpainter into another --out"
)
