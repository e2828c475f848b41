"""Everything after the network, in numpy and OpenCV alone: shared by the detectors of torch and of ONNX.

A photograph is cut into overlapping tiles (:mod:`~fmas_providers.detectors.scoring.tiles`), which are normalised
(:mod:`~fmas_providers.detectors.scoring.normalise`), go through the network and are blended back into one map; what
lies outside the product is set to zero (:mod:`~fmas_providers.detectors.scoring.gate`), and the highest values that are
left make the image score (:mod:`~fmas_providers.detectors.scoring.image_score`).
:class:`~fmas_providers.detectors.scoring.scorer.MapScorer` does all of it for a stream of pictures.
"""

from __future__ import annotations

from fmas_providers.detectors.scoring.gate import Gate, GateReference
from fmas_providers.detectors.scoring.image_score import image_score
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.scorer import Forward, MapScorer

__all__ = ["Forward", "Gate", "GateReference", "MapScorer", "ScoringOptions", "image_score", "normalise"]
