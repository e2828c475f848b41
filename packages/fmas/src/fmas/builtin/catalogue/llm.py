"""The catalogue as an llm: it answers from a list, always the same, without a network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fmas.builtin.catalogue.families import catalogue_digest, family_defects, family_of, read_index
from fmas.builtin.catalogue.own_list import read_defects
from fmas.errors import ConfigError, PlanError, suggest
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Defect, Fingerprint, PlanRequest, PromptPlan

__all__ = ["CatalogueLLM", "CatalogueOptions", "create"]

_VERSION = "2"  # raise it whenever the same catalogue would answer differently
_LONGEST_NAME = 200  # characters; much less already crowds everything else out of a text encoder's 77 tokens


class CatalogueOptions(BaseModel):
    """Options of the built-in llm.

    Attributes:
        defects: A YAML or JSON file with the user's own list, instead of the catalogue.
        family: The catalogue's family to take, instead of the one that the product's name points to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    defects: Path | None = None
    family: str | None = None


def create(options: Options) -> CatalogueLLM:
    """Return the built-in llm; ``options`` are those of :class:`CatalogueOptions`.

    Raises:
        ConfigError: If an option is wrong, or the file of defects is.
    """
    return CatalogueLLM(parse_options(CatalogueOptions, options, section="llm"))


class CatalogueLLM:
    """Looks up what can go wrong with a product; the file of defects, if any, is read once, here."""

    def __init__(self, options: CatalogueOptions | None = None) -> None:
        options = options or CatalogueOptions()
        self._index = read_index()
        if options.defects is not None and options.family is not None:
            raise ConfigError("expected llm.defects or llm.family, got both; remove one")
        if options.family is not None and options.family not in self._index.names:
            raise ConfigError(
                f"expected a family of the built-in catalogue as llm.family, got {options.family!r}; "
                f"{suggest(options.family, self._index.names)}"
            )
        self._family = options.family
        self._own = None if options.defects is None else read_defects(options.defects)

    def fingerprint(self) -> Fingerprint:
        """Return name, version, the forced family and a digest of the list that answers come from."""
        digest = catalogue_digest() if self._own is None else _digest(self._own)
        source = "catalogue" if self._own is None else "file"
        return Fingerprint(
            name="builtin",
            version=_VERSION,
            config={"family": self._family, "source": source, "sha256": digest},
        )

    def plan(self, request: PlanRequest) -> PromptPlan:
        """Return the defects of the product's family, its name put into their prompts.

        Args:
            request: ``object`` in the user's words; ``reference`` is not looked at.

        Raises:
            PlanError: If ``object`` is blank or longer than 200 characters, or a prompt grows too long with it.
        """
        name = " ".join(request.object.split())
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise PlanError(
                f"expected a product's name of 1 to {_LONGEST_NAME} characters, got {len(name)}; pass --object TEXT"
            )
        defects = self._own or family_defects(self._family or family_of(name, self._index))
        return PromptPlan(defects=tuple(_named(defect, name) for defect in defects))


def _named(defect: Defect, name: str) -> Defect:
    """Return ``defect`` with ``{object}`` replaced; other braces are the user's own and stay."""
    changes = {
        field: getattr(defect, field).replace("{object}", name) for field in ("name", "prompt", "negative_prompt")
    }
    try:
        return Defect.model_validate(defect.model_dump() | changes)
    except ValueError as error:
        raise PlanError(
            f"expected texts that fit a plan once {{object}} is replaced, got a longer one in {defect.name[:60]!r}; "
            "shorten the defect or --object"
        ) from error


def _digest(defects: tuple[Defect, ...]) -> str:
    canonical = json.dumps([defect.identity() for defect in defects], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
