"""Random weights of a Stable Diffusion 1 whose U-Net has one level, the least that Forge and reForge take.

Run with the host's Python: ``small_diffusion.py FILE.safetensors``. Text encoder and decoder are as large as
always (400 MB in half precision): these hosts describe them by files of their own.
"""

# Run by the WebUI's own Python, which has these packages.
# pyright: reportMissingImports=false

import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

WIDTH, TIME, TEXT = 320, 1280, 768  # the marks by which these hosts know Stable Diffusion 1
LEVELS = (128, 256, 512, 512)
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * len(LEVELS),
    "up_block_types": ["UpDecoderBlock2D"] * len(LEVELS),
    "block_out_channels": LEVELS,
    "layers_per_block": 2,
}
CLIP = {
    "hidden_size": TEXT,
    "intermediate_size": 4 * TEXT,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}


def parts(**modules):
    return nn.ModuleDict(modules)


def attention(context):
    sides = {"to_q": WIDTH, "to_k": context, "to_v": context}
    inward = {name: nn.Linear(side, WIDTH, bias=False) for name, side in sides.items()}
    return parts(**inward, to_out=nn.Sequential(nn.Linear(WIDTH, WIDTH)))


def transformer():
    norms = {f"norm{k}": nn.LayerNorm(WIDTH) for k in (1, 2, 3)}
    gate = parts(proj=nn.Linear(WIDTH, 8 * WIDTH))
    forward = parts(net=nn.Sequential(gate, nn.Identity(), nn.Linear(4 * WIDTH, WIDTH)))
    block = parts(attn1=attention(WIDTH), attn2=attention(TEXT), ff=forward, **norms)
    ends = {f"proj_{end}": nn.Conv2d(WIDTH, WIDTH, 1) for end in ("in", "out")}
    return parts(norm=nn.GroupNorm(32, WIDTH), transformer_blocks=nn.Sequential(block), **ends)


def residual(channels):
    def convolve(channels, *more):
        return nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), *more, nn.Conv2d(channels, WIDTH, 3))

    skip = {} if channels == WIDTH else {"skip_connection": nn.Conv2d(channels, WIDTH, 1)}
    time = nn.Sequential(nn.SiLU(), nn.Linear(TIME, WIDTH))
    outward = convolve(WIDTH, nn.Dropout())
    return parts(in_layers=convolve(channels), emb_layers=time, out_layers=outward, **skip)


def unet():
    start = nn.Sequential(nn.Conv2d(4, WIDTH, 3))
    return parts(
        time_embed=nn.Sequential(nn.Linear(WIDTH, TIME), nn.SiLU(), nn.Linear(TIME, TIME)),
        input_blocks=nn.Sequential(start, nn.Sequential(residual(WIDTH), transformer())),
        middle_block=nn.Sequential(residual(WIDTH), transformer(), residual(WIDTH)),
        output_blocks=nn.Sequential(*(nn.Sequential(residual(2 * WIDTH), transformer()) for _ in range(2))),
        out=nn.Sequential(nn.GroupNorm(32, WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, 4, 3)),
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.device("meta"):
        model = {
            "model.diffusion_model.": unet(),
            "first_stage_model.": AutoencoderKL(**VAE),
            "cond_stage_model.transformer.": CLIPTextModel(CLIPTextConfig(**CLIP)),
        }
    save_file(
        {
            prefix + name: torch.randn(weight.shape).mul_(0.02).half()
            for prefix, module in model.items()
            for name, weight in module.state_dict().items()
        },
        sys.argv[1],
    )
