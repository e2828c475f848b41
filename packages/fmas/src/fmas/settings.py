"""Where a run's settings come from: defaults < project file < environment < command line, each with its origin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from fmas.config import RunConfig
from fmas.errors import ConfigError
from fmas.options import explain
from fmas.specs import COMPONENT_KINDS

__all__ = [
    "PROJECT_FILE",
    "Layer",
    "Resolved",
    "environment_layers",
    "file_layer",
    "flattened",
    "override_layer",
    "resolve",
]

PROJECT_FILE = "fmas.yaml"
_PREFIX = "FMAS_"
_LARGEST_FILE = 1_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place.

    Attributes:
        origin: Where they come from, for ``fmas config show``.
        values: A tree of settings; may be incomplete.
    """

    origin: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The result of all layers.

    Attributes:
        config: The validated configuration.
        origins: Dotted key -> where its value comes from, for every key that is not a default.
    """

    config: RunConfig
    origins: Mapping[str, str]


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Merge layers, later ones winning, and validate the result.

    Choosing another component drops the options that an earlier layer gave to the one it replaces.

    Raises:
        ConfigError: If a key is unknown or a value not allowed; the message says where it comes from.
    """
    merged: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        try:
            _merge(merged, _normalised(layer.values), origins, layer.origin, path="")
        except RecursionError as error:
            raise ConfigError(f"expected settings of a finite depth, got a loop in {layer.origin}; mend it") from error
    try:
        config = RunConfig.model_validate(merged)
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"])
        origin = next((place for key, place in origins.items() if _same_branch(key, first)), "")
        message = explain(error, RunConfig)
        raise ConfigError(f"{message} (from {origin})" if origin else message) from error
    return Resolved(config, origins)


def file_layer(path: Path | None, *, folder: Path) -> Layer | None:
    """Read ``--config FILE``, or ``fmas.yaml`` in ``folder`` if there is one.

    Raises:
        ConfigError: If the named file is missing or no YAML mapping.
    """
    if path is None:
        path = folder / PROJECT_FILE
        if not path.is_file():
            return None
    try:
        if path.exists() and not path.is_file():  # a pipe would block for ever
            raise ConfigError(f"expected a configuration file, got something else at {path}; name a file")
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(
                f"expected a configuration below {_LARGEST_FILE} bytes, got {path}; is it the right file?"
            )
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"expected a readable configuration file, got {path}: {error.strerror}; check the path"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # PyYAML lets impossible dates and numbers through
        reason = " ".join(str(error).split())
        raise ConfigError(f"expected YAML in {path}, got: {reason}; mend the file") from error
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"expected a mapping of settings in {path}, got {type(content).__name__}; see docs/reference")
    return Layer(str(path), content)


def environment_layers(environment: Mapping[str, str] | None = None) -> Iterator[Layer]:
    """Yield a layer for each variable such as ``FMAS_SEED=3`` or ``FMAS_LLM__BASE_URL=…``.

    Two underscores stand for the dot, values are YAML.

    Raises:
        ConfigError: If a value is no YAML.
    """
    environment = os.environ if environment is None else environment
    for name in sorted(environment):
        key = name.removeprefix(_PREFIX).lower().replace("__", ".")
        if not name.startswith(_PREFIX) or not key:
            continue
        values: dict[str, object] = {}
        _put(values, key, _yaml_value(environment[name], name))
        yield Layer(f"environment variable {name}", values)


def override_layer(settings: Iterable[str], *, origin: str = "command line") -> Layer:
    """Read ``--set KEY=VALUE`` items: dotted keys, YAML values.

    Raises:
        ConfigError: If an item has no ``=`` or its value is no YAML.
    """
    values: dict[str, object] = {}
    for item in settings:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"expected KEY=VALUE for --set, got {item!r}; for example --set region.shape=ellipse")
        _put(values, key.strip(), _yaml_value(value, f"--set {key}"))
    return Layer(origin, values)


def flattened(config: RunConfig) -> list[tuple[str, object]]:
    """Return every setting as (dotted key, value), in the order of the models."""
    rows: list[tuple[str, object]] = []

    def collect(values: Mapping[str, object], path: str) -> None:
        for key, value in values.items():
            dotted = f"{path}.{key}" if path else key
            if isinstance(value, Mapping):
                collect(value, dotted)
            else:
                rows.append((dotted, value))

    collect(config.model_dump(mode="json"), "")
    return rows


def _yaml_value(text: str, what: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"expected a YAML value for {what}, got {text!r}: {reason}; quote it") from error


def _put(values: dict[str, object], dotted: str, value: object) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            # `--set llm=openai --set llm.base_url=…`: the bare name becomes the mapping it is short for.
            child = {"name": child}
            values[parent] = child
        values = child
    if isinstance(values.get(last), dict) and last in COMPONENT_KINDS and isinstance(value, str):
        values[last] = {**values[last], "name": value}  # type: ignore[dict-item]  # checked to be a dict one line above
    else:
        values[last] = value


def _normalised(values: Mapping[str, object]) -> dict[str, object]:
    """Spell bare component names out, so that layers merge alike however they were written."""
    return {
        key: {"name": value} if key in COMPONENT_KINDS and isinstance(value, str) else value
        for key, value in values.items()
    }


def _merge(
    into: dict[str, object], values: Mapping[str, object], origins: dict[str, str], origin: str, *, path: str
) -> None:
    for key, value in values.items():
        dotted = f"{path}.{key}" if path else key
        present = into.get(key)
        if isinstance(value, Mapping):
            replaces_component = (
                dotted in COMPONENT_KINDS
                and "name" in value
                and value["name"] != (present.get("name", "builtin") if isinstance(present, dict) else "builtin")
            )
            if not isinstance(present, dict) or replaces_component:
                for old in [old for old in origins if old == dotted or old.startswith(f"{dotted}.")]:
                    del origins[old]
                present = {}
            into[key] = present
            _merge(present, value, origins, origin, path=dotted)
        else:
            into[key] = value
            origins[dotted] = origin


def _same_branch(key: str, problem: str) -> bool:
    return key == problem or problem.startswith(f"{key}.") or key.startswith(f"{problem}.")
