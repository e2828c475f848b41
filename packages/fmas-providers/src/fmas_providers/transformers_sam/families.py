"""What each generation of SAM in transformers wants, told by the ``model_type`` of its ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass

from fmas.errors import ConfigError

__all__ = ["FAMILIES", "Family", "family_for"]


@dataclass(frozen=True, slots=True)
class Family:
    """One generation.

    Attributes:
        model: Its class in transformers.
        processor: The class that prepares its input.
        text: Whether it is asked by text; else it is pointed at.
        embeds_as: The argument that takes a picture's embedding, so that it is computed once for several questions.
    """

    model: str
    processor: str
    text: bool = False
    embeds_as: str = "image_embeddings"


_SAM = Family("SamModel", "SamProcessor")
_SAM2 = Family("Sam2Model", "Sam2Processor")
_SAM3 = Family("Sam3Model", "Sam3Processor", text=True)

FAMILIES = {"sam": _SAM, "sam2": _SAM2, "sam2_video": _SAM2, "sam3": _SAM3, "sam3_video": _SAM3}


def family_for(model_type: str) -> Family:
    """Return how to use a model of this type.

    Raises:
        ConfigError: If it is no SAM.
    """
    if model_type not in FAMILIES:
        raise ConfigError(
            f"expected a SAM ({', '.join(FAMILIES)}) in segmenter.model, got a model of type {model_type!r}; choose "
            "another one"
        )
    return FAMILIES[model_type]
