"""Getting the run's plan: the stored one if there is one, else asked for once and stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.errors import ImageError, PlanError
from fmas.images import read_image
from fmas.layout import OutputLayout
from fmas.output import OpenOutput
from fmas.plan import StoredPlan, ask_for_plan, read_plan
from fmas.plan_cache import cached_plan, holds_plans, keep_plan
from fmas.plugins import PluginRegistry, load_plugins
from fmas.sources import Source, scan_sources
from fmas.types import PlanRequest, RGBImage
from fmas.usage import append_usage

__all__ = ["foreseen_plan", "obtain_plan", "store_plan", "stored_plan"]


def obtain_plan(
    config: RunConfig, components: RunComponents, output: OpenOutput, sources: Sequence[Source]
) -> StoredPlan:
    """Return the stored plan, or ask for it once and store it.

    Raises:
        PlanError: If a stored plan is for another object or by another LLM, if the plan that the run was made with is
            gone, or if a shard of a run with a live LLM has none.
    """
    path = output.layout.plan
    with output.exclusive():
        stored = stored_plan(config, components, output.layout)
        if stored is not None:
            return stored
        if components.llm_is_live and config.shard[1] > 1:
            command = f"fmas plan --object '{config.object_name}' --llm {config.llm.name} --out {config.out}"
            raise PlanError(
                f"expected {path} before a sharded run with the live llm {config.llm.name!r}, whose answers differ; "
                f"run: {command}"
            )
        request = PlanRequest(config.object_name, _reference(sources, config))
        plan = _answer(components, output, request)
        output.writer.write_text(path, plan.to_json())
        return plan


def _answer(components: RunComponents, output: OpenOutput, request: PlanRequest) -> StoredPlan:
    """Return what the LLM answers, or answered before if asking again could cost something."""
    layout, live = output.layout, components.llm_is_live
    plan = cached_plan(layout, request, components.llm.fingerprint()) if live and holds_plans(layout) else None
    if plan is None:
        try:
            plan = ask_for_plan(components.llm.get(), request)
        finally:  # an answer that is no plan was paid for as well
            append_usage(layout, "llm", components.llm.new_usage())
        if live:
            keep_plan(layout, output.writer, request, plan)
    return plan


def stored_plan(config: RunConfig, components: RunComponents, layout: OutputLayout) -> StoredPlan | None:
    """Return the plan that ``OUT`` holds for this run, or ``None`` if there is to be a new one.

    Raises:
        PlanError: If it is for another object or by another LLM, or if the plan that the run was made with is gone.
    """
    if layout.plan.exists():
        plan = read_plan(layout.plan)
        _refuse_other_plan(plan, config, components, layout.plan)
        return plan
    if layout.run.exists():
        raise PlanError(
            f"expected {layout.plan}, which this run was made with and which is gone; restore it, or choose another "
            "--out"
        )
    return None


def foreseen_plan(
    config: RunConfig, components: RunComponents, layout: OutputLayout, sources: Sequence[Source]
) -> tuple[StoredPlan | None, bool]:
    """Return the plan that a run would use, as far as that can be told without spending or writing anything.

    Returns:
        The plan that is stored, or kept from an earlier question, and ``True``; else ``False`` and, where ``balance``
        needs one and the LLM is not a live one, what that would answer.

    Raises:
        PlanError: If a run would refuse the stored plan.
    """
    plan = stored_plan(config, components, layout)
    if plan is not None:
        return plan, True
    if components.llm_is_live:
        plan = _kept_answer(config, components, layout, sources)
        return plan, plan is not None
    if config.balance is None:
        return None, False
    request = PlanRequest(config.object_name, _reference(sources, config))
    return ask_for_plan(components.llm.get(), request), False


def _kept_answer(
    config: RunConfig, components: RunComponents, layout: OutputLayout, sources: Sequence[Source]
) -> StoredPlan | None:
    """Return the answer of a live LLM that a run would find; the LLM is created only where any answer is kept."""
    if not holds_plans(layout):
        return None
    try:
        llm = components.llm.fingerprint()
    except Exception:  # noqa: BLE001 (whatever a plugin raises without its key or its SDK)
        return None
    return cached_plan(layout, PlanRequest(config.object_name, _reference(sources, config)), llm)


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


def _refuse_other_plan(plan: StoredPlan, config: RunConfig, components: RunComponents, path: Path) -> None:
    """Refuse to use a stored plan silently when this run would have asked for another one.

    A live LLM is not created for this: with a stored plan a run needs none of its keys.

    Raises:
        PlanError: If it is for another object, or from another LLM or other options. Its defects may have been edited.
    """
    if plan.object != config.object_name:
        difference = f"got one for {plan.object!r}; give the same --object"
    elif plan.llm.name != config.llm.name:
        difference = f"got one by the llm {plan.llm.name!r}, not {config.llm.name!r}; give --llm {plan.llm.name}"
    elif not components.llm_is_live and dict(plan.llm.config) != _as_json(components.llm.fingerprint().config):
        now = _as_json(components.llm.fingerprint().config)
        changed = sorted(key for key in {*plan.llm.config, *now} if plan.llm.config.get(key) != now.get(key))
        difference = (
            f"got one by the llm {plan.llm.name!r} with other options ({', '.join(changed)}); give the same ones"
        )
        if changed == ["sha256"]:  # of what the builtin llm reads
            difference = (
                f"got one that the llm {plan.llm.name!r} read from another list of defects; restore that list, go on "
                "with the version of fmas that read it,"
            )
    else:
        return
    raise PlanError(f"expected a plan for {config.object_name!r} in {path}, {difference} or choose another --out")


def _as_json(config: Mapping[str, object]) -> dict[str, object]:
    return dict(json.loads(json.dumps(dict(config))))


def _reference(sources: Sequence[Source], config: RunConfig) -> RGBImage | None:
    """Return the first photograph that can be read."""
    for source in sources:
        try:
            return read_image(source.path, max_pixels=config.max_pixels)[0]
        except (ImageError, MemoryError):
            continue  # it is listed as a failure when its turn comes
    return None
