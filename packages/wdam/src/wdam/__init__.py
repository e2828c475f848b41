"""The Wavelet Domain Attention Module of arXiv 2603.02964, for PyTorch."""

from wdam.environment import env_report
from wdam.insertion import insert, remove
from wdam.module import WDAM
from wdam.transforms import dwt2, idwt2, wavedec2, waverec2

__all__ = ["WDAM", "__version__", "dwt2", "env_report", "idwt2", "insert", "remove", "wavedec2", "waverec2"]

__version__ = "0.1.0.dev0"
