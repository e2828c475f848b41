"""Data in the page: JSON inside script elements that no text in it can break out of."""

from __future__ import annotations

import json

from markupsafe import Markup

__all__ = ["json_element"]

# `<` could end the element or open a comment in it, `&` nothing, but a reader of the source need not know that.
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def json_element(value: object, *, id_: str = "", class_: str = "") -> Markup:
    """Return ``<script type="application/json">`` with ``value``.

    Args:
        value: What :func:`json.dumps` takes. Text that is no Unicode, as a file's name may be, is shown escaped.
        id_: The element's id; letters and digits.
        class_: Its class; letters.

    Returns:
        ASCII without ``<``, ``>`` and ``&`` between the tags.
    """
    text = json.dumps(_readable(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)
    attributes = Markup(' id="{}"').format(id_) if id_ else Markup("")
    attributes += Markup(' class="{}"').format(class_) if class_ else Markup("")
    return Markup('<script type="application/json"{}>{}</script>').format(attributes, Markup(text))  # noqa: S704


def _readable(value: object) -> object:
    """Return ``value`` with lone surrogates as escapes, so that a page shows which bytes a name has."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_readable(key): _readable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(one) for one in value]
    return value
