"""Inspecting with an exported model: onnxruntime, numpy and OpenCV; no torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmas.errors import ConfigError, ModelError, UsageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, FloatMap, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.onnx.files import INPUT, MODEL, OUTPUT, Exchange, read_exchange, write_exchange
from fmas_providers.detectors.options import OnnxOptions
from fmas_providers.detectors.scoring.scorer import MapScorer

__all__ = ["OnnxDetector", "create", "diagnose"]

_VERSION = "2"  # raise it whenever the same picture would get another map
_CUDA = "CUDAExecutionProvider"


def create(options: Options) -> OnnxDetector:
    """Return the detector; ``options`` are those of :class:`~fmas_providers.detectors.options.OnnxOptions`."""
    return OnnxDetector(parse_options(OnnxOptions, options, section="detector"))


def diagnose(options: Options) -> dict[str, str]:
    """Say on what it would compute.

    Raises:
        ConfigError: If an option is wrong, or the device is not there.
    """
    parsed = parse_options(OnnxOptions, options, section="detector")
    providers = _providers(parsed.device)
    return {"device": providers[0].removesuffix("ExecutionProvider")}


class OnnxDetector:
    """Inspects with what `fmas export` wrote; it learns nothing.

    Args:
        options: Where to compute, and how to look at pictures.
    """

    def __init__(self, options: OnnxOptions | None = None) -> None:
        self._options = options or OnnxOptions()
        self._exchange: Exchange | None = None
        self._scorer: MapScorer | None = None

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint("onnx", _VERSION, self._options.identity())

    def fit(self, pairs: Iterable[NormalSyntheticMask]) -> None:
        """Refuse: an exported model only inspects.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "expected a detector that learns, got 'onnx', which only inspects with an exported model; train unet, then "
            "fmas export"
        )

    def score(self, images: Iterable[RGBImage]) -> Iterator[tuple[FloatMap, float]]:
        """Yield for each image, in order, its map, ``(H, W)`` float32 in ``[0, 1]``, and its image score.

        Raises:
            ModelError: If nothing was loaded.
        """
        if self._scorer is None:
            raise _nothing_loaded()
        return self._scorer.score(images)

    def save(self, directory: Path) -> None:
        """Write the files that were loaded into ``directory``.

        Raises:
            ModelError: If nothing was loaded.
        """
        if self._exchange is None:
            raise _nothing_loaded()
        write_exchange(directory, self._exchange)

    def load(self, directory: Path) -> None:
        """Read ``model.onnx`` and ``detector.json``.

        Raises:
            ModelError: If a file is missing, damaged or foreign.
            ConfigError: If the device is not there.
            UsageError: If onnxruntime is not installed.
        """
        exchange = read_exchange(directory)
        session = _session(exchange.model, self._options, directory / MODEL)

        def forward(pictures: NDArray[np.float32]) -> FloatMap:
            (maps,) = session.run([OUTPUT], {INPUT: pictures})
            return np.asarray(maps, np.float32)

        self._scorer = MapScorer(
            forward,
            self._options,
            multiple=exchange.multiple,
            reference=exchange.reference,
            whole=exchange.whole,
        )
        self._exchange = exchange


def _nothing_loaded() -> ModelError:
    return ModelError("expected an exported model, got a detector that has loaded none; call load() first")


def _runtime() -> Any:  # noqa: ANN401 (onnxruntime has no types)
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:  # nothing imports it before a model is loaded
        raise UsageError(
            "expected onnxruntime to inspect with an exported model, got none installed; pip install "
            "'fmas-providers[onnx]'"
        ) from error


def _providers(device: str) -> list[str]:
    """Return onnxruntime's names of what shall compute, the CPU last.

    Raises:
        ConfigError: If this onnxruntime cannot use the device.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    available = _runtime().get_available_providers()
    if _CUDA not in available:
        raise ConfigError(
            f"expected an onnxruntime that computes on CUDA for device 'cuda', got one with {', '.join(available)}; "
            "install onnxruntime-gpu in its place, or choose cpu"
        )
    return [_CUDA, "CPUExecutionProvider"]


def _session(model: bytes, options: OnnxOptions, path: Path) -> Any:  # noqa: ANN401 (onnxruntime has no types)
    runtime = _runtime()
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads or 0  # 0 is its own choice
    providers = _providers(options.device)
    try:
        session = runtime.InferenceSession(model, settings, providers=providers)
        names = [one.name for one in session.get_inputs()], [one.name for one in session.get_outputs()]
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"expected an ONNX model in {path}, got {error}; export the model again") from error
    if names != ([INPUT], [OUTPUT]):
        raise ModelError(f"expected a model {INPUT} -> {OUTPUT} in {path}, got {names}; export the model again")
    return session
