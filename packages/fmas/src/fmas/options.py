"""Turning loose option mappings into pydantic models, with one clear line for everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fmas.errors import ConfigError, suggest

__all__ = ["explain", "parse_options"]

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse_options(model: type[ModelT], options: Mapping[str, object], *, section: str) -> ModelT:
    """Validate a component's options; use it in ``create`` so that all components speak alike.

    Args:
        model: A pydantic model with ``extra="forbid"``.
        options: What the configuration holds for this component.
        section: Where the options stand, e.g. ``llm``; part of the message.

    Returns:
        The validated model.

    Raises:
        ConfigError: If a key is unknown (with the nearest known one) or a value is not allowed.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(explain(error, model, section=section)) from error


def explain(error: ValidationError, model: type[BaseModel], *, section: str = "") -> str:
    """Say in one line what pydantic found wrong: the key, what was expected and what arrived."""
    lines = []
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        where = ".".join([section, *path] if section else path) or "configuration"
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}: {suggest(path[-1], _known_keys(model, path[:-1]))}")
        elif problem["type"] == "missing":
            lines.append(f"{where} is missing")
        elif problem["type"] == "value_error":
            # Our own validators say what arrived, or keep quiet about it because it is a secret.
            lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{where}: {_expected(problem['type'], problem['msg'])}, got {_short(problem['input'])}")
    return "; ".join(lines)


def _expected(kind: str, words: str) -> str:
    """Return pydantic's words in ours: what was expected."""
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "expected settings by name"
    return re.sub(r"^[A-Z]\w+ should (?:be |have )?", "expected ", words)


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the model that ``path`` leads to, through lists of models as well."""
    for name in path:
        if name not in model.model_fields:  # a position in a list
            continue
        annotation = model.model_fields[name].annotation
        inner = next((part for part in (annotation, *get_args(annotation)) if _is_model(part)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
