"""Finding a pipeline by id or folder, saying what it is before its weights are loaded, and loading it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fmas.errors import ComponentError, ConfigError
from fmas.secrecy import one_line
from fmas_providers.devices import resolve_device, resolve_dtype
from fmas_providers.diffusers.adapters import Adapter, adapter_for
from fmas_providers.diffusers.options import DiffusersOptions

__all__ = ["FoundModel", "find_model", "load_pipeline"]

_INDEX = "model_index.json"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A pipeline that has been found, but not loaded.

    Attributes:
        class_name: Its class in diffusers.
        adapter: How to inpaint with it.
        identity: The commit on the hub, or a digest of the folder: names and sizes of all files, and the content of the
            small ones.
    """

    class_name: str
    adapter: Adapter
    identity: str


def find_model(options: DiffusersOptions) -> FoundModel:
    """Look a model up; of a repository on the hub only ``model_index.json`` is fetched.

    Raises:
        ConfigError: If there is no such model, or it is no pipeline that paints.
    """
    folder = Path(options.model).expanduser()
    if folder.is_dir():
        path, identity = folder / _INDEX, _folder_digest(folder)
        if not path.is_file():
            raise ConfigError(
                f"expected a folder with {_INDEX}, as save_pretrained writes it, got {folder} without; name the "
                "pipeline's own folder"
            )
    elif folder.exists() or options.model.startswith((".", "/", "~")):
        raise ConfigError(
            f"expected a folder or the id of a repository on the Hugging Face hub, got {options.model!r}; mend it"
        )
    else:
        path = _fetch_index(options)
        identity = path.parent.name  # snapshots/<commit>/model_index.json
    try:
        class_name = json.loads(path.read_bytes())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"expected the class of a pipeline in {path}, got {one_line(error)}; copy the model again"
        ) from error
    if isinstance(class_name, list):  # a custom pipeline: [module, class]
        class_name = class_name[-1]
    return FoundModel(str(class_name), adapter_for(str(class_name)), identity)


def _fetch_index(options: DiffusersOptions) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            hf_hub_download(options.model, _INDEX, revision=options.revision, local_files_only=options.local_files_only)
        )
    except HFValidationError as error:
        raise ConfigError(
            f"expected a folder or a repository's id such as owner/name, got {options.model!r}; check inpainter.model"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"expected the model {options.model!r} on this machine or the network to fetch it, got neither; fetch it "
            f"once where there is a network: hf download {options.model}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ConfigError(
            f"expected the model {options.model!r} on the Hugging Face hub, got {one_line(error)}; check its id, its "
            "licence (some must be accepted there first) and HF_TOKEN"
        ) from error


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:  # of weights only the head: names, shapes and offsets of the tensors
            digest.update(file.read(65_536))
    return digest.hexdigest()[:16]


def load_pipeline(options: DiffusersOptions, found: FoundModel) -> Any:  # noqa: ANN401 (diffusers' own classes)
    """Load the weights and bring them where they are to compute.

    Raises:
        ConfigError: If the device is missing.
        ComponentError: If the weights cannot be loaded.
    """
    import diffusers

    device = resolve_device(options.device)
    arguments: dict[str, object] = {
        "torch_dtype": resolve_dtype(options.dtype, device, half=found.adapter.half),
        "revision": options.revision,
        "variant": options.variant,
        "local_files_only": options.local_files_only,
    }
    if found.adapter.family == "Stable Diffusion" and not options.safety_checker:
        arguments |= {"safety_checker": None, "requires_safety_checker": False}
    name = found.adapter.pipeline or "AutoPipelineForInpainting"
    source = str(Path(options.model).expanduser()) if Path(options.model).expanduser().is_dir() else options.model
    try:
        pipeline = getattr(diffusers, name).from_pretrained(
            source, **{key: value for key, value in arguments.items() if value is not None or key == "safety_checker"}
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ComponentError(
            f"expected to load {options.model!r} as {name}, got {type(error).__name__}: {one_line(error)}; check that "
            "all of its files are there, inpainter.variant and inpainter.dtype"
        ) from error
    return _prepared(pipeline, options, device)


def _prepared(pipeline: Any, options: DiffusersOptions, device: torch.device) -> Any:  # noqa: ANN401 (as above)
    pipeline.set_progress_bar_config(disable=True)
    if options.attention_slicing:
        pipeline.enable_attention_slicing()
    if options.cpu_offload and device.type != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if options.compile:
        part = "unet" if getattr(pipeline, "unet", None) is not None else "transformer"
        setattr(pipeline, part, torch.compile(getattr(pipeline, part)))
    return pipeline
