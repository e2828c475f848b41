"""Checks an LLM."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from fmas.protocols import LLM
from fmas.testing.conformance import ConformanceError, require, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_photo
from fmas.types import PlanRequest, PromptPlan

__all__ = ["check_llm"]


def check_llm(component: LLM, *, requests: Sequence[PlanRequest] | None = None) -> None:
    """Check that an LLM plans at least one usable defect, with and without a reference photograph.

    Args:
        component: What to check.
        requests: What to ask, one call each; by default a magnetic tile without and with a reference. Give your own
            where a call costs something or replies are recorded.

    Raises:
        ConformanceError: At the first breach.
    """
    require_protocol(component, LLM)
    before = check_fingerprint(component)
    if requests is None:
        requests = (PlanRequest("magnetic tile"), PlanRequest("magnetic tile", reference=disc_photo(61, 47)))
    for request in requests:
        _check_plan(component, request)
    require_same_fingerprint(component, before, after="planning")


def _check_plan(component: LLM, request: PlanRequest) -> None:
    reference = None if request.reference is None else request.reference.copy()
    plan = component.plan(request)
    require(
        isinstance(plan, PromptPlan),
        expected="plan() to return a fmas.types.PromptPlan",
        got=f"a {type(plan).__name__}",
        fix="build it with PromptPlan.model_validate",
    )
    try:  # model_construct, or an SDK that parses loosely, can get past the model's own checks
        PromptPlan.model_validate(plan.model_dump(warnings=False))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
        )
        raise ConformanceError(
            f"expected a plan that PromptPlan accepts, got one with {problems}; validate the reply, do not construct it"
        ) from error
    if request.reference is not None and reference is not None:
        require_untouched(request.reference, reference, what="the reference photograph")
