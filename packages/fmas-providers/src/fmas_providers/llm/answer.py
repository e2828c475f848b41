"""The answer's form: the schema that services are given, and what is checked again whatever they promised."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fmas.options import explain
from fmas.types import Defect, DefectKind, Placement, PromptPlan

__all__ = ["SCHEMA_NAME", "InvalidAnswerError", "answer_schema", "parse_answer"]

SCHEMA_NAME = "defects"
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


class InvalidAnswerError(ValueError):
    """The answer is no plan; the message says why, in words that the model can act on."""


class _AnswerDefect(BaseModel):
    """As :class:`fmas.types.Defect`, with every field required and no bounds: strict schemas allow neither."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Two to four words.")
    kind: DefectKind = Field(description="The physical kind.")
    prompt: str = Field(description="What the inpainting model is to paint, under 40 words.")
    negative_prompt: str = Field(description="What to avoid, under 25 words; may be empty.")
    severity: float = Field(description="From 0.0, hardly visible, to 1.0, as strong as this kind gets.")
    placement: Placement = Field(
        description="Where on the product: anywhere, edge, inside (away from the edge); auto if its kind says it."
    )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    defects: list[_AnswerDefect]


def answer_schema() -> dict[str, Any]:
    """Return the answer's JSON schema: every property required, nothing beside them, no reference to elsewhere."""
    schema = _Answer.model_json_schema()
    definitions = schema.pop("$defs")
    defect = definitions["_AnswerDefect"]
    defect["properties"]["kind"] = {
        "type": "string",
        "enum": [kind.value for kind in DefectKind],
        "description": "The physical kind.",
    }
    schema["properties"]["defects"]["items"] = defect
    return _without_titles(schema)


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop what pydantic adds for people to read; private class names say nothing to a model."""
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            cleaned[key] = {name: _without_titles(part) for name, part in value.items()}
        elif key == "title" or (key == "description" and value == (_AnswerDefect.__doc__ or "")):
            continue
        else:
            cleaned[key] = _without_titles(value) if isinstance(value, dict) else value
    return cleaned


def parse_answer(text: str) -> PromptPlan:
    """Read an answer, however the service validated it.

    Servers without structured output like to put JSON into a fence, to answer with the bare list, or to add and leave
    out fields: what a defect can do without is filled in. Bounds and kinds are checked, since services drop them.

    Raises:
        InvalidAnswerError: If it is no plan.
    """
    fenced = _FENCE.match(text)
    try:
        content = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError(f"it is no JSON ({error})") from error
    if isinstance(content, list):
        content = {"defects": content}
    if isinstance(content, dict) and isinstance(content.get("defects"), list):
        content = {"defects": [_known_fields(defect) for defect in content["defects"]]}
    try:
        return PromptPlan.model_validate(content)
    except ValidationError as error:
        raise InvalidAnswerError(explain(error, PromptPlan)) from error


def _known_fields(defect: object) -> object:
    if not isinstance(defect, dict):
        return defect
    return {name: value for name, value in defect.items() if name in Defect.model_fields and value is not None}
