"""
8. What is simplified
=====================

Linear diffusion has the blocks of a real diffusion model, and each is simpler than the
real one. This page takes them one by one, and measures what the simplification costs.
It begins with what costs most: the single step.

Compare one step with many: `this page, live in the browser
<../page.html#view=sampler&steps=50>`__.
"""

# %%
# Many small steps
# ----------------
# Real models go from noise to an image in many steps. At each step the denoiser guesses
# the clean latent, and the **sampler** moves a little in its direction: it makes a
# latent of the next lower noise level, out of the same guess and less of the same
# noise. Then the denoiser looks again. For the sampler DDIM a step is::
#
#     z_s = alpha_s z_guess + sigma_s eps_guess
#
# It goes from the level ``t``, at which the guesses were made, to a lower level ``s``.
#
# The model below has a cosine schedule, which reaches to pure noise, so it is trained
# for the place where it starts. We give it the same noise each time, and 1, 2, 5, 50
# and 1,000 steps.

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures, research

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(styles=1, latent_dim=144, schedule="cosine", tone=False)
model.fit(images, prompts)

drawn = []
for digit in "0347":
    for n_steps in (1, 2, 5, 50, 1000):
        found, _ = model.sample(
            1, digit, sampler="ddim", n_steps=n_steps, random_state=3
        )
        drawn.append(found)
    found, _ = model.sample(1, digit, sampler="exact", random_state=3)
    drawn.append(found)
captions = ["1", "2", "5", "50", "1000", "exact"]
pictures.show(np.concatenate(drawn), 6, captions=captions * 4)

# %%
# One step from pure noise gives the mean image of the prompt. Noise says nothing about
# the digit, so the best guess is the mean. With each further step the digit decides
# more: a slant, a loop, the width of a stroke. After 50 steps hardly anything changes.
#
# The last column is what no neural model has: the **limit** of infinitely many steps.
# Here each step is a linear map. So a thousand of them are one linear map as well, and
# their limit has a formula. For the same reason we can say without drawing anything how
# wrong a sampler is. Below is the part of the variance of the sevens that it gets
# wrong, for two common samplers:

seven = model.denoiser("7")
counts = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
fig, ax = plt.subplots()
for sampler in ("ddim", "heun"):
    wrong = []
    for n_steps in counts:
        levels = research.noise_levels("cosine", n_steps)
        bias = research.sampler_bias(seven, sampler, levels)
        wrong.append(bias.share(bias.steps))
    ax.plot(counts, wrong, marker="o", label=sampler)
ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="variance that is wrong")
ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
ax.set_yticks([1, 0.1, 0.01, 0.001], ["100 %", "10 %", "1 %", "0.1 %"])
ax.legend()
plt.show()

# %%
# The scale of latents
# --------------------
# Stable Diffusion multiplies its latents by one number, so that their variance is about
# that of the noise. The article leaves them as they are. With few steps this matters,
# since the levels of a schedule then lie where nothing happens. With 50 steps of DDIM:

for factor in (0.1, 1, 10):
    scaled = research.gaussian(
        factor * model.means_[7], factor**2 * model.covariances_[7]
    )
    bias = research.sampler_bias(scaled, "ddim", research.noise_levels("cosine", 50))
    wrong = bias.share(bias.steps)
    print(f"latents {factor:4} x as large: {wrong:.0%} of the variance is wrong")

# %%
# Guidance
# --------
# Real models rarely draw what they have learned. They overdo the prompt: the denoiser
# is asked twice, with the prompt and without any, and the difference is enlarged. This
# is **classifier-free guidance** (Ho and Salimans 2022)::
#
#     eps_guess = without + scale (with - without)
#
# A scale of 1 is no guidance; Stable Diffusion uses 7.5. Pictures fit their prompt
# better, and are less varied. The article has no guidance. This library has: nines with
# scale 1, 2 and 4, from the same noise.

rows = [
    model.sample(6, "9", guidance_scale=scale, random_state=0)[0] for scale in (1, 2, 4)
]
pictures.show(np.concatenate(rows), 6, labels=["scale 1", "scale 2", "scale 4"])

# %%
# Regression or network
# ---------------------
# How good are the images? The usual measure is the **Fréchet distance**: a network that
# was trained to read digits looks at real images and at drawn ones, and the distance
# says how different what it sees is. We divide it by the distance of real images from
# each other, so 1 means "as good as real". This chart reads what the benchmark
# ``benchmarks/comparison.py`` measured, on the full MNIST:

results = Path("..", "..", "benchmarks", "results")  # this page runs in docs/tutorial
measured = json.loads((results / "comparison.json").read_text())
models = {
    "one-shot": "the article's model",
    "vae": "VAE",
    "gaussian": "one Gaussian per prompt",
    "unet": "diffusion model with a U-Net",
    "styles": "this library's default",
}
fig, ax = plt.subplots(figsize=(7, 3))
for place, name in enumerate(models):
    figures = measured[f"mnist/{name}"]
    seconds, distance = figures["fit_cpu_seconds"], figures["frechet"]
    time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    ax.barh(place, distance, color="tab:blue")
    ax.annotate(f" {distance:.1f}, trained in {time}", (distance, place), va="center")
ax.set_yticks(range(len(models)), models.values())
ax.set(xscale="log", xlim=(0.9, 8000), xlabel="Fréchet distance, real images = 1")
ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
ax.invert_yaxis()
ax.grid(False)
plt.show()

# %%
# All were trained on one processor core. The U-Net gets better with more time, and
# colour photographs are what it is made for: there a linear model has no chance. On
# small images and with few minutes, what is exact is hard to beat.

# %%
# The whole table
# ---------------
# Every block, and what it costs to simplify it. "Distance" is the Fréchet distance of
# MNIST, where real images have 1. Compare within a row: the denoiser's distances are of
# 1,000 drawn images, as in the chart, all others of 10,000, which makes them larger.
# All figures are read from the files in ``benchmarks/results`` when this page is built.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 14 26 26 34
#
#    * - block
#      - in Stable Diffusion
#      - here
#      - what it costs
#    * - sampler
#      - 20 to 50 steps
#      - the article: 1 step
#      - distance |one shot|; with the exact limit |exact limit|. DDIM gets |1 step| of
#        the variance wrong in 1 step, |50 steps| in 50, |1000 steps| in 1,000
#    * - noise schedule
#      - 1,000 levels, and the model learns all
#      - the article: one level; the library: every level, by one formula
#      - nothing in the library; in the article it is why only one step can be taken
#    * - denoiser
#      - U-Net
#      - linear regression: one Gaussian per prompt
#      - distance |Gaussian|; a small U-Net that was trained for |U-Net minutes| minutes
#        has |U-Net|, and many linear pieces have |styles|
#        (:doc:`page 9 <plot_9_beyond>`)
#    * - image encoder and decoder
#      - VAE
#      - PCA
#      - distance |exact limit|, or |tone curve| with the tone curve of page 9. For many
#        linear pieces: |144 components| with 144 components, |500 components| with 500
#    * - text encoder
#      - transformer
#      - one-hot
#      - nothing for ten prompts, but no unseen prompt can be drawn. With
#        ``text_encoder="words"`` it can: all five words are read off |unseen words| of
#        such images, and off |real words| of real ones
#    * - latent scale
#      - one factor
#      - the article: none; the library: one factor
#      - the figures above
#    * - guidance
#      - scale 7.5
#      - the article: none; the library: any scale, off by default
#      - nothing: without guidance, samples are what was learned
#
# Two things cost a lot: the single step, which no one has to take, and one Gaussian per
# prompt, which is what "linear" means. The last page shows how far one gets with many
# linear pieces.
