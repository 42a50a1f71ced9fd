"""Random weights of a tiny Stable Diffusion 2 and their config, made with the host's own classes.

Run in A1111's folder with its Python: ``tiny_diffusion.py FILE.safetensors`` writes FILE.yaml, too.
"""

# Run by the WebUI's own Python, which has these packages.
# pyright: reportMissingImports=false

import sys
from pathlib import Path

CLIP = {"freeze": True, "layer": "penultimate", "arch": "ViT-B-32", "version": None}
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "attention_resolutions": [4],
    "num_res_blocks": 1,
    "channel_mult": [1, 1, 1],
    "num_head_channels": 16,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "transformer_depth": 1,
    "context_dim": 512,  # ViT-B-32's width
    "use_checkpoint": False,
    "legacy": False,
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def part(name, **params):
    return {"target": name, "params": params}


def config():
    loss = {"target": "torch.nn.Identity"}
    return part(
        "ldm.models.diffusion.ddpm.LatentDiffusion",
        linear_start=0.00085,
        linear_end=0.012,
        timesteps=1000,
        first_stage_key="jpg",
        cond_stage_key="txt",
        image_size=64,
        channels=4,
        conditioning_key="crossattn",
        scale_factor=0.18215,
        use_ema=False,
        unet_config=part("ldm.modules.diffusionmodules.openaimodel.UNetModel", **UNET),
        first_stage_config=part(
            "ldm.models.autoencoder.AutoencoderKL", embed_dim=4, ddconfig=VAE, lossconfig=loss
        ),
        cond_stage_config=part("ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder", **CLIP),
    )


if __name__ == "__main__":
    sys.path[:0] = ["repositories/stable-diffusion-stability-ai"]
    import torch
    from ldm.util import instantiate_from_config
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    torch.manual_seed(0)
    described = OmegaConf.create({"model": config()})
    OmegaConf.save(described, Path(sys.argv[1]).with_suffix(".yaml"))
    state = instantiate_from_config(described.model).state_dict()
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, sys.argv[1])
