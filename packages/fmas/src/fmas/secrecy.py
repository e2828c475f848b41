"""Keeping keys out of files and messages: which settings would hold one, which texts do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

__all__ = ["first_secret_setting", "one_line", "secret_values", "without_secrets"]

_SECRET_NAME = re.compile(
    r"(^|[-_.])(api[-_]?key|access[-_]?key|private[-_]?key|secret([-_]?key)?|key|token|passw(or)?d|passphrase|"
    r"credentials?|authorization|auth|bearer|cookie)$",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(r"_(API_KEY|ACCESS_KEY|SECRET_KEY|SECRET|TOKEN|PASSWORD)$", re.IGNORECASE)
_SHORTEST_SECRET = 8
_LONGEST_MESSAGE = 1000


def secret_values(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return variable -> value for every environment variable that is a secret by its name.

    Values below 8 characters are left out: they would be found everywhere.
    """
    environment = os.environ if environment is None else environment
    return {
        name: value
        for name, value in sorted(environment.items())
        if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST_SECRET
    }


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return ``text`` with every secret value of the environment replaced by its variable's name."""
    for name, value in secret_values(environment).items():
        text = text.replace(value, f"<{name}>")
    return text


def one_line(error: BaseException) -> str:
    """Return an error's text as one line that can be written anywhere: no secrets, no surrogates, bounded.

    Whatever a plugin raises must not be able to end the run, so an error that cannot even be shown is named by its
    type.
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 (an exception whose __str__ raises)
        text = ""
    text = without_secrets(text).encode("utf-8", "backslashreplace").decode()
    return text[:_LONGEST_MESSAGE] or type(error).__name__


def first_secret_setting(value: object, path: str = "") -> str | None:
    """Return the dotted key of the first setting that would put a secret into a file, however deep; ``None`` if none.

    A secret is told by its key (``api_key``, ``token``, ``authorization``, …), or by credentials inside a URL.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            dotted = f"{path}.{key}" if path else str(key)
            if _SECRET_NAME.search(str(key)) and inner not in (None, ""):
                return dotted
            if found := first_secret_setting(inner, dotted):
                return found
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            if found := first_secret_setting(inner, f"{path}.{number}"):
                return found
    elif isinstance(value, str) and _url_holds_secret(value):
        return path
    return None


def _url_holds_secret(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # no URL at all
        return False
    in_query = any(_SECRET_NAME.search(name) for name, _ in parse_qsl(parts.query))
    return bool(parts.netloc) and ("@" in parts.netloc or in_query)
