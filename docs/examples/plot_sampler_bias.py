"""
The exact error of a sampler
============================

How wrong is a sampler with few steps? For neural networks one draws thousands of images
and hopes. Here a whole run is one linear map, so its error is known for each direction,
without a single draw.
"""

import matplotlib.pyplot as plt

from linear_diffusion import LinearDiffusion, load_images, research

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(styles=1, latent_dim=100, random_state=0).fit(images, prompts)
seven = model.denoiser("7")

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(8, 3.6))
for ax, sampler in zip(axes, ("ddpm", "heun"), strict=True):
    for n_steps in (10, 50, 200):
        levels = research.noise_levels("cosine", n_steps)
        bias = research.sampler_bias(seven, sampler, levels)
        ax.plot(bias.variances, bias.steps, label=f"{n_steps} steps")
    ax.set(xscale="log", xlabel="variance of the direction", title=sampler)
axes[0].set_ylabel("relative error of its variance")
axes[1].legend()
plt.show()

# %%
# Each point is one direction in which sevens vary. A value of -0.5 says that images
# vary half as much in it as they should. DDPM loses the fine details first; Heun, a
# method of second order, is right with far fewer steps.
#
# What all directions together get wrong, as a share of the whole variance:

counts = [5, 10, 20, 50, 100, 200, 500]
fig, ax = plt.subplots()
for sampler in ("ddpm", "ddim", "dpmpp_2m", "heun"):
    wrong = []
    for n_steps in counts:
        levels = research.noise_levels("cosine", n_steps)
        bias = research.sampler_bias(seven, sampler, levels)
        wrong.append(bias.share(bias.steps))
    ax.plot(counts, wrong, marker="o", label=sampler)
ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="variance that is wrong")
ax.legend()
plt.show()

# %%
# The slope is the order of a method: ten times the steps make "ddpm" and "ddim" ten
# times better, and "heun" and "dpmpp_2m" about a hundred times.
#
# A step can only take away noise that the denoiser predicts. How much of the noise it
# predicts at each level, for images of the model and for sevens as they are:

levels = research.noise_levels("cosine", 50)[:-1]
sevens = model.transform(images[prompts == "7"])
fig, ax = plt.subplots()
sigma = [level.sigma for level in levels]
ax.plot(sigma, research.denoiser_r2(seven, levels), label="images of the model")
ax.plot(sigma, research.denoiser_r2(seven, levels, sevens), "--", label="real sevens")
ax.set(xlabel="noise level sigma", ylabel="R² of the noise")
ax.legend()
plt.show()

# %%
# With much noise nearly all of it is recognised, with little next to none. Both curves
# are one, since R² depends on mean and covariance alone, and the model has those of the
# sevens.
