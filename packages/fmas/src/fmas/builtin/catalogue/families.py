"""The catalogue's families: which one a product belongs to, and which defects it has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeAlias

import yaml

from fmas.types import Defect

__all__ = ["GENERIC", "FamilyIndex", "catalogue_digest", "family_defects", "family_of", "read_index"]

GENERIC = "generic"
_TIERS = {"finishes": 3, "materials": 2, "products": 1}

Words: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FamilyIndex:
    """Which words point to which family.

    Attributes:
        names: All families, the generic one included.
        keywords: Words of a keyword -> family and weight; a finish weighs 3, a material 2, a product 1.
    """

    names: tuple[str, ...]
    keywords: Mapping[Words, tuple[str, int]]


def read_index() -> FamilyIndex:
    """Return the index that comes with the package.

    Raises:
        ValueError: If a keyword points to two families; the package itself is broken then.
    """
    families = yaml.safe_load((_folder() / "families.yaml").read_text(encoding="utf-8"))
    keywords: dict[Words, tuple[str, int]] = {}
    for family, tiers in families.items():
        for tier, entries in tiers.items():
            for entry in entries:
                words = _words(str(entry))
                if words in keywords:
                    raise ValueError(f"keyword {entry!r} belongs to {keywords[words][0]} and {family}; remove one")
                keywords[words] = (family, _TIERS[tier])
    return FamilyIndex(tuple(families), keywords)


def family_of(name: str, index: FamilyIndex) -> str:
    """Return the family that the words of ``name`` point to, else the generic one.

    A longer phrase beats a shorter one, then a finish a material and a material a product, then the last word wins:
    English puts the head of a compound last.
    """
    forms = [_forms(word) for word in _words(name)]
    best = (0, 0, 0)
    family = GENERIC
    for words, (candidate, weight) in index.keywords.items():
        for start in range(len(forms) - len(words) + 1):
            if all(word in forms[start + offset] for offset, word in enumerate(words)):
                rank = (len(words), weight, start + len(words))
                if rank > best:
                    best, family = rank, candidate
    return family


def family_defects(family: str) -> tuple[Defect, ...]:
    """Return the defects of ``family``, ``{object}`` still standing in their prompts."""
    entries = yaml.safe_load((_folder() / f"{family}.yaml").read_text(encoding="utf-8"))
    return tuple(
        Defect.model_validate({key: value for key, value in entry.items() if key != "source"}) for entry in entries
    )


def catalogue_digest() -> str:
    """Return a SHA-256 over the whole catalogue, whatever the line endings of this installation."""
    digest = hashlib.sha256()
    for entry in sorted(_folder().iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            digest.update(entry.name.encode() + b"\0" + entry.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def _folder() -> Traversable:
    return files("fmas.builtin.catalogue") / "data"


def _words(name: str) -> Words:
    """Return the words of ``name`` in lower case; ``pcb1``, ``metal_nut`` and ``MetalNut`` are two words each."""
    return tuple(re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _forms(word: str) -> frozenset[str]:
    """Return ``word`` and whatever it may be the plural of."""
    forms = {word}
    if word.endswith("s"):
        forms.add(word[:-1])
    if word.endswith("es"):
        forms.add(word[:-2])
    if word.endswith("ies"):
        forms.add(word[:-3] + "y")
    if word.endswith("ves"):
        forms.update((word[:-3] + "f", word[:-3] + "fe"))
    return frozenset(forms)
