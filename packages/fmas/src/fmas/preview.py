"""What a run would do, without doing it: ``fmas run --dry-run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fmas.balance import balance_of
from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.controls import refuse_needless_controls
from fmas.identity import run_identity
from fmas.layout import OutputLayout
from fmas.output import read_run_file, refuse_foreign_folder, refuse_other_run
from fmas.planning import foreseen_plan
from fmas.plugins import PluginRegistry, load_plugins
from fmas.refill import read_places
from fmas.samples import Sample
from fmas.sources import scan_sources
from fmas.user_masks import UserMasks
from fmas.work import refuse_changed_photographs, refuse_lost_manifest, refuse_too_many, wanted_samples

__all__ = ["preview_run"]


def preview_run(config: RunConfig, *, registry: PluginRegistry | None = None) -> dict[str, object]:
    """Return what ``synthesize(config)`` would do; reads the images folder, writes nothing, asks nobody.

    Raises:
        UsageError: If the configuration or the images folder is wrong.
        OutputError: If a run would refuse the output folder.
        PlanError: If a run would refuse the stored plan.
    """
    registry = registry if registry is not None else load_plugins()
    refuse_needless_controls(config, registry)
    components = RunComponents.from_config(config, registry)
    found = scan_sources(config.images, exclude=config.out)
    refuse_too_many(config, len(found.sources))
    masks = UserMasks.read(config.region, found.sources, max_pixels=config.max_pixels)
    layout = OutputLayout(config.out, config.category_name)
    refuse_foreign_folder(layout)
    plan, is_stored = foreseen_plan(config, components, layout, found.sources)
    existing = read_run_file(layout)
    balance = balance_of(config.balance, plan) if plan is not None else None
    if existing is not None and plan is not None:
        refuse_other_run(layout, existing, run_identity(config, components, plan, found.sources, masks))
    refuse_lost_manifest(layout)
    wanted = wanted_samples(config, found.sources, plan, balance)
    places = read_places(layout)
    refuse_changed_photographs(wanted, places.made_of)
    pending = [sample for sample in map(places.to_make, wanted) if sample.pairs]
    controls = sum(pair.control for sample in pending for pair in sample.pairs)
    pairs = sum(len(sample.pairs) for sample in pending if not sample.held_out) - controls
    return {
        "photographs": len(found.sources),
        "ignored_files": len(found.ignored),
        "data_set": str(layout.dataset),
        "llm_calls": 0 if is_stored else 1,
        "photographs_to_do": len(pending),
        "pairs_to_make": pairs,
        "candidates_to_paint": pairs * config.candidates,
        **({"controls_to_make": controls} if config.controls else {}),
        **({"defects_to_make": _defects_to_make(pending)} if balance is not None else {}),
        "places_to_refill": sum(bool(pair.generation) for sample in pending for pair in sample.pairs),
        "held_out_good": sum(sample.held_out for sample in pending),
        "finished_before": sum(len(sample.pairs) for sample in wanted) - sum(len(sample.pairs) for sample in pending),
        "notes": list(masks.notes),
        "llm": config.llm.name,
        **{kind: fingerprint.name for kind, fingerprint in components.fingerprints().items()},
    }


def _defects_to_make(pending: Sequence[Sample]) -> dict[str, int]:
    counted = Counter(
        pair.defect_slug for sample in pending for pair in sample.pairs if pair.defect and not pair.control
    )
    return dict(sorted(counted.items()))
