"""The classifier of the paper's figure: a timm ResNet with WDAM in its first layer and one answer per class."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torch import Tensor, nn

from fmas.errors import ComponentError, ConfigError
from fmas.secrecy import one_line
from fmas_providers.detectors.options import CutPasteOptions
from fmas_providers.detectors.scoring.normalise import OFFSET, SCALE
from wdam import insert
from wdam.errors import ModelError as BlockError
from wdam.insertion import insertions
from wdam.module import WDAM

__all__ = ["CLASSES", "ScarClassifier", "build_classifier", "pretrained_weights"]

CLASSES = ("normal", "scar", "fmas")
"""The classes by their number; without ``fmas`` the first two."""

_GREY_LEVELS = 255.0
_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_TRIAL_SIDE = 64


class ScarClassifier(nn.Module):
    """A backbone behind the normalisation that its pretrained weights expect.

    Called with pictures ``(N, 3, H, W)`` as :func:`~fmas_providers.detectors.scoring.normalise.normalise` makes them,
    it returns logits ``(N, classes)``.

    Args:
        backbone: A timm model whose deepest features are maps ``(N, C, h, w)``.
        mean: Of each channel, in ``[0, 1]``, that the backbone expects to be subtracted.
        std: Of each channel, in ``[0, 1]``, that it expects to be divided by.

    Attributes:
        backbone: The timm model.
        embedding_size: ``D`` of the pooled embedding.
        feature_size: ``C`` of the deepest features.
        stride: Pixels of the input from one position of the deepest features to the next.
        offset: The pixel of the input that the first position is centred on.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        means, deviations = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
        self.register_buffer("gain", 1 / (SCALE * _GREY_LEVELS * deviations))
        self.register_buffer("shift", (-OFFSET / (SCALE * _GREY_LEVELS) - means) / deviations)
        self.embedding_size, self.feature_size, self.stride = self._sizes()
        self.offset = _first_centre(backbone, self.stride)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits ``(N, classes)`` of pictures ``(N, 3, H, W)``."""
        model = cast("Any", self.backbone)
        return cast("Tensor", model.forward_head(model.forward_features(pictures * self.gain + self.shift)))

    def embed(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings ``(N, D)``, what the last layer decides by, and deepest features ``(N, C, h, w)``."""
        model = cast("Any", self.backbone)
        features = model.forward_features(pictures * self.gain + self.shift)
        return model.forward_head(features, pre_logits=True), features

    @contextmanager
    def watching(self) -> Iterator[dict[str, Tensor]]:
        """Collect, while the block runs, what each WDAM weighs the sub-bands by: layer -> ``(N, 4)``.

        Every call of the network replaces what the call before left.
        """
        seen: dict[str, Tensor] = {}
        hooks = []
        for insertion in insertions(self.backbone):
            attention = cast("WDAM", self.backbone.get_submodule(f"{insertion.name}.wdam"))

            def keep(module: WDAM, inputs: tuple[Tensor, ...], _: Tensor, name: str = insertion.name) -> None:
                seen[name] = module.subband_weights(inputs[0])

            hooks.append(attention.register_forward_hook(keep))
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def _sizes(self) -> tuple[int, int, int]:
        """Return sizes of embedding and features, and the stride, as a trial shows them."""
        was_training = self.training
        with torch.no_grad():
            embedding, features = self.eval().embed(torch.zeros(1, 3, _TRIAL_SIDE, _TRIAL_SIDE))
        self.train(was_training)
        if features.ndim != 4 or embedding.ndim != 2 or features.shape[-1] != features.shape[-2]:
            raise ConfigError(
                f"expected a backbone whose deepest features are maps (N, C, h, w), got {tuple(features.shape)}; "
                "choose a ResNet, such as wide_resnet50_2 or resnet18"
            )
        return embedding.shape[1], features.shape[1], _TRIAL_SIDE // features.shape[-1]


def build_classifier(options: CutPasteOptions, *, pretrained: bool) -> ScarClassifier:
    """Return the network that the options describe; the same options give the same first weights.

    Args:
        options: Backbone, classes, WDAM and seed.
        pretrained: Whether to start from timm's weights; they are fetched if they are not here.

    Raises:
        ConfigError: If there is no such backbone, it cannot be used, or no layer is called ``wdam_layers``.
        ComponentError: If the weights are neither here nor to be fetched.
    """
    _check_name(options.backbone)
    classes = len(CLASSES) if options.fmas else len(CLASSES) - 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(options.seed)
        try:
            model = timm.create_model(options.backbone, pretrained=pretrained, num_classes=classes)
        except (OSError, RuntimeError, ValueError) as error:
            if not pretrained:
                raise
            raise _no_weights(options.backbone, one_line(error)) from error
        described: Mapping[str, Any] = model.pretrained_cfg
        if options.wdam:
            # After the weights: their names do not know WDAM.
            try:
                insert(model, options.wdam_layers)
            except BlockError as error:
                raise ConfigError(f"detector.wdam_layers: {error}") from error
    return ScarClassifier(model, tuple(described["mean"]), tuple(described["std"]))


def pretrained_weights(backbone: str) -> str:
    """Return where timm's weights of a backbone lie and how large they are; nothing is fetched.

    Raises:
        ConfigError: If there is no such backbone.
        ComponentError: If its weights are not on this machine.
    """
    _check_name(backbone)
    described = timm.models.get_pretrained_cfg(backbone)
    repository = getattr(described, "hf_hub_id", None)
    if not repository:
        raise _no_weights(backbone, "none published on the Hugging Face hub")
    for name in _WEIGHTS_FILES:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return f"{Path(found).stat().st_size / 1e9:.2f} GB in {found}"
    raise _no_weights(backbone, f"nothing of {repository} in the cache")


def _check_name(backbone: str) -> None:
    if timm.is_model(backbone):
        return
    nearest = difflib.get_close_matches(backbone.partition(".")[0], timm.list_models(), n=1)
    meant = f"did you mean {nearest[0]!r}?" if nearest else "choose one of timm.list_models(), such as wide_resnet50_2"
    raise ConfigError(f"expected the name of a timm model as detector.backbone, got {backbone!r}; {meant}")


def _no_weights(backbone: str, got: str) -> ComponentError:
    return ComponentError(
        f"expected timm's weights of {backbone} on this machine, got {got}; fetch them once where there is a network "
        f"(python -c \"import timm; timm.create_model('{backbone}', pretrained=True)\", then copy the Hugging Face "
        "cache), or start from random weights with pretrained=false"
    )


def _first_centre(backbone: nn.Module, stride: int) -> float:
    """Return which pixel the first position of the deepest features is centred on.

    Convolutions with odd, padded kernels, as a ResNet's, leave position ``i`` at pixel ``stride * i``; patches side by
    side centre it inside the patch.
    """
    convolutions = (module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    striding = next((module for module in convolutions if module.stride[0] > 1), None)
    return 0.0 if striding is None or striding.kernel_size[0] % 2 else (stride - 1) / 2
