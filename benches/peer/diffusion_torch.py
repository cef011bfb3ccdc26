#!/usr/bin/env python3
"""The diffusion models that HART is compared with, at their released sizes with random weights: seconds and memory.

The models are those of diffusers, built from the configurations of the releases, which are written down below; nothing
is downloaded. A generation for `--batch` prompts with guidance is what diffusers' pipelines do once the prompts are
encoded: noise, every step of the denoiser on both halves of guidance at once with the release's scheduler, and the
image decoder. The text encoders are left out (random embeddings of their shapes), as on the other sides.

    python3 diffusion_torch.py --model sdxl --px 1024 --device cuda --dtype f16
    python3 diffusion_torch.py --model sd3 --px 256 --warmup 0 --repeat 1 --measured-steps 1    # a slow CPU
    python3 diffusion_torch.py --model pixart-sigma --count                                     # parameters alone

Usual steps, those of HART's paper: `sdxl` 40, `sd3` (SD3-medium) 28, `pixart-sigma` 20. `--measured-steps K` takes
only K of them and scales their time to all (`"scaled": true`); all steps do the same work.

Competent PyTorch: diffusers' own attention (scaled_dot_product_attention), inference mode, weights made on the device
in `--dtype`, no autocast. `--channels-last` and `--compile` are the two usual ways to more speed on a GPU. The decoder
computes in `--dtype` too; diffusers computes that of the released SDXL in f32, because trained weights overflow in f16.

Prints one JSON line: seconds per part (median over --repeat after --warmup others), peak resident MiB (or peak device
MiB), millions of parameters of the denoiser, and the settings. Needs: torch, diffusers.
"""
import argparse, contextlib, json, resource, statistics, time
import diffusers
import torch
from diffusers import (
    AutoencoderKL, DPMSolverMultistepScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler,
    PixArtTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel,
)

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# Pixels along a side for each cell of a latent, of all three models.
CELL = 8
# Betas of the noise that SDXL was trained with.
SDXL_NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@contextlib.contextmanager
def made_in(a):
    """What is made in here is made on the device and in the type of elements, without a copy elsewhere before."""
    torch.set_default_dtype(DTYPES[a.dtype])
    try:
        with torch.device(a.device):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def decoder(channels, **options):
    """The image decoder of a release: 128 to 512 channels in all three."""
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(128, 256, 512, 512),
        layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        **options,
    )
    del vae.encoder
    return vae


class Sdxl:
    """stabilityai/stable-diffusion-xl-base-1.0"""
    steps, published, channels, guidance = 40, 2567, 4, 5.0

    def denoiser(self, side):
        return UNet2DConditionModel(
            sample_size=128, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280), layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), cross_attention_dim=2048,
            use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )

    def decoder(self):
        return decoder(4)

    def scheduler(self):
        return EulerDiscreteScheduler(**SDXL_NOISE, timestep_spacing="leading", steps_offset=1)

    def condition(self, rows, px):
        """What stands for the prompts: 77 tokens, the pooled text, and the sizes and crop of the image."""
        sizes = torch.tensor([[px, px, 0.0, 0.0, px, px]] * rows)
        added = {"text_embeds": torch.randn(rows, 1280), "time_ids": sizes}
        return {"encoder_hidden_states": torch.randn(rows, 77, 2048), "added_cond_kwargs": added}

    def predict(self, denoiser, latents, t, condition):
        return denoiser(latents, t, **condition, return_dict=False)[0]


class PixArtSigma:
    """PixArt-alpha/PixArt-Sigma-XL-2-1024-MS, and its releases for 512 and 256 pixels"""
    steps, published, channels, guidance = 20, 611, 4, 4.5

    def denoiser(self, side):
        return PixArtTransformer2DModel(
            sample_size=side, interpolation_scale=max(side // 64, 1), patch_size=2, in_channels=4, out_channels=8,
            num_layers=28, num_attention_heads=16, attention_head_dim=72, cross_attention_dim=1152,
            caption_channels=4096, attention_bias=True, activation_fn="gelu-approximate", norm_type="ada_norm_single",
            num_embeds_ada_norm=1000, norm_eps=1e-6, use_additional_conditions=False,
        )

    def decoder(self):
        return decoder(4)

    def scheduler(self):
        return DPMSolverMultistepScheduler(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)

    def condition(self, rows, px):
        """What stands for the prompts: 300 tokens, all of them valid."""
        return {"encoder_hidden_states": torch.randn(rows, 300, 4096),
                "added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}

    def predict(self, denoiser, latents, t, condition):
        # The other half of the channels is the learned variance, which the solver has no use for.
        out = denoiser(latents, timestep=t.expand(len(latents)), **condition, return_dict=False)[0]
        return out.chunk(2, dim=1)[0]


class Sd3:
    """stabilityai/stable-diffusion-3-medium-diffusers"""
    steps, published, channels, guidance = 28, 2028, 16, 7.0

    def denoiser(self, side):
        return SD3Transformer2DModel(
            sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24, num_attention_heads=24,
            attention_head_dim=64, joint_attention_dim=4096, caption_projection_dim=1536, pooled_projection_dim=2048,
            pos_embed_max_size=192,
        )

    def decoder(self):
        return decoder(16, use_quant_conv=False, use_post_quant_conv=False)

    def scheduler(self):
        return FlowMatchEulerDiscreteScheduler(shift=3.0)

    def condition(self, rows, px):
        """What stands for the prompts: 77 tokens of CLIP with 256 of T5, and the pooled text."""
        return {"encoder_hidden_states": torch.randn(rows, 333, 4096), "pooled_projections": torch.randn(rows, 2048)}

    def predict(self, denoiser, latents, t, condition):
        return denoiser(latents, timestep=t.expand(len(latents)), **condition, return_dict=False)[0]


MODELS = {"sdxl": Sdxl(), "pixart-sigma": PixArtSigma(), "sd3": Sd3()}


def checked_parameters(model, denoiser):
    """Millions of parameters, which must be those of the release: a wrong configuration measures something else."""
    count = sum(p.numel() for p in denoiser.parameters()) / 1e6
    assert abs(count / model.published - 1) < 0.02, f"{count:.1f} M parameters instead of {model.published} M"
    return round(count, 1)


@torch.inference_mode()
def generate(model, denoiser, vae, a, sync):
    """Seconds of both parts of a generation."""
    side, scheduler = a.px // CELL, model.scheduler()
    scheduler.set_timesteps(a.steps, device=a.device)
    with made_in(a):
        condition = model.condition(2 * a.batch, a.px)
        latents = torch.randn(a.batch, model.channels, side, side)
    sync()
    start = time.perf_counter()
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    for t in scheduler.timesteps[:a.measured_steps]:
        both = torch.cat((latents, latents))
        if hasattr(scheduler, "scale_model_input"):
            both = scheduler.scale_model_input(both, t)
        without, with_text = model.predict(denoiser, both, t, condition).chunk(2)
        noise = without + model.guidance * (with_text - without)
        latents = scheduler.step(noise, t, latents, return_dict=False)[0]
    sync()
    denoised = time.perf_counter()
    image = vae.decode(latents, return_dict=False)[0].clamp(-1, 1)
    sync()
    decoded = time.perf_counter()
    assert image.shape == (a.batch, 3, a.px, a.px) and image.isfinite().all(), "no image"
    return {"denoiser": (denoised - start) * a.steps / a.measured_steps, "decoder": decoded - denoised}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, choices=MODELS)
    p.add_argument("--px", type=int, default=256, choices=[256, 512, 1024])
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", default="f32", choices=DTYPES)
    p.add_argument("--steps", type=int, help="denoising steps [default: the usual number of the model]")
    p.add_argument("--measured-steps", type=int, help="steps that are taken and scaled to all of them [default: all]")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--warmup", type=int, default=1)
    p.add_argument("--channels-last", action="store_true", help="convolutions with the channels of a cell together")
    p.add_argument("--compile", action="store_true", help="torch.compile the denoiser and the decoder")
    p.add_argument("--count", action="store_true", help="count and check the parameters, measure nothing")
    a = p.parse_args()
    a.steps = MODELS[a.model].steps if a.steps is None else a.steps
    a.measured_steps = a.steps if a.measured_steps is None else min(a.measured_steps, a.steps)
    if min(a.batch, a.repeat, a.steps, a.measured_steps) < 1:
        p.error("--batch, --repeat, --steps and --measured-steps are 1 or more")
    return a


def main():
    a = arguments()
    model, on_gpu = MODELS[a.model], a.device.startswith("cuda")
    if a.count:
        with torch.device("meta"):
            print(json.dumps({"model": a.model, "parameters": checked_parameters(model, model.denoiser(a.px // CELL))}))
        return
    if a.threads:
        torch.set_num_threads(a.threads)
    if on_gpu:
        torch.cuda.set_device(torch.device(a.device).index or 0)
    torch.manual_seed(0)
    with made_in(a):
        denoiser, vae = model.denoiser(a.px // CELL).eval(), model.decoder().eval()
    parameters = checked_parameters(model, denoiser)
    if a.channels_last:
        denoiser, vae = denoiser.to(memory_format=torch.channels_last), vae.to(memory_format=torch.channels_last)
    if a.compile:
        denoiser, vae.decoder = torch.compile(denoiser), torch.compile(vae.decoder)
    sync = torch.cuda.synchronize if on_gpu else (lambda: None)
    runs = [generate(model, denoiser, vae, a, sync) for _ in range(a.warmup + a.repeat)][a.warmup:]
    parts = {k: round(statistics.median(r[k] for r in runs), 4) for k in runs[0]}
    if on_gpu:
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"px": a.px, "batch": a.batch, "device": a.device, "dtype": a.dtype, "compile": a.compile,
                      "channels_last": a.channels_last, "model": a.model, "parameters": parameters, "steps": a.steps,
                      "measured_steps": a.measured_steps, "scaled": a.measured_steps < a.steps,
                      "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "diffusers": diffusers.__version__, "seconds": parts,
                      "total": round(sum(parts.values()), 4), "peak_mib": round(peak)}))


if __name__ == "__main__":
    main()
