"""Writing a trained network as ONNX, and checking that onnxruntime draws the same maps."""

from __future__ import annotations

import copy
import importlib.util
import logging
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

__all__ = ["LARGEST_DIFFERENCE", "OPSET", "export_network"]

OPSET = 18
LARGEST_DIFFERENCE = 1e-3
"""Of the two runtimes' maps, relative to the highest value, from which on an export is refused; 1e-6 is usual."""


class _Maps(nn.Module):
    """The network with its sigmoid, so that the ONNX model answers with probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.sigmoid(self.network(pictures))


def export_network(
    network: nn.Module,
    directory: Path,
    *,
    multiple: int,
    options: ScoringOptions,
    reference: GateReference | None = None,
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
        parity: Pictures to compare on, of several sizes at best.
        about: More to keep in ``detector.json``, JSON values.

    Returns:
        The detector that loads it, its options, and the largest difference; ``None`` for it where onnxruntime is not
        installed or there are no pictures.

    Raises:
        UsageError: If onnx or onnxscript is not installed.
        ComponentError: If the network cannot be exported, or onnxruntime draws other maps than torch.
    """
    module = _Maps(copy.deepcopy(network).to("cpu", torch.float32).eval())
    scoring = {name: getattr(options, name) for name in ScoringOptions.model_fields}
    said = {"opset": OPSET, "torch": torch.__version__, "options": scoring, **(about or {})}
    write_exchange(directory, Exchange(_onnx_bytes(module, multiple), multiple, reference, said))
    difference = None
    if parity and importlib.util.find_spec("onnxruntime") is not None:
        exported = OnnxDetector(OnnxOptions.model_validate(scoring))
        exported.load(directory)
        original = MapScorer(_forward(module), options, multiple=multiple, reference=reference)
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
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"expected onnx and onnxscript to export with, got no {' and no '.join(missing)}; "
            "pip install 'fmas-providers[export]'"
        )
    # torch.export takes a size of 0 or 1 for a constant, and equal sizes for the same one.
    height = multiple * -(-32 // multiple)
    example = torch.zeros(2, 3, height, height + multiple)
    free = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: free, 2: free, 3: free},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ComponentError(
            f"expected a network that torch {torch.__version__} can export, got {error}; try another version of torch"
        ) from error
    if program is None:
        raise ComponentError("expected an ONNX program from torch.onnx.export, got none; try another version of torch")
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own warnings away: torchvision is not needed, and its deprecations are inside of it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
