"""Where ``fmas`` meets other people's models and SDKs: language models, SAM, diffusers, LPIPS."""

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
