"""What a language model is asked: the paper's question, word for word, and how the answer is to look."""

from __future__ import annotations

from fmas.errors import ConfigError
from fmas.types import DefectKind

__all__ = ["PAPER_QUESTION", "instructions", "question"]

PAPER_QUESTION = (
    "It's an image of a {object}. If anomalies are to be generated on this object using Stable Diffusion's inpainting "
    "mode, what prompts and negative prompts should be used?"
)
"""arXiv 2603.02964; ``{object}`` stands for the product in the user's words."""

_INSTRUCTIONS = (
    "You are an experienced inspector of industrial products and help to make training images for a defect detector. "
    "Name {count} different defects that really occur when this product is made, handled or used, from common to rare "
    "and from subtle to obvious. Each defect will be painted into a small region of a photograph of a good part. For "
    "each give: name, two to four words; kind, the physical kind, one of {kinds}; prompt, what the inpainting model is "
    "to paint inside the region, under 40 words, naming the defect, the material and a photographic style; "
    "negative_prompt, what to avoid, under 25 words; severity, from 0.0 (hardly visible) to 1.0 (as strong as this "
    "kind gets); placement, where on the product it lies: anywhere, edge, inside (away from the edge), or auto where "
    "the kind says it. Answer with the defects alone, in English."
)


def question(template: str, product: str) -> str:
    """Put the product into a question.

    Args:
        template: Holds ``{object}`` at least once; other braces stand for themselves.
        product: The product in the user's words.

    Raises:
        ConfigError: If the template never names the product.
    """
    if "{object}" not in template:
        raise ConfigError(
            f"expected a template that holds {{object}}, got {template[:80]!r}; write {{object}} where the product goes"
        )
    return template.replace("{object}", product)


def instructions(count: int) -> str:
    """Return how the answer is to look, for ``count`` defects."""
    return _INSTRUCTIONS.format(count=count, kinds=", ".join(kind.value for kind in DefectKind))
