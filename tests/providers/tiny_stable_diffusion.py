"""A Stable Diffusion inpainting pipeline of half a megabyte with random weights: the real classes, no download."""

from __future__ import annotations

import json
import string
from pathlib import Path


def save_tiny_pipeline(folder: Path, *, grey_outside: bool = False) -> Path:
    """Build the pipeline from configurations, save it as a user's folder would hold it, and return the folder.

    Args:
        folder: Is created.
        grey_outside: Random weights turn a whole picture into noise, in which no defect could be told from the rest.
            With ``True`` the denoiser has four input channels, so that the pipeline keeps the picture's own latents
            outside the mask, and the VAE makes those middle grey: on middle grey photographs it then changes every
            pixel a little outside and a lot inside, as a real one does.
    """
    import torch
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4 if grey_outside else 9,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=80,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=78,
            eos_token_id=79,
            pad_token_id=79,
        )
    )
    pipeline = StableDiffusionInpaintPipeline(
        vae=_grey_vae() if grey_outside else _random_vae(),
        text_encoder=text,
        tokenizer=_tokenizer(folder.parent / "vocabulary", CLIPTokenizer),
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def _random_vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )


def _grey_vae():
    import torch
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    with torch.no_grad():
        for name, values in vae.named_parameters():
            if name.endswith("bias"):
                values.zero_()
            elif values.ndim == 4 and values.shape[-1] == 3:  # each latent cell paints its own pixels and no others
                centre = values[..., 1, 1].clone()
                values.zero_()
                values[..., 1, 1] = centre
        vae.encoder.layers[-1].weight.zero_()
        vae.decoder.layers[-1].weight.mul_(1000)
        vae.decoder.layers[-1].bias.fill_(0.5)
    return vae


def _tokenizer(folder, tokenizer_class):
    folder.mkdir(parents=True, exist_ok=True)
    letters = list(string.ascii_lowercase) + list(string.digits) + list(",.-")
    words = letters + [f"{letter}</w>" for letter in letters]
    vocabulary = {word: number for number, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": 78, "<|endoftext|>": 79}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return tokenizer_class(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
