"""Stable Diffusion, Flux, Qwen-Image and every other inpainting pipeline of diffusers: the painter."""

from __future__ import annotations
