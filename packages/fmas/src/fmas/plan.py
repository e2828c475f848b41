"""The prompt plan: what can go wrong with the product, asked for once and kept in ``OUT/plan.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from fmas.errors import FmasError, PlanError
from fmas.options import explain
from fmas.protocols import LLM
from fmas.secrecy import one_line
from fmas.slugs import defect_slugs
from fmas.types import Defect, Fingerprint, PlanRequest, PromptPlan

__all__ = ["StoredPlan", "ask_for_plan", "read_plan"]


class _Author(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    config: Mapping[str, JsonValue] = Field(default_factory=dict)


class _PlanFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    object: str = Field(min_length=1)
    llm: _Author
    defects: tuple[Defect, ...] = Field(min_length=1, max_length=200)


@dataclass(frozen=True)
class StoredPlan:
    """A plan as ``OUT/plan.json`` holds it.

    Attributes:
        object: The product in words.
        llm: Who wrote it.
        defects: What can go wrong.
    """

    object: str
    llm: Fingerprint
    defects: tuple[Defect, ...]

    @cached_property
    def slugs(self) -> list[str]:
        """The folder name of each defect, distinct, ``[a-z0-9_]+``."""
        return defect_slugs(defect.name for defect in self.defects)

    def to_json(self) -> str:
        """Return the text of ``plan.json``."""
        return _text(self, [defect.model_dump(mode="json") for defect in self.defects])

    def digest(self) -> str:
        """Return the SHA-256 of the plan, its author included, because rows name it."""
        return hashlib.sha256(_text(self, [defect.identity() for defect in self.defects]).encode()).hexdigest()


def _text(plan: StoredPlan, defects: Sequence[Mapping[str, object]]) -> str:
    content = {
        "object": plan.object,
        "llm": {"name": plan.llm.name, "version": plan.llm.version, "config": dict(plan.llm.config)},
        "defects": [dict(defect) for defect in defects],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def ask_for_plan(llm: LLM, request: PlanRequest) -> StoredPlan:
    """Ask the LLM and validate its answer, however its SDK validated it.

    Raises:
        PlanError: If the answer is no plan.
    """
    try:
        answer: object = llm.plan(request)  # whatever a plugin really returned
    except FmasError:
        raise
    except Exception as error:
        raise PlanError(
            f"expected a plan from the llm, got {type(error).__name__}: {one_line(error)}; mend that and run again"
        ) from error
    dumped = answer.model_dump() if isinstance(answer, BaseModel) else answer
    try:
        plan = PromptPlan.model_validate(dumped)
    except ValidationError as error:
        raise PlanError(f"expected a prompt plan from the llm, got {explain(error, PromptPlan)}; ask again") from error
    return StoredPlan(request.object, llm.fingerprint(), plan.defects)


def read_plan(path: Path) -> StoredPlan:
    """Read ``plan.json``; it may have been edited by hand.

    Raises:
        PlanError: If it is no plan.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(
            f"expected a readable file {path}, got {error.strerror}; check it or choose another --out"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"expected JSON in {path}, got {one_line(error)}; restore the file") from error
    try:
        parsed = _PlanFile.model_validate(content)
    except ValidationError as error:
        problem = explain(error, _PlanFile)
        raise PlanError(f"expected a prompt plan in {path}, got {problem}; mend the file") from error
    author = Fingerprint(parsed.llm.name, parsed.llm.version, dict(parsed.llm.config))
    return StoredPlan(parsed.object, author, parsed.defects)
