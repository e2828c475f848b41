"""``fmas run`` as a function: read -> segment -> region -> inpaint candidates -> refine -> select -> write."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import TypeAlias

from fmas.balance import balance_of
from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.controls import refuse_needless_controls
from fmas.derive import write_derived_files
from fmas.executor import LocalExecutor
from fmas.identity import run_identity
from fmas.inpaint import InpaintStage
from fmas.layout import OutputLayout
from fmas.manifest import ManifestWriter
from fmas.output import OpenOutput
from fmas.plan import StoredPlan
from fmas.planning import obtain_plan
from fmas.plugins import PluginRegistry, load_plugins
from fmas.read import ReadStage
from fmas.refill import dropped_pictures, read_places, retiring, review_notes, to_refill
from fmas.region import RegionStage
from fmas.reselect import finish_selection
from fmas.samples import Sample
from fmas.segment import SegmentStage
from fmas.select import SelectStage
from fmas.sources import scan_sources
from fmas.stages import Executor, Stage
from fmas.summary import RunSummary
from fmas.sweep import sweep_unlisted
from fmas.usage import Usage, append_usage, read_usage
from fmas.user_masks import UserMasks
from fmas.work import (
    manifest_entries,
    refuse_changed_photographs,
    refuse_lost_manifest,
    refuse_too_many,
    wanted_samples,
)
from fmas.write import WriteStage

__all__ = ["Progress", "synthesize"]

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

    The plan is asked for once. Then every photograph goes through six stages: read, segment, region, inpaint (crop,
    paint, refine the mask, paint again what is rejected), select, write.

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
    registry = registry if registry is not None else load_plugins()
    refuse_needless_controls(config, registry)
    components = RunComponents.from_config(config, registry)
    found = scan_sources(config.images, exclude=config.out)
    refuse_too_many(config, len(found.sources))
    masks = UserMasks.read(config.region, found.sources, max_pixels=config.max_pixels)
    layout = OutputLayout(config.out, config.category_name)
    with OpenOutput.open(layout, config.shard) as output:
        plan = obtain_plan(config, components, output, found.sources)
        balance = balance_of(config.balance, plan)
        notes = output.claim(config, run_identity(config, components, plan, found.sources, masks))
        refuse_lost_manifest(layout)
        notes += finish_selection(config, output, executor)
        places = read_places(layout, band=config.select.band)
        wanted = wanted_samples(config, found.sources, plan, balance)
        refuse_changed_photographs(wanted, places.made_of)
        pending = [sample for sample in map(places.to_make, wanted) if sample.pairs]
        stages = build_stages(config, components, plan, output, masks)
        if config.workers > 1:
            components.release()
        refills = to_refill(pending)
        made = failed = refilled = 0
        with ManifestWriter(layout.manifest, config.shard) as manifest:
            try:
                if refills - places.dropped.keys():
                    sweep_unlisted(layout, config)  # a killed run may have left a dropped mask beside a new picture
                retire = retiring(pending, places, layout, manifest)
                run = (executor or LocalExecutor(config.workers)).run(stages, retire)
                with closing(run):  # whatever ends the loop, no worker writes on after it
                    for number, sample in enumerate(run, start=1):
                        _count_usage(output, sample.usage)
                        for entry in manifest_entries(sample, places.decisions):
                            manifest.append(entry)
                            refilled += entry.status == "done" and entry.stem in refills
                            made, failed = made + (entry.status == "done"), failed + (entry.status == "failed")
                        if progress is not None:
                            progress(number, len(pending), failed)
            finally:  # also after Ctrl-C or a full disk: what is finished is a valid data set
                sweep_unlisted(layout, config)
                _count_usage(output, components.inpainter.new_usage())  # for what failed last
                counts = write_derived_files(output)
    kept = sum(len(sample.pairs) for sample in wanted) - sum(len(sample.pairs) for sample in pending)
    seconds = time.monotonic() - started
    return RunSummary(
        out=config.out,
        dataset=layout.dataset,
        counts=counts,
        made=made,
        kept=kept,
        failed=failed,
        seconds=seconds,
        ignored_files=len(found.ignored),
        notes=(*notes, *masks.notes, *review_notes(places)),
        refilled=refilled,
        dropped_and_still_there=dropped_pictures(layout),
        balance=balance.shares(plan.slugs, counts.defects) if balance is not None else (),
        usage=read_usage(layout),
    )


def _count_usage(output: OpenOutput, used: Usage) -> None:
    """Write down what the inpainter used, if it counts anything."""
    if used:
        with output.exclusive():
            append_usage(output.layout, "inpainter", used)


def build_stages(
    config: RunConfig,
    components: RunComponents,
    plan: StoredPlan,
    output: OpenOutput,
    masks: UserMasks | None = None,
) -> list[Stage[Sample]]:
    """Return the stages of a run, in order."""
    return [
        ReadStage(max_pixels=config.max_pixels),
        SegmentStage(components.segmenter),
        RegionStage(plan, config.region, run_seed=config.seed, category=config.category_name, masks=masks),
        InpaintStage(
            components.inpainter,
            candidates=config.candidates,
            crop=config.crop,
            paint=config.paint,
            refine_config=config.refine,
            run_seed=config.seed,
            category=config.category_name,
            object_name=config.object_name,
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
