"""An exported detector's two files: `model.onnx` and `detector.json`; read and checked without torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fmas.errors import ModelError
from fmas.files import AtomicWriter
from fmas_providers.detectors.scoring.gate import GateReference
from fmas_providers.detectors.scoring.normalise import OFFSET, SCALE

__all__ = ["ABOUT", "INPUT", "MODEL", "OUTPUT", "Exchange", "read_exchange", "write_exchange"]

MODEL = "model.onnx"
ABOUT = "detector.json"
INPUT = "pictures"
OUTPUT = "maps"

_FORMAT = "fmas-onnx"
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """What the two files hold.

    Attributes:
        model: The bytes of the ONNX model. Its input ``pictures`` is float32 ``(N, 3, H, W)``, already normalised; its
            output ``maps`` is float32 ``(N, H, W)`` in ``[0, 1]``; N, H and W are free.
        multiple: H and W must be multiples of it.
        reference: What the segmenter said of the good parts, for the gate.
        whole: Side of the square that a picture is brought to as a whole; ``None`` for tiles at native resolution.
        about: Whatever else is worth knowing of it, JSON values: opset, options, what it was made of.
    """

    model: bytes
    multiple: int
    reference: GateReference | None = None
    about: Mapping[str, object] | None = None
    whole: int | None = None


def write_exchange(directory: Path, exchange: Exchange) -> None:
    """Write both files into the existing folder ``directory``; each appears whole or not at all.

    Raises:
        OutputError: If the disk is full or the folder cannot be written.
    """
    said = {
        "format": _FORMAT,
        "version": _VERSION,
        "sha256": hashlib.sha256(exchange.model).hexdigest(),
        "input": INPUT,
        "output": OUTPUT,
        "normalisation": {"scale": SCALE, "offset": OFFSET, "of": "RGB grey levels 0..255, outside the model"},
        "multiple": exchange.multiple,
        "whole": exchange.whole,
        "gate": exchange.reference.to_json() if exchange.reference else None,
        "about": dict(exchange.about or {}),
    }
    text = json.dumps(said, indent=1, sort_keys=True, allow_nan=False) + "\n"
    writer = AtomicWriter(directory)
    writer.write(directory / MODEL, exchange.model)
    writer.write_text(directory / ABOUT, text)


def read_exchange(directory: Path) -> Exchange:
    """Read what :func:`write_exchange` wrote.

    Raises:
        ModelError: If a file is missing, damaged or foreign, or of another version.
    """
    said = _read_about(directory / ABOUT)
    path = directory / MODEL
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ModelError(f"expected {path}, got {error.strerror or error}; export the model again") from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != said["sha256"]:
        raise ModelError(
            f"expected {path} with the SHA-256 {str(said['sha256'])[:12]}… that {ABOUT} names, got {digest[:12]}… "
            f"({len(model)} bytes); it is truncated or another model's: copy it again"
        )
    multiple = said.get("multiple")
    if isinstance(multiple, bool) or not isinstance(multiple, int) or multiple < 1:
        raise _damaged(directory / ABOUT, f"multiple {multiple!r}")
    whole = said.get("whole")
    if whole is not None and (isinstance(whole, bool) or not isinstance(whole, int) or whole < 1):
        raise _damaged(directory / ABOUT, f"whole {whole!r}")
    gate, about = said.get("gate"), said.get("about")
    try:
        reference = GateReference.from_json(gate) if isinstance(gate, dict) else None
    except ValueError as error:
        raise _damaged(directory / ABOUT, str(error)) from error
    return Exchange(model, multiple, reference, about if isinstance(about, dict) else {}, whole)


def _read_about(path: Path) -> dict[str, object]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"expected {path}, got none; give a folder that `fmas export` wrote") from error
    except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise _damaged(path, str(error)) from error
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        got = said.get("format") if isinstance(said, dict) else said
        raise ModelError(f"expected format {_FORMAT!r} in {path}, got {got!r}; give a folder that `fmas export` wrote")
    if said.get("version") != _VERSION:
        raise ModelError(
            f"expected version {_VERSION} in {path}, got {said.get('version')!r}; export the model again with this "
            "version of fmas-providers"
        )
    if not isinstance(said.get("sha256"), str):
        raise _damaged(path, f"sha256 {said.get('sha256')!r}")
    if not _same_normalisation(said.get("normalisation")):
        raise ModelError(
            f"expected a model that reads grey levels * {SCALE} + {OFFSET}, got {said.get('normalisation')!r} in "
            f"{path}; export the model again with this version of fmas-providers"
        )
    return said


def _same_normalisation(said: object) -> bool:
    if not isinstance(said, dict):
        return False
    pairs = ((said.get("scale"), SCALE), (said.get("offset"), OFFSET))
    return all(isinstance(got, (int, float)) and math.isclose(got, expected) for got, expected in pairs)


def _damaged(path: Path, found: str) -> ModelError:
    return ModelError(f"expected {path} as `fmas export` wrote it, got {found}; it is damaged: export the model again")
