"""The detector ``unet``: a compact encoder-decoder that looks through WDAM and learns from the truthful masks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmas.detectors import Exported, SubbandWeights, TrainingProgress
from fmas.errors import ConfigError, ModelError, UsageError
from fmas.options import parse_options
from fmas.specs import Options
from fmas.types import Fingerprint, FloatMap, NormalSyntheticMask, RGBImage
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.gate import Gate, GateReference
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.scorer import Forward, MapScorer
from fmas_providers.detectors.scoring.views import view_of
from fmas_providers.detectors.training.loop import fit
from fmas_providers.detectors.training.outcome import Validated
from fmas_providers.detectors.training.pairs import identity_of, split_by_photograph, spread
from fmas_providers.detectors.training.surroundings import resolve_precision, seeded, threads
from fmas_providers.detectors.unet.anomalies import held_out_from, learnt_from
from fmas_providers.detectors.unet.held_out import HeldOut
from fmas_providers.detectors.unet.losses import defect_loss
from fmas_providers.detectors.unet.maps import maps_of
from fmas_providers.detectors.unet.network import build_network
from fmas_providers.detectors.unet.pictures import WholeSampler
from fmas_providers.detectors.unet.sampling import CropSampler
from fmas_providers.detectors.unet.view import sees_whole
from fmas_providers.detectors.weights_file import load_network, read_about, read_tensors, save_detector
from fmas_providers.devices import describe_device
from wdam import WDAM

__all__ = ["UNetDetector", "create", "diagnose"]

_NAME = "unet"
_VERSION = "2"  # raise it whenever the same pairs would give another network, or the same picture another map
_STEPS = 500
_LOOKED_AT = 24  # photographs, for what is usual of the product and how large it is


def create(options: Options) -> UNetDetector:
    """Return the detector, not trained yet; ``options`` are those of :class:`UNetOptions`."""
    return UNetDetector(parse_options(UNetOptions, options, section="detector"))


def diagnose(options: Options) -> dict[str, str]:
    """Say where and in what precision it would compute; nothing is trained or fetched.

    Raises:
        ConfigError: If an option is wrong or the device is missing.
    """
    wanted = parse_options(UNetOptions, options, section="detector")
    _, dtype = resolve_precision(wanted)
    network = wanted.encoder or f"built in, width {wanted.width}"
    return {
        "device": describe_device(wanted.device),
        "precision": str(dtype).removeprefix("torch."),
        "network": network + (" with WDAM" if wanted.wdam else ""),
    }


class UNetDetector:
    """Learns to mark defects; see the module's first line.

    Raises:
        ConfigError: If the device is missing.
    """

    def __init__(self, options: UNetOptions) -> None:
        self._options = options
        self._device, self._dtype = resolve_precision(options)
        self._network: nn.Module | None = None
        self._reference: GateReference | None = None
        self._whole: int | None = None

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        return Fingerprint(_NAME, _VERSION, self._options.identity())

    def fit(self, pairs: Iterable[NormalSyntheticMask]) -> None:
        """Learn from pairs, all held in memory; some photographs are held out to stop by.

        Raises:
            UsageError: If there is no pair.
        """
        learnt, held_out = split_by_photograph(list(pairs), seed=self._options.seed)
        with tempfile.TemporaryDirectory(prefix="fmas-unet-") as workspace:
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

        Args:
            pairs: What to learn from.
            validation: Pairs of other photographs; may be empty, then the last weights are kept.
            workspace: Folder for checkpoints.
            progress: Told about every step.

        Returns:
            What :meth:`~fmas_providers.detectors.training.outcome.TrainingOutcome.about` says.

        Raises:
            UsageError: If there is no pair.
            ConfigError: If the network cannot read squares of ``crop``.
            ComponentError: If the training diverges.
            ModelError: If the workspace holds another training's checkpoint, or a damaged one.
        """
        if not pairs:
            raise UsageError("expected at least one pair to learn from, got none; run `fmas run` on good photographs")
        options = self._options
        identity = identity_of({"name": _NAME, "version": _VERSION, **options.identity()}, pairs, validation)
        with seeded(self._device, options.seed):
            network = build_network(options, pretrained=options.pretrained)
        if options.crop % _multiple(network):
            raise ConfigError(
                f"expected crop as a multiple of {_multiple(network)}, which this network reads, got {options.crop}; "
                f"take {max(options.crop // _multiple(network), 1) * _multiple(network)}"
            )
        unseen = held_out_from(validation, options.anomalies, seed=options.seed)
        looked_at = spread(len(pairs), _LOOKED_AT)
        whole = sees_whole(options.view, options.crop, (pairs[index].mask.shape for index in looked_at))
        self._whole = options.crop if whole else None
        held_out = HeldOut(unseen, side=None if whole else 3 * options.crop, seed=options.seed)

        def validate(trained: nn.Module) -> Validated:
            return held_out.measure(self._scorer(trained, options.model_copy(update={"gate": False, "flips": "never"})))

        outcome = fit(
            network,
            (WholeSampler if whole else CropSampler)(learnt_from(pairs, options.anomalies, seed=options.seed), options),
            lambda logits, batch: defect_loss(logits, batch.masks, focusing=options.focusing),
            validate if held_out.tells else None,
            options,
            steps=options.planned_steps(2 * len(pairs), default=_STEPS),
            identity=identity,
            workspace=workspace,
            progress=progress,
        )
        if options.gate:
            gate = Gate.named(options.segmenter, margin=options.gate_margin)
            self._reference = gate.learn(pairs[index].normal for index in looked_at)
        self._network = network
        return outcome.about()

    def score(self, images: Iterable[RGBImage]) -> Iterator[tuple[FloatMap, float]]:
        """Yield for each image, in order, its map, ``(H, W)`` float32 in ``[0, 1]``, and its image score.

        Raises:
            ModelError: If nothing was learnt or loaded.
        """
        return self._scorer(self._trained(), self._options, self._reference).score(images)

    def explain(self, images: Iterable[RGBImage]) -> Iterator[SubbandWeights]:
        """Yield for each image the sub-band weights of each WDAM, averaged over the image's tiles.

        Raises:
            ModelError: If nothing was learnt or loaded.
        """
        network = self._trained()
        lenses = {name: module for name, module in network.named_modules() if isinstance(module, WDAM)}
        return (self._looked_through(network, lenses, image) for image in images)

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``detector.json`` into the existing folder ``directory``.

        Raises:
            ModelError: If nothing was learnt or loaded.
            OutputError: If the folder cannot be written.
        """
        about = {
            "detector": _NAME,
            "version": _VERSION,
            "options": self._options.model_dump(mode="json"),
            "gate": None if self._reference is None else self._reference.to_json(),
            "whole": self._whole,
        }
        save_detector(directory, self._trained().state_dict(), about)

    def load(self, directory: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: If a file is missing, damaged, another detector's, or the network was another.
        """
        about = read_about(directory, detector=_NAME, version=_VERSION)
        reference = None if about.get("gate") is None else _reference(about["gate"], directory)
        _refuse_another_view(self._options, about.get("options"), directory)
        network = build_network(self._options, pretrained=False)
        load_network(network, read_tensors(directory), source=directory)
        self._whole = _whole(about.get("whole"), directory)
        self._network, self._reference = network.to(self._device).eval(), reference

    def export_onnx(self, directory: Path, *, parity: Sequence[RGBImage]) -> Exported:
        """Write an ONNX model into ``directory``; see :func:`fmas_providers.detectors.onnx.export.export_network`.

        Raises:
            ModelError: If nothing was learnt or loaded.
            UsageError: If what exporting needs is not installed.
            ComponentError: If the exported model draws other maps.
        """
        from fmas_providers.detectors.onnx.export import export_network

        network = self._trained()
        return export_network(
            network,
            directory,
            multiple=_multiple(network),
            options=self._options,
            reference=self._reference,
            whole=self._whole,
            parity=parity,
            about={"trained_as": {"detector": _NAME, "version": _VERSION, "options": self._options.identity()}},
        )

    def _trained(self) -> nn.Module:
        if self._network is None:
            raise ModelError("expected a trained detector, got a new one; call fit() or load() first")
        return self._network

    def _scorer(self, network: nn.Module, options: UNetOptions, reference: GateReference | None = None) -> MapScorer:
        return MapScorer(
            self._forward(network), options, multiple=_multiple(network), reference=reference, whole=self._whole
        )

    def _forward(self, network: nn.Module) -> Forward:
        """Return the network as numpy sees it: normalised pictures to maps."""

        def forward(pictures: NDArray[np.float32]) -> FloatMap:
            with threads(self._options.threads), torch.inference_mode(), self._precision():
                logits = network(self._tensor(pictures))
                return np.asarray(maps_of(logits).cpu().numpy(), dtype=np.float32)

        return forward

    def _precision(self) -> torch.autocast:
        """Return float32 unless a precision was named: a threshold must hold on any device, and ranks must not tie."""
        named = self._options.dtype != "auto" and self._dtype != torch.float32
        return torch.autocast(self._device.type, self._dtype, enabled=named)

    def _tensor(self, pictures: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(pictures).to(self._device, memory_format=torch.channels_last)

    def _looked_through(self, network: nn.Module, lenses: Mapping[str, WDAM], image: RGBImage) -> SubbandWeights:
        options = self._options
        height, width = image.shape[:2]
        view = view_of(
            height,
            width,
            whole=self._whole,
            tile=options.tile,
            overlap=options.overlap,
            multiple=_multiple(network),
        )
        sums = {name: torch.zeros(4, dtype=torch.float64) for name in lenses}

        def look(name: str, lens: WDAM, seen: Tensor) -> None:
            sums[name] += lens.subband_weights(seen).sum(dim=0).double().cpu()

        hooks = [
            lens.register_forward_pre_hook(lambda module, given, name=name: look(name, module, given[0]))
            for name, lens in lenses.items()
        ]
        try:
            with threads(options.threads), torch.inference_mode(), self._precision():
                for index in range(len(view) if lenses else 0):
                    network(self._tensor(normalise(view.cut(image, index))[None]))
        finally:
            for hook in hooks:
                hook.remove()
        return {name: tuple((total / len(view)).tolist()) for name, total in sums.items()}


def _multiple(network: nn.Module) -> int:
    return cast("int", network.multiple)


def _refuse_another_view(options: UNetOptions, trained: object, directory: Path) -> None:
    """Refuse to look at pictures in another way than in training; the weights were learnt for that one."""
    then = trained if isinstance(trained, dict) else {}
    for name, now in (("view", options.view), ("crop", options.crop)):
        if then.get(name) != now:
            raise ModelError(
                f"expected a model with {name}={now!r} in {directory}, got {then.get(name)!r}; leave {name} as it "
                "was in training, or train again"
            )


def _whole(found: object, directory: Path) -> int | None:
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found > 0):
        return found
    raise ModelError(
        f"expected the side of a square, or null, as `whole` in {directory}, got {found!r}; copy the whole folder "
        "again, or train again"
    )


def _reference(found: object, directory: Path) -> GateReference:
    try:
        return GateReference.from_json(found if isinstance(found, dict) else {})
    except ValueError as error:
        raise ModelError(f"{error} in {directory}; copy the whole folder again, or train again") from error
