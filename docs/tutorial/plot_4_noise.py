"""
4. Noise: what a denoiser learns from
=====================================

A denoiser learns from examples: a noisy latent, and the noise that is in it. Nobody has
to collect these. We take a latent and add noise ourselves, so we know the answer. This
page shows how much noise to add, in the article and in real models.

Move the noise by hand: `this page, live in the browser <../page.html#view=noise>`__.
"""

# %%
# The article: noise is added once
# --------------------------------
# The latents ``z`` come from the image encoder of :doc:`page 3 <plot_3_images>`. For
# each one we draw its own noise ``eps``, 144 independent numbers from the normal
# distribution with mean 0 and variance 1, and add it::
#
#     z_noisy = z + eps

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from linear_diffusion import load_images, pictures, research

images, prompts = load_images("mnist-5k")
rows = images.reshape(len(images), -1) / 255
scaler = StandardScaler().fit(rows)
pca = PCA(144, svd_solver="covariance_eigh").fit(scaler.transform(rows))
z = pca.transform(scaler.transform(rows))

rng = np.random.default_rng(0)
eps = rng.standard_normal(z.shape)
z_noisy = z + eps


def decode(z):
    """Images of latents."""
    return scaler.inverse_transform(pca.inverse_transform(z))


both = np.concatenate([decode(z[:6]), decode(z_noisy[:6])])
pictures.show(both, 6, pixel_range=(0, 1), labels=["z", "z + eps"])

# %%
# The noise has another look than on page 1, since it was added to latents: it is made
# of components, not of pixels. And the digits are still there. To see why, compare how
# large the numbers of a latent are with how large the noise is:

fig, ax = plt.subplots()
ax.plot(range(1, 145), z.std(axis=0), label="latents")
ax.axhline(1, color="tab:orange", label="noise")
ax.set(xlabel="component", ylabel="standard deviation", yscale="log")
ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# The first components say what is seen at first sight, and they are several times
# larger than the noise. Only the last components, the finest details, sink in it. So
# the article's model learns to denoise at one single level, and at this level most of
# the image can be seen.
#
# But generation starts from pure noise, which is much noisier than anything that the
# model has learned from. :doc:`Page 7 <plot_7_generation>` shows what comes of it.

# %%
# Real models: a schedule of noise levels
# ---------------------------------------
# A real model learns at every level, from a hardly noisy latent to pure noise. For each
# example a time ``t`` between 0 and 1 is drawn, and a **noise schedule** says how much
# of both there is at that time::
#
#     z_t = alpha_t z + sigma_t eps
#
# The denoiser is told the time, since it has to act in quite different ways: at little
# noise it removes specks, at much noise it has to decide what the picture shall be at
# all.

fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
for ax, name in zip(axes, ["linear", "cosine", "flow"], strict=True):
    alpha, sigma = np.array(research.noise_levels(name, 100)).T[:, ::-1]
    ax.plot(np.linspace(0, 1, 101), alpha, label="alpha, the image")
    ax.plot(np.linspace(0, 1, 101), sigma, label="sigma, the noise")
    ax.set(title=f'"{name}"', xlabel="time t")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
plt.show()

# %%
# "linear" is the schedule of the first such models (Ho, Jain and Abbeel 2020), "cosine"
# came soon after, and "flow", two straight lines, is what the newest models use. All of
# them end at ``alpha = 0``, or next to it. That is the point: **where training ends, at
# pure noise, generation begins.**
#
# The same six digits at six times of the cosine schedule, from none of the noise to
# nothing else:

scale = 1 / np.sqrt(z.var(axis=0).mean())  # see below
levels = research.noise_levels("cosine", 5)[::-1]
film = [decode(alpha * z[:6] + sigma * eps[:6] / scale) for alpha, sigma in levels]
labels = [f"t = {t:.1f}" for t in np.linspace(0, 1, 6)]
pictures.show(np.concatenate(film), 6, pixel_range=(0, 1), labels=labels)

# %%
# The scale of latents
# --------------------
# ``alpha`` and ``sigma`` only mean something if latents and noise are of a like size.
# Real models multiply their latents by a constant, which brings the mean variance to 1.
# Stable Diffusion calls it the **scaling factor**, and so does this library. The
# article does without.

print(f"mean variance of the latents: {z.var(axis=0).mean():.2f}")
print(f"scaling factor: {scale:.2f}")
