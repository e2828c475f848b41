"""The options of every detector here; readable where torch is not installed."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.devices import DTypeName

__all__ = ["CutPasteOptions", "OnnxOptions", "TrainingOptions", "UNetOptions"]


class _Options(BaseModel):
    """What all options share.

    ``INCIDENTAL`` names the fields that change how long something takes, not what comes out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    INCIDENTAL: ClassVar[frozenset[str]] = frozenset()

    def identity(self) -> dict[str, object]:
        """Return what a result depends on, JSON values."""
        return self.model_dump(mode="json", exclude=set(self.INCIDENTAL))


class TrainingOptions(_Options):
    """How a network is trained, whichever it is.

    Attributes:
        seed: Of everything random: first weights, crops, augmentation.
        steps: How many batches to learn from; ``None`` for the detector's own number.
        epochs: How often every pair is learnt from; wins over ``steps``.
        batch_size: Pictures in a batch.
        learning_rate: The highest; warmed up to over the first steps and lowered to nothing along a half cosine.
        warmup: The part of the steps over which the learning rate rises.
        weight_decay: AdamW's; biases and normalisation layers are spared.
        gradient_clip: The largest norm of a gradient, 0 for no limit.
        ema: Decay of the moving average of the weights, which is what is validated and kept; 0 for none.
        checks: How often the validation pairs are scored on the way, at even distances.
        patience: Checks in a row without a better validation score after which training stops; 0 for never.
        checkpoint_seconds: Least time between two checkpoints; 0 for one after every step.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: Precision of the network's arithmetic; ``auto`` is float32 on a CPU and half precision on a CUDA
            device in training, and float32 in scoring anywhere.
        compile: Whether ``torch.compile`` makes the network faster first, which takes a minute and a C++ compiler.
        threads: Threads that torch computes with on a CPU; ``None`` for torch's choice. Another number of threads may
            change the last bits of the weights.
    """

    INCIDENTAL: ClassVar[frozenset[str]] = frozenset({"checkpoint_seconds", "device", "threads"})

    seed: int = Field(default=0, ge=0, lt=2**53)
    steps: int | None = Field(default=None, ge=1, le=10_000_000)
    epochs: int | None = Field(default=None, ge=1, le=1_000_000)
    batch_size: int = Field(default=16, ge=1, le=4096)
    learning_rate: float = Field(default=3e-3, gt=0.0, le=10.0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0.0, le=1.0, allow_inf_nan=False)
    weight_decay: float = Field(default=1e-2, ge=0.0, le=1.0, allow_inf_nan=False)
    gradient_clip: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    ema: float = Field(default=0.99, ge=0.0, lt=1.0, allow_inf_nan=False)
    checks: int = Field(default=10, ge=1, le=10_000)
    patience: int = Field(default=6, ge=0, le=10_000)
    checkpoint_seconds: float = Field(default=30.0, ge=0.0, allow_inf_nan=False)
    device: str = "auto"
    dtype: DTypeName = "auto"
    compile: bool = False
    threads: int | None = Field(default=None, ge=1, le=1024)

    def planned_steps(self, pictures: int, *, default: int) -> int:
        """Return how many batches to learn from.

        Args:
            pictures: How many one round through all pairs has, good twins and scars included.
            default: What the detector takes when nothing was asked for.
        """
        if self.epochs is not None:
            return max(1, -(-self.epochs * pictures // self.batch_size))
        return default if self.steps is None else self.steps


class UNetOptions(TrainingOptions, ScoringOptions):
    """Options of the detector ``unet``, and of how it looks at pictures (:class:`ScoringOptions`).

    Attributes:
        wdam: Whether it looks through WDAM on its shallow levels.
        wdam_levels: On how many levels, from the finest on.
        width: Channels of the finest level; each deeper one has twice as many, up to eight times.
        levels: Resolutions; each halves the one before.
        stem: How much smaller than the photograph the finest level is.
        view: ``whole`` brings every photograph as a whole to a square of ``crop``; ``crops`` learns from square crops
            at native resolution and inspects in tiles; ``auto`` takes ``whole`` unless a good photograph is more than
            two and a half times as long as ``crop``, and the model keeps what was taken.
        crop: Side of the squares to learn from, in pixels.
        strength: Defects are made so many times as strong, by chance between the two: faint ones teach little at
            first.
        focusing: The focal loss's gamma: how much less a pixel weighs that is right already. In a short training
            hardly any is (docs/explanation/training-trials.md), hence 0; a long one may want the usual 2.
        anomalies: What to learn from: the synthetic pairs, CutPaste scars on their good twins, or both.
        encoder: Name of a timm network to encode with instead of the built-in one, e.g. ``resnet18``.
        pretrained: Whether that network starts from timm's pretrained weights.
    """

    INCIDENTAL: ClassVar[frozenset[str]] = TrainingOptions.INCIDENTAL | {"score_batch"}

    wdam: bool = True
    wdam_levels: int = Field(default=2, ge=1, le=6)
    width: int = Field(default=20, ge=2, le=512)
    levels: int = Field(default=4, ge=2, le=7)
    stem: Literal[2, 4] = 4
    view: Literal["auto", "whole", "crops"] = "auto"
    crop: int = Field(default=256, ge=32, le=2048)
    strength: tuple[float, float] = (1.0, 3.0)
    focusing: float = Field(default=0.0, ge=0.0, le=5.0, allow_inf_nan=False)
    anomalies: Literal["fmas", "scars", "both"] = "fmas"
    encoder: str | None = Field(default=None, min_length=1)
    pretrained: bool = True

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> Self:
        if 0 < self.focusing < 1:  # its gradient is infinite where a pixel is right already
            raise ValueError(f"expected focusing as 0, or from 1 to 5, got {self.focusing}")
        low, high = self.strength
        if not 0 < low <= high <= 100:
            raise ValueError(f"expected strength as LOW, HIGH with 0 < LOW <= HIGH <= 100, got {low}, {high}")
        return self


class CutPasteOptions(TrainingOptions):
    """Options of the detector ``cutpaste``, the paper's.

    Attributes:
        backbone: Name of a timm ResNet.
        pretrained: Whether it starts from timm's pretrained weights.
        wdam: Whether blocks of the backbone look through WDAM.
        wdam_layers: Which, as ``wdam.insert`` names them.
        fmas: Whether the synthetic pairs are learnt from as a third class.
        foreground: Whether scars lie inside the product only (the paper's +FM, in our reading).
        side: Side of the square that a picture is resized to, in pixels.
        gate: See :class:`ScoringOptions`.
        segmenter: See :class:`ScoringOptions`; also says where scars may lie.
        gate_margin: See :class:`ScoringOptions`.
        score_batch: How many pictures go through the network at once.
    """

    INCIDENTAL: ClassVar[frozenset[str]] = TrainingOptions.INCIDENTAL | {"score_batch"}

    learning_rate: float = Field(default=3e-4, gt=0.0, le=10.0, allow_inf_nan=False)
    backbone: str = Field(default="wide_resnet50_2", min_length=1)
    pretrained: bool = True
    wdam: bool = True
    wdam_layers: str = Field(default="layer1.*", min_length=1)
    fmas: bool = True
    foreground: bool = True
    side: int = Field(default=256, ge=32, le=1024)
    gate: bool = True
    segmenter: str = Field(default="builtin", min_length=1)
    gate_margin: float = Field(default=0.02, ge=0.0, le=0.5, allow_inf_nan=False)
    score_batch: int = Field(default=8, ge=1, le=4096)


class OnnxOptions(_Options, ScoringOptions):
    """Options of the detector ``onnx``, and of how it looks at pictures (:class:`ScoringOptions`).

    Attributes:
        device: ``cpu``, or ``cuda`` where onnxruntime-gpu is installed.
        threads: Threads that onnxruntime computes with; ``None`` for its choice.
    """

    INCIDENTAL: ClassVar[frozenset[str]] = frozenset({"score_batch", "device", "threads"})

    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(default=None, ge=1, le=1024)
