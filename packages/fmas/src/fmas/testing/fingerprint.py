"""Checks what every component has: a fingerprint fit for cache keys and provenance."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from fmas.protocols import Component
from fmas.testing.conformance import ConformanceError, require
from fmas.types import Fingerprint

__all__ = ["check_fingerprint", "require_same_fingerprint"]

_SECRET_VARIABLE = re.compile(r"(API_KEY|TOKEN|SECRET|PASSWORD)$")
_SECRET_OPTION = re.compile(r"(^|_)(api_?key|access_?token|auth_?token|secret|password)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,})")
_SHORTEST_SECRET = 6  # a variable set to "1" or "test" would be found in any text


def check_fingerprint(component: Component) -> str:
    """Check that a component's fingerprint is stable, holds JSON values only and gives no secret away.

    A secret is the value of an environment variable ending in ``API_KEY``, ``TOKEN``, ``SECRET`` or ``PASSWORD``, a
    text under a configuration key of such a name, or a text that looks like an OpenAI, Anthropic or Hugging Face key.

    Returns:
        The fingerprint's digest, to compare with a later one.

    Raises:
        ConformanceError: At the first breach.
    """
    fingerprint = component.fingerprint()
    require(
        isinstance(fingerprint, Fingerprint),
        expected="fingerprint() to return a fmas.types.Fingerprint",
        got=f"a {type(fingerprint).__name__}",
        fix="return Fingerprint(name, version, config)",
    )
    for field in ("name", "version"):
        value = getattr(fingerprint, field)
        require(
            isinstance(value, str) and value.strip(),
            expected=f"a text as the fingerprint's {field}",
            got=repr(value),
            fix="name the component and the version of its algorithm",
        )
    _require_json(fingerprint)
    _require_no_secret(fingerprint)
    digest = fingerprint.digest()
    require(
        component.fingerprint().digest() == digest,
        expected="the same fingerprint at every call",
        got="another one at the second call",
        fix="leave out times, counters, addresses and everything else that does not change a result",
    )
    return digest


def require_same_fingerprint(component: Component, digest: str, *, after: str) -> None:
    """Raise unless a component's fingerprint still has the digest that :func:`check_fingerprint` returned."""
    require(
        component.fingerprint().digest() == digest,
        expected=f"the same fingerprint after {after}",
        got="another one",
        fix="fingerprint what was configured, not what happened",
    )


def _require_json(fingerprint: Fingerprint) -> None:
    config = dict(fingerprint.config)
    try:
        restored = json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConformanceError(
            f"expected JSON values in the fingerprint's config, got one that JSON cannot hold ({error}); "
            "use model_dump(mode='json') or convert it"
        ) from error
    require(
        restored == config,
        expected="JSON values in the fingerprint's config",
        got=f"{config!r}, which JSON restores as {restored!r}",
        fix="use lists instead of tuples and texts as keys, e.g. by model_dump(mode='json')",
    )


def _require_no_secret(fingerprint: Fingerprint) -> None:
    # The messages name places, never values: a test log is a file, too.
    variables = {
        name: value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name.upper()) and len(value) >= _SHORTEST_SECRET
    }
    content = {"name": fingerprint.name, "version": fingerprint.version, **fingerprint.config}
    for key, text in _texts(content, "config"):
        leaked = next((name for name, value in variables.items() if value in text), None)
        require(
            leaked is None,
            expected="no secret in the fingerprint",
            got=f"the value of the environment variable {leaked} under {key}",
            fix="leave it out",
        )
        require(
            not (text and _SECRET_OPTION.search(key.rpartition(".")[2])) and not _SECRET_VALUE.search(text),
            expected="no secret in the fingerprint",
            got=f"what looks like one under {key}",
            fix="leave it out",
        )


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield each text inside a JSON value, with the dotted path to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
