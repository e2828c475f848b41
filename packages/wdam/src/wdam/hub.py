"""``WDAMHub``: a WDAM that is saved and loaded as models on the Hugging Face Hub are; needs ``wdam[hub]``.

This is the only module of the package that needs ``huggingface_hub``, and nothing else imports it.
"""

from __future__ import annotations

from typing import Any, Self

from wdam.backends import Backend
from wdam.errors import OptionError
from wdam.module import WDAM

try:
    from huggingface_hub import PyTorchModelHubMixin
except ModuleNotFoundError as error:
    if error.name != "huggingface_hub":
        raise  # something that huggingface_hub needs; what we have to say would hide it
    raise ModuleNotFoundError(
        "expected huggingface_hub to be installed, got none; run: pip install 'wdam[hub]'", name="huggingface_hub"
    ) from error

__all__ = ["WDAMHub"]


# The checker never looks into huggingface_hub, so it knows neither the base nor what its subclasses may be given.
class WDAMHub(  # type: ignore[call-arg]
    WDAM,
    PyTorchModelHubMixin,  # type: ignore[misc]
    library_name="wdam",
    license="apache-2.0",
    paper_url="https://arxiv.org/abs/2603.02964",
    tags=["attention", "wavelet"],
):
    """A ``wdam.WDAM`` with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    A folder holds ``config.json`` (the options), ``model.safetensors`` (the weights) and a model card. Loading is
    strict: a missing or foreign weight is an error.

    Args:
        channels: As for ``wdam.WDAM``, and so are the options.
        reduction: See there.
        wavelet: See there, but a name: other wavelets have no place in ``config.json``.
        residual: See there.
        scale: See there.
        backend: See there.

    Raises:
        OptionError: If ``wavelet`` is not a name, or as ``wdam.WDAM`` does.

    Examples:
        Save and load in a folder of one's own, without the hub::

            WDAMHub(8).save_pretrained(folder)
            again = WDAMHub.from_pretrained(folder)
    """

    # The mixin writes down the arguments that this signature names, so they are spelt out.
    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        wavelet: str = "haar",
        residual: bool = True,
        scale: bool = False,
        backend: Backend = "auto",
    ) -> None:
        if not isinstance(wavelet, str):
            raise OptionError(
                f"expected the name of a wavelet, got a {type(wavelet).__name__}; a model on the hub is described by "
                f"config.json, so pass a name such as 'db2', or use wdam.WDAM"
            )
        super().__init__(
            channels, reduction=reduction, wavelet=wavelet, residual=residual, scale=scale, backend=backend
        )

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **options: Any) -> Self:  # noqa: ANN401 (the mixin's own)
        loaded: Self = super()._from_pretrained(strict=strict, **options)
        return loaded
