"""``fmas run`` as a function: segment -> region -> inpaint candidates -> refine -> select -> write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.derive import write_derived_files
from fmas.errors import ImageError, PlanError, UsageError
from fmas.executor import LocalExecutor
from fmas.identity import run_identity
from fmas.images import read_image
from fmas.inpaint import InpaintStage
from fmas.layout import OutputLayout
from fmas.manifest import ManifestEntry, ManifestIndex, ManifestWriter
from fmas.output import OpenOutput
from fmas.plan import StoredPlan, ask_for_plan, read_plan
from fmas.plugins import PluginRegistry, load_plugins
from fmas.region import RegionStage
from fmas.samples import Failure, Pair, Sample
from fmas.seeds import SampleSeeds
from fmas.segment import SegmentStage
from fmas.select import SelectStage
from fmas.sources import Source, scan_sources
from fmas.stages import Executor, Stage
from fmas.summary import RunSummary
from fmas.sweep import sweep_unlisted
from fmas.types import PlanRequest, RGBImage
from fmas.write import WriteStage, rejection_rows

__all__ = ["Progress", "obtain_plan", "store_plan", "synthesize"]

_MOST_STEMS = 1_000_000

Progress: TypeAlias = Callable[[int, int, int], None]
"""Called with (photographs finished, photographs to do, pairs failed) whenever one is finished."""


def synthesize(
    config: RunConfig,
    *,
    registry: PluginRegistry | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Make a defect data set from photographs of good parts; what ``fmas run`` calls.

    Running it again with the same configuration finishes what is missing and redoes nothing that is finished.

    Args:
        config: What to do.
        registry: Where components come from; the installed plugins by default.
        executor: Who runs the stages; ``config.workers`` local processes by default.
        progress: Told how far it is.

    Returns:
        Counts, and the exit code that ``fmas run`` ends with.

    Raises:
        UsageError: If the configuration or the images folder is wrong; nothing was written.
        OutputError: If the output folder cannot be used; what was finished is kept.
        PlanError: If there is no usable plan.
        ComponentError: If a component breaks its contract before the first photograph.
    """
    started = time.monotonic()
    components = RunComponents.from_config(config, registry if registry is not None else load_plugins())
    found = scan_sources(config.images, exclude=config.out)
    refuse_too_many(config, len(found.sources))
    layout = OutputLayout(config.out, config.category_name)
    with OpenOutput.open(layout, config.shard) as output:
        plan = obtain_plan(config, components, output, found.sources)
        notes = output.claim(config, run_identity(config, components, plan, found.sources))
        done = finished_stems(layout)
        wanted = wanted_samples(config, found.sources)
        pending = [sample for sample in (without_finished(sample, done) for sample in wanted) if sample.pairs]
        stages = build_stages(config, components, plan, output)
        run = (executor or LocalExecutor(config.workers)).run(stages, pending)
        made = failed = 0
        try:
            # closing: whatever ends the loop, no worker writes on after it
            with ManifestWriter(layout.manifest, config.shard) as manifest, closing(run):
                for number, sample in enumerate(run, start=1):
                    for entry in manifest_entries(sample):
                        manifest.append(entry)
                        made, failed = made + (entry.status == "done"), failed + (entry.status == "failed")
                    if progress is not None:
                        progress(number, len(pending), failed)
        finally:  # also after Ctrl-C or a full disk: what is finished is a valid data set
            sweep_unlisted(layout, config)
            counts = write_derived_files(output)
    kept = sum(len(sample.pairs) for sample in wanted) - sum(len(sample.pairs) for sample in pending)
    seconds = time.monotonic() - started
    return RunSummary(config.out, layout.dataset, counts, made, kept, failed, seconds, len(found.ignored), notes)


def build_stages(
    config: RunConfig, components: RunComponents, plan: StoredPlan, output: OpenOutput
) -> list[Stage[Sample]]:
    """Return the stages of a run, in order."""
    return [
        SegmentStage(components.segmenter, max_pixels=config.max_pixels),
        RegionStage(plan, config.region, run_seed=config.seed, category=config.category_name),
        InpaintStage(
            components.inpainter,
            candidates=config.candidates,
            crop=config.crop,
            refine_config=config.refine,
            run_seed=config.seed,
            category=config.category_name,
        ),
        SelectStage(components.selector, config.select),
        WriteStage(
            output.layout,
            output.temporary,
            config.write,
            object_name=config.object_name,
            components=components.provenance(plan),
            band=config.select.band,
        ),
    ]


def obtain_plan(
    config: RunConfig, components: RunComponents, output: OpenOutput, sources: Sequence[Source]
) -> StoredPlan:
    """Return the stored plan, or ask for it once and store it.

    Raises:
        PlanError: If a stored plan is for another object, or a shard of a run with a live LLM has none.
    """
    path = output.layout.plan
    with output.exclusive():
        if path.exists():
            plan = read_plan(path)
            refuse_other_plan(plan, config, components, path)
            return plan
        if components.llm_is_live and config.shard[1] > 1:
            command = f"fmas plan --object '{config.object_name}' --llm {config.llm.name} --out {config.out}"
            raise PlanError(
                f"expected {path} before a sharded run with the live llm {config.llm.name!r}, whose answers differ; "
                f"run: {command}"
            )
        request = PlanRequest(config.object_name, _reference(sources, config))
        plan = ask_for_plan(components.llm.get(), request)
        output.writer.write_text(path, plan.to_json())
        return plan


def store_plan(config: RunConfig, *, with_reference: bool, registry: PluginRegistry | None = None) -> StoredPlan:
    """Ask for the plan of a run to come and store it; what ``fmas plan`` calls.

    Args:
        config: The run.
        with_reference: Whether the LLM may be shown a photograph of ``config.images``.
        registry: Where the LLM comes from; the installed plugins by default.

    Raises:
        PlanError: If the LLM's answer is no plan, or another plan is stored already.
        OutputError: If the output folder cannot be used.
    """
    components = RunComponents.from_config(config, registry if registry is not None else load_plugins())
    sources = scan_sources(config.images, exclude=config.out).sources if with_reference else ()
    with OpenOutput.open(OutputLayout(config.out, config.category_name), (1, 1)) as output:
        return obtain_plan(config, components, output, sources)


def refuse_other_plan(plan: StoredPlan, config: RunConfig, components: RunComponents, path: Path) -> None:
    """Refuse to use a stored plan silently when this run would have asked for another one.

    Raises:
        PlanError: If it is for another object, or from another LLM or other options. Its defects may have been edited.
    """
    asked = components.llm.fingerprint()
    if plan.object != config.object_name:
        difference = f"got one for {plan.object!r}; give the same --object"
    elif plan.llm.name != asked.name:
        difference = f"got one by the llm {plan.llm.name!r}, not {asked.name!r}; give --llm {plan.llm.name}"
    elif dict(plan.llm.config) != json.loads(json.dumps(dict(asked.config))):
        difference = f"got one by the llm {plan.llm.name!r} with other options; give the same ones"
    else:
        return
    raise PlanError(f"expected a plan for {config.object_name!r} in {path}, {difference}, or delete the file")


def _reference(sources: Sequence[Source], config: RunConfig) -> RGBImage | None:
    """Return the first photograph that can be read."""
    for source in sources:
        try:
            return read_image(source.path, max_pixels=config.max_pixels)[0]
        except ImageError:
            continue  # it is listed as a failure when its turn comes
    return None


def wanted_samples(config: RunConfig, sources: Sequence[Source]) -> list[Sample]:
    """Return what this shard is to make. Stems count over all sources, so that a failure leaves a gap."""
    shard, shards = config.shard
    samples = []
    for source in sources[: config.limit]:
        if source.index % shards != shard - 1:
            continue
        first = source.index * config.per_image
        seeds = SampleSeeds(config.seed, config.category_name, source.relative, 0)
        held_out = seeds.fraction("holdout") < config.holdout_good
        count = 1 if held_out else config.per_image
        samples.append(Sample(source, tuple(Pair(index, first + index) for index in range(count)), held_out=held_out))
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


def finished_stems(layout: OutputLayout) -> frozenset[int]:
    """Return the stems whose manifest line says done and whose files are all there."""
    return frozenset(
        entry.stem
        for entry in ManifestIndex(layout.manifest).entries()
        if entry.status == "done" and all((layout.dataset / name).is_file() for name in entry.files)
    )


def without_finished(sample: Sample, done: frozenset[int]) -> Sample:
    """Return the sample with only the pairs that are still to be made."""
    return replace(sample, pairs=tuple(pair for pair in sample.pairs if pair.stem not in done))


def manifest_entries(sample: Sample) -> Iterator[ManifestEntry]:
    """Yield one line for every pair of a sample that came out of the stages."""
    for pair in sample.pairs:
        failure: Failure | None = sample.failure or pair.failure
        yield ManifestEntry(
            stem=pair.stem,
            source=sample.source.relative,
            status="failed" if failure else "done",
            files={} if failure else pair.files,
            row=None if failure else pair.row,
            failure={"stage": failure.stage, "reason": failure.reason, "message": failure.message} if failure else None,
            rejections=tuple(rejection_rows(pair)),
        )
