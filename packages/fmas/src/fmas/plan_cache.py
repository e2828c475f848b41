"""Answers of a live LLM, kept by what it was asked: neither a kill nor a deleted ``plan.json`` makes anybody pay twice.

The key is the SHA-256 of the object's name, the LLM's fingerprint and the reference photograph's pixels, so that
another object, model, option or photograph asks anew. Deleting the file does, too.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from fmas.errors import PlanError
from fmas.files import AtomicWriter
from fmas.images import pixel_sha256
from fmas.plan import StoredPlan, read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from fmas.layout import OutputLayout
    from fmas.types import Fingerprint, PlanRequest

__all__ = ["cached_plan", "holds_plans", "keep_plan", "plan_key"]


def plan_key(request: PlanRequest, llm: Fingerprint) -> str:
    """Return what a question is known by, 64 hexadecimal digits."""
    reference = pixel_sha256(request.reference) if request.reference is not None else None
    asked = {
        "object": request.object,
        "llm": {"name": llm.name, "version": llm.version, "config": dict(llm.config)},
        "reference": reference,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def holds_plans(layout: OutputLayout) -> bool:
    """Return whether any answer is kept."""
    return any(layout.cache.glob("plan-*.json"))


def cached_plan(layout: OutputLayout, request: PlanRequest, llm: Fingerprint) -> StoredPlan | None:
    """Return the answer to a question that was asked before, ``None`` if it was not.

    Raises:
        PlanError: If what is kept is not the answer to it.
    """
    path = _path(layout, request, llm)
    if not path.exists():
        return None
    advice = "delete it to ask the llm again"
    try:
        plan = read_plan(path)
    except PlanError as error:
        raise PlanError(f"{str(error).rpartition(';')[0]}; {advice}") from error
    if (plan.object, plan.llm.name) != (request.object, llm.name):
        raise PlanError(
            f"expected the answer of {llm.name!r} for {request.object!r} in {path}, got one of {plan.llm.name!r} for "
            f"{plan.object!r}; {advice}"
        )
    return plan


def keep_plan(layout: OutputLayout, writer: AtomicWriter, request: PlanRequest, plan: StoredPlan) -> None:
    """Keep an answer.

    Raises:
        OutputError: If it cannot be written.
    """
    writer.write_text(_path(layout, request, plan.llm), plan.to_json())


def _path(layout: OutputLayout, request: PlanRequest, llm: Fingerprint) -> Path:
    return layout.cache / f"plan-{plan_key(request, llm)}.json"
