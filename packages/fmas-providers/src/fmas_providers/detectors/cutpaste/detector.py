"""The detector ``cutpaste``: the paper's three-way classifier, its densities of good parts, and the maps from them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fmas.detectors import SubbandWeights, TrainingProgress
from fmas.errors import ComponentError, ImageError, ModelError, UsageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, FloatMap, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.cutpaste.backbone import ScarClassifier, build_classifier, pretrained_weights
from fmas_providers.detectors.cutpaste.embedding import Densities, Embedder, fit_densities
from fmas_providers.detectors.cutpaste.maps import lay_out
from fmas_providers.detectors.cutpaste.sampling import ClassSampler, FindForeground, Squares
from fmas_providers.detectors.cutpaste.validation import Validation, cross_entropy
from fmas_providers.detectors.options import CutPasteOptions
from fmas_providers.detectors.scoring.gate import Gate, GateReference, apply_gate
from fmas_providers.detectors.scoring.views import resized
from fmas_providers.detectors.training.loop import fit
from fmas_providers.detectors.training.pairs import identity_of, split_by_photograph, spread
from fmas_providers.detectors.training.surroundings import resolve_precision
from fmas_providers.detectors.weights_file import WEIGHTS, load_network, read_about, read_tensors, save_detector
from fmas_providers.devices import describe_device

__all__ = ["CutPasteDetector", "create", "diagnose"]

_NAME = "cutpaste"
_VERSION = "2"  # raise it whenever the same pairs would give other maps or scores
_STEPS = 2000
_GATE_PHOTOGRAPHS = 24
_SHAPING = ("backbone", "wdam", "wdam_layers", "fmas", "side")
"""Options that the weights were learnt under and cannot be used without."""


def create(options: Options) -> CutPasteDetector:
    """Return the detector; ``options`` are those of :class:`CutPasteOptions`."""
    return CutPasteDetector(parse_options(CutPasteOptions, options, section="detector"))


def diagnose(options: Options) -> dict[str, str]:
    """Say what a training would compute with; nothing is loaded or fetched.

    Raises:
        ConfigError: If the device is missing or there is no such backbone.
        ComponentError: If the backbone's weights are not here.
    """
    wanted = parse_options(CutPasteOptions, options, section="detector")
    said = {"device": describe_device(wanted.device), "backbone": wanted.backbone}
    if not wanted.pretrained:
        return said | {"weights": "random"}
    return said | {"weights": pretrained_weights(wanted.backbone)}


class CutPasteDetector:
    """Learns to tell good parts, good parts with a scar and synthetic anomalies apart; see the module's first line.

    Scores are Mahalanobis distances under Gaussians over what the network makes of good parts: of the pooled embedding
    for the image score, of the deepest features at each position for the map.
    """

    def __init__(self, options: CutPasteOptions) -> None:
        self._options = options
        self._network: ScarClassifier | None = None
        self._densities: Densities | None = None
        self._reference: GateReference | None = None

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint(_NAME, f"{_VERSION}+timm{version('timm')}", self._options.identity())

    def fit(self, pairs: Iterable[NormalSyntheticMask]) -> None:
        """Learn from pairs, all held in memory; some photographs are held out to stop by.

        Raises:
            UsageError: If there is no pair.
        """
        learnt, held_out = split_by_photograph(list(pairs), seed=self._options.seed)
        with tempfile.TemporaryDirectory(prefix="fmas-cutpaste-") as workspace:
            self.train(learnt, held_out, workspace=Path(workspace))

    def train(
        self,
        pairs: Sequence[NormalSyntheticMask],
        validation: Sequence[NormalSyntheticMask],
        *,
        workspace: Path,
        progress: TrainingProgress | None = None,
    ) -> Mapping[str, object]:
        """Learn from ``pairs``; see :meth:`fmas.detectors.TrainableDetector.train`.

        The densities are fitted to the good photographs of ``pairs``; those of ``validation`` stay unseen, so that a
        threshold can be taken from them.

        Raises:
            UsageError: If there is no pair.
            ConfigError: If the backbone, its layers or the device do not exist.
            ComponentError: If the backbone's weights are missing, or the training diverges.
            ModelError: If the workspace holds another training's checkpoint, or a damaged one.
        """
        if not pairs:
            raise UsageError("expected at least one pair to learn from, got none; run `fmas run` on good photographs")
        options = self._options
        device, _ = resolve_precision(options)
        self._reference = self._learn_reference(pairs)
        inside = self._scars_inside()  # once: a segmenter may hold a large model
        squares = Squares(pairs, side=options.side, find_foreground=inside)
        held_out = Squares(validation, side=options.side, find_foreground=inside)
        sampler = ClassSampler(squares, options)
        network = build_classifier(options, pretrained=options.pretrained)
        outcome = fit(
            network,
            sampler,
            cross_entropy,
            Validation(ClassSampler(held_out, options), device=device, at_once=options.score_batch)
            if len(held_out)
            else None,
            options,
            steps=options.planned_steps(sampler.pictures, default=_STEPS),
            identity=identity_of({"name": _NAME, "version": _VERSION, **options.identity()}, pairs, validation),
            workspace=workspace,
            progress=progress,
        )
        self._network = network
        self._densities = fit_densities(self._embedder(network), squares, at_once=options.score_batch)
        return {**outcome.about(), "shrinkage": self._densities.pictures.shrinkage}

    def score(self, images: Iterable[RGBImage]) -> Iterator[tuple[FloatMap, float]]:
        """Yield for each image, in order, its map and image score.

        Args:
            images: ``(H, W, 3)`` uint8 RGB, of any sizes; ``score_batch`` of them are read at a time.

        Yields:
            The map, ``(H, W)`` float32, a distance from 0 upwards at each pixel, closed outside the product with
            ``gate``; and the distance of the whole picture.

        Raises:
            ImageError: If an image has another shape or dtype.
            ModelError: If nothing was learnt or loaded yet.
        """
        network, densities = self._ready()
        embedder, options = self._embedder(network), self._options
        find = self._gate().find if options.gate else _everywhere
        with ThreadPoolExecutor(1, thread_name_prefix="gate") as pool:
            for batch in _batches(images, options.score_batch):
                gates = [pool.submit(find, image) for image in batch]
                embedded = embedder([resized(image, options.side) for image in batch])
                for image, gate, (places, score) in zip(batch, gates, densities.distances(embedded), strict=True):
                    anomaly_map = lay_out(
                        places, image.shape[:2], side=options.side, stride=network.stride, offset=network.offset
                    )
                    apply_gate(anomaly_map, gate.result())
                    yield anomaly_map, score

    def explain(self, images: Iterable[RGBImage]) -> Iterator[SubbandWeights]:
        """Yield for each image, in order, the sub-band weights of each layer; empty without WDAM.

        Raises:
            ImageError: If an image has another shape or dtype.
            ModelError: If nothing was learnt or loaded yet.
        """
        embedder = self._embedder(self._ready()[0])
        for batch in _batches(images, self._options.score_batch):
            embedded = embedder([resized(image, self._options.side) for image in batch], subbands=True)
            for number in range(len(batch)):
                yield {name: _four(weights[number]) for name, weights in embedded.subbands.items()}

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``detector.json`` into ``directory``.

        Raises:
            ModelError: If nothing was learnt or loaded yet.
        """
        network, densities = self._ready()
        parts = {"network": network.state_dict(), "density": densities.tensors()}
        tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
        about = {
            "detector": _NAME,
            "version": _VERSION,
            "options": self._options.model_dump(mode="json"),
            "gate": self._reference.to_json() if self._reference else None,
        }
        save_detector(directory, tensors, about)

    def load(self, directory: Path) -> None:
        """Read what :meth:`save` wrote; the backbone's pretrained weights are not needed for it.

        Raises:
            ModelError: If it is missing, damaged, of another detector or of other options.
            ConfigError: If the device is missing.
        """
        about = read_about(directory, detector=_NAME, version=_VERSION)
        self._check_options(directory, about.get("options"))
        tensors = read_tensors(directory)
        device, _ = resolve_precision(self._options)
        network = build_classifier(self._options, pretrained=False)
        load_network(network, _part(tensors, "network"), source=directory / WEIGHTS)
        gate = about.get("gate")
        try:
            densities = Densities.from_tensors(_part(tensors, "density"))
            reference = GateReference.from_json(gate) if isinstance(gate, dict) else None
        except (ComponentError, ValueError) as error:
            raise ModelError(f"expected a whole model in {directory}, got a damaged one: {error}") from error
        self._network, self._densities, self._reference = network.to(device).eval(), densities, reference

    def _ready(self) -> tuple[ScarClassifier, Densities]:
        if self._network is None or self._densities is None:
            raise ModelError("expected a trained detector, got one that learnt nothing yet; train it or load a model")
        return self._network, self._densities

    def _embedder(self, network: ScarClassifier) -> Embedder:
        device, dtype = resolve_precision(self._options)
        # Distances are differences: half precision is for learning, unless it was asked for by name.
        precision = torch.float32 if self._options.dtype == "auto" else dtype
        return Embedder(network, device, precision, self._options.threads)

    def _gate(self, *, margin: float | None = None) -> Gate:
        options = self._options
        return Gate.named(
            options.segmenter, margin=options.gate_margin if margin is None else margin, reference=self._reference
        )

    def _learn_reference(self, pairs: Sequence[NormalSyntheticMask]) -> GateReference | None:
        if not (self._options.gate or self._options.foreground):
            return None
        return self._gate().learn(pairs[index].normal for index in spread(len(pairs), _GATE_PHOTOGRAPHS))

    def _scars_inside(self) -> FindForeground | None:
        """Return what finds the product for the paper's +FM, or ``None`` without."""
        if not self._options.foreground:
            return None
        gate = self._gate(margin=0.0)

        def find(photograph: RGBImage) -> BoolMask | None:
            weights = gate.find(photograph)
            return None if weights is None else weights > 0.5

        return find

    def _check_options(self, directory: Path, saved: object) -> None:
        mine = self._options.identity()
        theirs = saved if isinstance(saved, dict) else {}
        for name in _SHAPING:
            if theirs.get(name) != mine[name]:
                raise ModelError(
                    f"expected a model with {name}={mine[name]!r} in {directory}, got {theirs.get(name)!r}; leave "
                    f"{name} as it was in training, or train again"
                )


def _batches(images: Iterable[RGBImage], size: int) -> Iterator[list[RGBImage]]:
    stream = iter(images)
    while batch := list(islice(stream, size)):
        for image in batch:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ImageError(
                    f"expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}; convert it to 8-bit RGB"
                )
        yield batch


def _everywhere(_: RGBImage) -> FloatMap | None:
    return None


def _four(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, float, float, float]:
    low, horizontal, vertical, diagonal = (float(weight) for weight in weights)
    return low, horizontal, vertical, diagonal


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
