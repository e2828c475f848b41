"""An LLM that always answers with the same two defects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Defect, DefectKind, Fingerprint, PlanRequest, PromptPlan

__all__ = ["FixedLLM", "FixedOptions", "create"]


class FixedOptions(BaseModel):
    """What ``--set llm.KEY=VALUE`` can reach.

    Attributes:
        severity: Severity of both defects, in ``[0, 1]``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: float = Field(default=0.6, ge=0.0, le=1.0)


class FixedLLM:
    """Plans a spot and a smear for whatever it is asked about.

    Args:
        options: The validated options.
    """

    def __init__(self, options: FixedOptions) -> None:
        self._options = options

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options; a real provider adds the model's identifier, never its key."""
        return Fingerprint("example-fixed", "1", self._options.model_dump(mode="json"))

    def plan(self, request: PlanRequest) -> PromptPlan:
        """Return the two defects, with ``request.object`` in their prompts."""
        return PromptPlan(
            defects=(
                Defect(
                    name="dark spot",
                    prompt=f"a small dark spot on the {request.object}, close-up, sharp",
                    negative_prompt="blurry, cartoon, text",
                    kind=DefectKind.CONTAMINATION,
                    severity=self._options.severity,
                ),
                Defect(
                    name="smear",
                    prompt=f"an oily smear on the {request.object}",
                    kind=DefectKind.STAIN,
                    severity=self._options.severity,
                ),
            )
        )


def create(options: Options) -> FixedLLM:
    """Create the LLM; an unknown option is refused with the nearest known one."""
    return FixedLLM(parse_options(FixedOptions, options, section="llm"))
