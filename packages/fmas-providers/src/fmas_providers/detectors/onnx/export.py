"""Writing a trained network as ONNX, and checking that onnxruntime draws the same maps."""

from __future__ import annotations

import copy
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmas.detectors import Exported
from fmas.errors import ComponentError, UsageError
from fmas.types import FloatMap, RGBImage
from fmas_providers.detectors.onnx.detector import OnnxDetector
from fmas_providers.detectors.onnx.files import INPUT, OUTPUT, Exchange, write_exchange
from fmas_providers.detectors.options import OnnxOptions
from fmas_providers.detectors.scoring.gate import GateReference
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.scorer import Forward, MapScorer
from fmas_providers.detectors.unet.maps import maps_of

__all__ = ["LARGEST_DIFFERENCE", "OPSET", "export_network"]

OPSET = 18
LARGEST_DIFFERENCE = 1e-3
"""Of the two runtimes' maps, relative to the highest value, from which on an export is refused; 1e-6 is usual."""


class _Maps(nn.Module):
    """The network and what makes maps of its logits, so that the ONNX model answers with maps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return maps_of(self.network(pictures))


def export_network(
    network: nn.Module,
    directory: Path,
    *,
    multiple: int,
    options: ScoringOptions,
    reference: GateReference | None = None,
    whole: int | None = None,
    parity: Sequence[RGBImage] = (),
    about: Mapping[str, object] | None = None,
) -> Exported:
    """Write ``network`` into ``directory`` and compare its maps in onnxruntime with torch's, in float32 on the CPU.

    Args:
        network: Normalised ``(N, 3, H, W)`` -> logits ``(N, H, W)``; it is left as it is, on its device.
        directory: An existing folder.
        multiple: What it demands of H and W.
        options: How its pictures are cut and gated; the exported detector does the same.
        reference: What the segmenter said of the good parts.
        whole: Side of the square that pictures are brought to as a whole; ``None`` for tiles.
        parity: Pictures to compare on, of several sizes at best.
        about: More to keep in ``detector.json``, JSON values.

    Returns:
        The detector that loads it, its options, and the largest difference; ``None`` for it where onnxruntime is not
        installed or there are no pictures.

    Raises:
        UsageError: If onnx is not installed.
        ComponentError: If the network cannot be exported, or onnxruntime draws other maps than torch.
    """
    module = _Maps(copy.deepcopy(network).to("cpu", torch.float32)).eval()
    scoring = {name: getattr(options, name) for name in ScoringOptions.model_fields}
    said = {"opset": OPSET, "torch": torch.__version__, "options": scoring, **(about or {})}
    write_exchange(directory, Exchange(_onnx_bytes(module, multiple), multiple, reference, said, whole))
    difference = None
    if parity and importlib.util.find_spec("onnxruntime") is not None:
        exported = OnnxDetector(OnnxOptions.model_validate(scoring))
        exported.load(directory)
        original = MapScorer(_forward(module), options, multiple=multiple, reference=reference, whole=whole)
        difference = _largest_difference(original, exported, parity)
        if not difference <= LARGEST_DIFFERENCE:
            raise ComponentError(
                f"expected onnxruntime's maps to differ from torch's by at most {LARGEST_DIFFERENCE:g} of the highest "
                f"value, got {difference:.2g}; try other versions of onnxruntime and torch, and do not use this export"
            )
    return Exported("onnx", scoring, difference)


def _forward(module: nn.Module) -> Forward:
    def forward(pictures: NDArray[np.float32]) -> FloatMap:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(pictures)).numpy(), np.float32)

    return forward


def _largest_difference(original: MapScorer, exported: OnnxDetector, parity: Sequence[RGBImage]) -> float:
    """Return the largest difference between two maps of a picture, relative to the highest value of all."""
    difference = highest = 0.0
    for (one, _), (other, _) in zip(original.score(parity), exported.score(parity), strict=True):
        difference = max(difference, float(np.abs(one - other).max()))
        highest = max(highest, float(one.max()))
    return difference / highest if highest else difference


def _onnx_bytes(module: nn.Module, multiple: int) -> bytes:
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("expected onnx to export with, got none; pip install 'fmas-providers[export]'")
    axes = {0: "pictures", 1: "height", 2: "width"}
    try:
        with _quiet(), tempfile.TemporaryDirectory(prefix="fmas-onnx-") as folder:
            # The older exporter: torch.export spends minutes on what follows from free sizes level by level, this one
            # a second, and the network has no branch that tracing could miss.
            torch.onnx.export(
                module,
                (torch.zeros(2, 3, 2 * multiple, 3 * multiple),),
                Path(folder, "model.onnx"),
                dynamo=False,
                dynamic_axes={INPUT: {0: axes[0], 2: axes[1], 3: axes[2]}, OUTPUT: axes},
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
            return Path(folder, "model.onnx").read_bytes()
    except RuntimeError as error:  # OnnxExporterError is one
        raise ComponentError(
            f"expected a network that torch {torch.__version__} can export, got {error}; try another version of torch"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own warnings away: that there is a newer one, and what it traces as a constant."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
