"""The selector ``lpips``: the learned perceptual distance of Zhang et al. (2018), inside the mask's box."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import lpips
import numpy as np
import torch

from fmas.errors import ComponentError, ImageError
from fmas.options import parse_options
from fmas.secrecy import one_line
from fmas.specs import Options
from fmas.types import BoolMask, Fingerprint, RGBImage
from fmas_providers.devices import describe_device, resolve_device
from fmas_providers.lpips.options import LEAST_SIDE, LPIPSOptions

__all__ = ["LPIPSSelector", "create", "diagnose"]

_VERSION = "1"  # raise it whenever the same pictures would get another score
_BACKBONES = {
    "alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
    "vgg": ("vgg16", "vgg16-397923af.pth"),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
}
"""Network -> torchvision's name of its backbone, and the file that torch.hub keeps it in."""


def create(options: Options) -> LPIPSSelector:
    """Return the selector; ``options`` are those of :class:`LPIPSOptions`."""
    return LPIPSSelector(parse_options(LPIPSOptions, options, section="selector"))


def diagnose(options: Options) -> dict[str, str]:
    """Say what a run would measure with; nothing is loaded or fetched.

    Raises:
        ConfigError: If the device is missing.
        ComponentError: If the backbone's weights are not here; a run would fetch them.
    """
    wanted = parse_options(LPIPSOptions, options, section="selector")
    said = {"device": describe_device(wanted.device), "network": wanted.net}
    if wanted.backbone == "random":
        return said | {"weights": "random: its distances mean nothing"}
    place = _weights_file(wanted)
    if not place.is_file():
        raise ComponentError(
            f"expected the backbone's weights in {place}, got none; the first run fetches them where there is a network"
        )
    return said | {"weights": f"{place.stat().st_size / 1e9:.2f} GB in {place}"}


class LPIPSSelector:
    """Measures a distance in the features of a network; see the module's first line.

    Raises:
        ComponentError: If the backbone's weights are neither here nor to be fetched.
    """

    def __init__(self, options: LPIPSOptions) -> None:
        self._options = options
        self._device = resolve_device(options.device)
        self._network = _load(options).to(self._device)

    def fingerprint(self) -> Fingerprint:
        """Return name, version and options."""
        config = self._options.model_dump(mode="json", exclude={"device"})
        return Fingerprint("lpips", f"{_VERSION}+lpips{version('lpips')}", config)

    def score(self, original: RGBImage, candidate: RGBImage, mask: BoolMask) -> float:
        """Return LPIPS inside the mask's bounding box.

        Args:
            original: The good part, ``(H, W, 3)`` uint8 RGB.
            candidate: The same with a defect, same shape.
            mask: ``(H, W)`` bool, not empty.

        Returns:
            A distance, 0 for the same picture, below about 1; larger is more different.

        Raises:
            ImageError: If sizes differ or the mask is empty.
        """
        if original.shape != candidate.shape or mask.shape != original.shape[:2] or not mask.any():
            raise ImageError(
                f"expected original, candidate and a mask that is not empty, of equal size, got {original.shape[:2]}, "
                f"{candidate.shape[:2]} and {mask.shape} with {np.count_nonzero(mask)} pixels; resize or reject them"
            )
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        with torch.inference_mode():
            distance = self._network(self._tensor(original[box]), self._tensor(candidate[box]))
        return max(float(distance), 0.0)

    def _tensor(self, crop: RGBImage) -> torch.Tensor:
        """Return ``(1, 3, h, w)`` float32 in [-1, 1], each side at least 64 pixels."""
        height, width = crop.shape[:2]
        scale = min(1.0, self._options.largest / max(height, width))
        size = tuple(max(round(side * scale), LEAST_SIDE) for side in (width, height))
        if size != (width, height):
            shrinks = size[0] <= width and size[1] <= height
            crop = np.asarray(
                cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), dtype=np.uint8
            )
        tensor = torch.from_numpy(np.ascontiguousarray(crop)).to(self._device)
        return tensor.permute(2, 0, 1)[None].to(torch.float32) / 127.5 - 1.0


def _weights_file(options: LPIPSOptions) -> Path:
    """Return where torch.hub keeps the backbone's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONES[options.net][1]


def _load(options: LPIPSOptions) -> Any:  # noqa: ANN401 (lpips has no types)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that `random` is the same in every process
        warnings.filterwarnings("ignore", module="torchvision")  # lpips asks for weights in torchvision's old way
        try:
            network = lpips.LPIPS(net=options.net, pnet_rand=options.backbone == "random", verbose=False)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a damaged file is a RuntimeError
            name, place = _BACKBONES[options.net][0], _weights_file(options)
            raise ComponentError(
                f"expected the weights of {name} in {place}, got {one_line(error)}; fetch them once where there is a "
                f"network: python -c \"import torchvision; torchvision.models.{name}(weights='IMAGENET1K_V1')\", and "
                "copy that file here"
            ) from error
    return network.eval().requires_grad_(False)
