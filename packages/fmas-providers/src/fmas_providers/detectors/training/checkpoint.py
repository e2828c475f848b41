"""Where a training stands, in one safetensors file that appears whole or not at all; no pickle.

The tensors are the file's tensors, all other values stand as JSON in its header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fmas.errors import ModelError
from fmas.files import unwritable

__all__ = ["CHECKPOINT", "Checkpoint", "optimiser_tensors", "read_checkpoint", "restore_optimiser", "write_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"
_HEADER = "training"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a training stands.

    Attributes:
        identity: Digest of everything that the weights depend on.
        values: JSON values: steps done, the history of validation and so on.
        tensors: By name, e.g. ``network.stem.weight``.
    """

    identity: str
    values: Mapping[str, object]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors below ``name.``, with that left off."""
        return {
            key.removeprefix(f"{name}."): value for key, value in self.tensors.items() if key.startswith(f"{name}.")
        }


def write_checkpoint(workspace: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before.

    Raises:
        OutputError: If the disk is full or the folder cannot be written; the one before is as it was.
    """
    path = workspace / CHECKPOINT
    temporary = path.with_suffix(".part")
    header = json.dumps({"identity": checkpoint.identity, "values": dict(checkpoint.values)}, allow_nan=False)
    # Cloned, because safetensors refuses tensors that share memory, and contiguous, because it knows no other layout.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={_HEADER: header})
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    except SafetensorError as error:  # what its Rust side makes of a full disk
        raise unwritable(path, OSError(str(error))) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(workspace: Path, *, identity: str) -> Checkpoint | None:
    """Return the checkpoint of a training, or ``None`` if there is none yet.

    Args:
        workspace: The folder that :func:`write_checkpoint` wrote into.
        identity: What the checkpoint must be of.

    Raises:
        ModelError: If it is damaged or of another training.
    """
    path = workspace / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            names = list(file.keys())
            found = Checkpoint(header["identity"], header["values"], {name: file.get_tensor(name) for name in names})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ModelError(
            f"expected a checkpoint of a training in {path}, got a damaged file ({said}); delete it to start afresh"
        ) from error
    if found.identity != identity:
        raise ModelError(
            f"expected in {path} a checkpoint of this training, got one of other options, data or seed; go on with "
            "those, or delete it to start afresh"
        )
    return found


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as ``<number of the parameter>.<name>`` -> tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that :func:`optimiser_tensors` returned."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        like = parameters[int(number)]
        # In the parameter's own layout: other arithmetic for another layout could change the last bit.
        laid_out = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape and tensor.ndim else tensor
        state.setdefault(int(number), {})[name] = laid_out
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
