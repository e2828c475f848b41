"""A detector's two files: `weights.safetensors` and `detector.json`; no pickle, and every shape is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fmas.errors import ModelError
from fmas.files import AtomicWriter

__all__ = ["ABOUT", "WEIGHTS", "load_network", "read_about", "read_tensors", "save_detector"]

WEIGHTS = "weights.safetensors"
ABOUT = "detector.json"


def save_detector(directory: Path, tensors: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write both files; each appears whole or not at all.

    Args:
        directory: An existing folder.
        tensors: The weights by name, on any device; tensors that share memory are written once for each name.
        about: JSON values; ``detector`` (the registered name) and ``version`` at least.

    Raises:
        OutputError: If the disk is full or the folder cannot be written.
    """
    words = json.dumps(dict(about), indent=1, sort_keys=True, allow_nan=False) + "\n"
    # Cloned, because safetensors refuses tensors that share memory.
    content = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    writer = AtomicWriter(directory)
    writer.write(directory / WEIGHTS, content)
    writer.write_text(directory / ABOUT, words)


def read_about(directory: Path, *, detector: str, version: str) -> dict[str, object]:
    """Return what ``detector.json`` says.

    Args:
        directory: What :func:`save_detector` wrote into.
        detector: The registered name that must have written it.
        version: The version that must have written it.

    Raises:
        ModelError: If there is none, or it is damaged, or of another detector or version.
    """
    path = directory / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"expected a saved detector with {ABOUT} in {directory}, got none; give the folder that was saved into"
        ) from error
    except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise _damaged(path, error) from error
    if not isinstance(about, dict) or about.get("detector") != detector:
        got = about.get("detector") if isinstance(about, dict) else type(about).__name__
        raise ModelError(
            f"expected {path} of the detector {detector!r}, got one of {got!r}; load it with the detector that saved it"
        )
    if about.get("version") != version:
        raise ModelError(
            f"expected {path} of version {version!r} of {detector!r}, got {about.get('version')!r}; train again, or "
            "use the release that trained it"
        )
    return about


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Return the weights by name, on the CPU.

    Raises:
        ModelError: If the file is missing, truncated or no safetensors file.
    """
    path = directory / WEIGHTS
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise ModelError(
            f"expected the weights in {path}, got no such file; copy the whole folder, or train again"
        ) from error
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def load_network(network: nn.Module, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy weights into a network that must have exactly these names, shapes and kinds of numbers.

    Args:
        network: Built with the options that the weights were saved under.
        tensors: The weights by name.
        source: Where they are from, for the message.

    Raises:
        ModelError: If a name is missing or left over, a shape or a dtype differs, or a value is not finite.
    """
    wanted = network.state_dict()
    missing, left_over = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or left_over:
        raise ModelError(
            f"expected in {source} the weights of this network, got {len(missing)} missing"
            f"{_some(missing)} and {len(left_over)} unknown{_some(left_over)}; load it with the options it was trained "
            "with"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ModelError(
                f"expected in {source} {name} as {_words(wanted[name])}, got {_words(tensor)}; load it with the "
                "options it was trained with"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"expected finite weights in {source}, got {name} with others; train again")
    network.load_state_dict(dict(tensors))


def _damaged(path: Path, error: Exception) -> ModelError:
    said = str(error).partition("\n")[0]
    return ModelError(f"expected a whole file in {path}, got a damaged one ({said}); copy it again, or train again")


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
