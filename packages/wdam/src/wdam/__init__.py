"""The Wavelet Domain Attention Module of arXiv 2603.02964, for PyTorch."""

from wdam.module import WDAM

__all__ = ["WDAM", "__version__"]

__version__ = "0.1.0.dev0"
