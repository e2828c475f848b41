"""Are a model's weights on this machine? Said without loading and without fetching them."""

from __future__ import annotations

from pathlib import Path

from fmas.errors import ConfigError

__all__ = ["weights_on_disk"]

_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def weights_on_disk(model: str, revision: str | None, *, section: str) -> str:
    """Return how large a model's weights are and where they lie.

    Args:
        model: A folder, or the id of a repository on the Hugging Face hub.
        revision: The commit, tag or branch; the default branch if none.
        section: Where the option stands, for messages.

    Raises:
        ConfigError: If there are none.
    """
    folder = Path(model).expanduser()
    advice = f"fetch them once where there is a network: hf download {model}"
    if folder.is_dir():
        advice = f"check {section}.model"
    else:
        folder = _snapshot(model, revision, advice)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file()]
    if not sizes:
        raise ConfigError(f"expected weights ({', '.join(_SUFFIXES)}) in {folder}, got none; {advice}")
    return f"{sum(sizes) / 1e9:.2f} GB in {folder}"


def _snapshot(model: str, revision: str | None, advice: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise ConfigError(f"expected the weights of {model!r} on this machine, got none; {advice}") from error
