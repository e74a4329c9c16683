"""
6. Training: a supervised problem, and its end
==============================================

Training a diffusion model is ordinary **supervised learning**: there are inputs, there
are right answers, and the model is fitted so that its guesses come near to the answers.
The only unusual thing is where the answers come from: we make them ourselves, by
drawing noise.

This page trains the denoiser of one prompt, "7", step by step. Then it draws more and
more noise, and finds what that leads to.

Watch the draws converge: `this page, live in the browser
<../page.html#view=apart&parts=draws>`__.
"""

# %%
# One round of training
# ---------------------
# We need the latents of the sevens. This time the library's own image encoder makes
# them; it is that of :doc:`page 3 <plot_3_images>`, standardised pixels and 144
# components.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

from linear_diffusion import LinearDiffusion, load_images, research

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(
    styles=1, latent_dim=144, standardize=True, schedule="one-step", tone=False
)
model.fit(images, prompts)
z = model.transform(images[prompts == "7"]).astype(float)
print(z.shape)

# %%
# Now the steps, one line each:

rng = np.random.default_rng(0)
eps = rng.standard_normal(z.shape)  # 1. draw noise: this will be the answer
z_noisy = z + eps  # 2. add it: this is what the denoiser is given
regression = LinearRegression().fit(z_noisy, eps)  # 3. fit guesses to the answers
guess = regression.predict(z_noisy)
loss = ((guess - eps) ** 2).mean()  # 4. how far off they are
print(f"mean squared error: {loss:.3f}")

# %%
# The number in the last line is the **loss**. Real diffusion models have the same one,
# the mean squared error of the guessed noise. What differs is how it is made small. A
# network cannot be fitted at once. It takes a few images, draws a time ``t`` and noise
# for each, guesses, and changes its weights a little in the direction in which the loss
# falls. That is one step of gradient descent, and there are hundreds of thousands of
# them. A regression jumps to the lowest point directly.

# %%
# Draw again
# ----------
# Is this loss as good as it looks? Noise can be drawn as often as we like. So let us
# ask the same denoiser about new noise on the same images:


def loss_on_new_noise(weights, intercept, n_draws=50):
    """Mean squared error, over noise that was not used to train."""
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(n_draws):
        eps = rng.standard_normal(z.shape)
        losses.append((((z + eps) @ weights + intercept - eps) ** 2).mean())
    return np.mean(losses)


found = loss_on_new_noise(regression.coef_.T, regression.intercept_)
print(f"mean squared error on new noise: {found:.3f}")

# %%
# It is much worse: the regression has learned the noise of its training by heart. There
# is an easy remedy. We use every image several times, each time with noise drawn anew.
# Real models do the same: in each pass through the data an image comes with new noise.

draws = [1, 2, 4, 8, 16, 32, 64]
losses, regressions = [], []
for n in draws:
    many = np.tile(z, (n, 1))  # each image n times
    eps = rng.standard_normal(many.shape)
    regression = LinearRegression().fit(many + eps, eps)
    regressions.append(regression)
    losses.append(loss_on_new_noise(regression.coef_.T, regression.intercept_))
    print(f"{n:2} draws: {losses[-1]:.3f}")

# %%
# The loss falls, more and more slowly. It seems to come to rest at some value.

# %%
# The turn: no noise needs to be drawn
# ------------------------------------
# What do infinitely many draws lead to? A regression does not see its examples one by
# one. Its weights follow from **averages** alone::
#
#     W = average(z_noisy z_noisy')⁻¹ average(z_noisy eps')
#
# Here means are taken off first, and the mark ' turns a column into a row, so that each
# average is a matrix of 144 x 144 numbers. These averages are known before any noise is
# drawn. The noise has variance 1, and it has nothing to do with the images. So::
#
#     average(z_noisy z_noisy') = S + I
#     average(z_noisy eps')     = I
#     W                         = (S + I)⁻¹
#
# ``S`` is the covariance of the clean latents, and ``I`` the identity matrix, that of
# the noise. ``S`` and the mean ``mu`` of the clean latents are all that is needed from
# the data. There is nothing left to draw:

mu, S = z.mean(axis=0), np.cov(z.T, bias=True)
W = np.linalg.inv(S + np.eye(144))
exact_loss = loss_on_new_noise(W, -mu @ W)
print(f"closed form: {exact_loss:.3f}")

# %%
# Training by drawn noise comes ever closer to this, as the curves show. At the left the
# loss; at the right how far the weights are from the exact ones. Four times as many
# draws halve the distance. This is the usual speed at which averages of random numbers
# settle.

distances = [np.linalg.norm(r.coef_.T - W) / np.linalg.norm(W) for r in regressions]

fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4))
left.plot(draws, losses, marker="o", label="drawn noise")
left.axhline(exact_loss, color="tab:orange", label="closed form")
left.set(xscale="log", xlabel="draws per image", ylabel="loss on new noise", ylim=0)
left.legend()
right.plot(draws, distances, marker="o", label="distance")
right.plot(
    draws,
    distances[-1] * np.sqrt(64 / np.array(draws)),
    color="grey",
    linestyle=":",
    label="1 / √draws",
)
right.set(xscale="log", yscale="log", xlabel="draws per image")
right.set(ylabel="distance of the weights")
right.set_yticks([0.1, 0.2, 0.4], ["10 %", "20 %", "40 %"])
right.legend()
for ax in (left, right):
    ax.set_xticks(draws, draws)
    ax.minorticks_off()
plt.show()

# %%
# This library trains by the closed form (``training="exact"``, the default). Its
# denoiser is the one that we have just worked out. It guesses the clean latent, so the
# noise is what it takes away:

denoiser = research.denoiser_map(model.denoiser("7"), research.Level(alpha=1, sigma=1))
ours = z_noisy - denoiser(z_noisy)
print(f"largest difference: {np.abs(ours - (z_noisy - mu) @ W).max():.0e}")

# %%
# All levels at once
# ------------------
# With a schedule the noisy latent is ``alpha z + sigma eps``, and by the same
# argument::
#
#     W = sigma (alpha² S + sigma² I)⁻¹
#
# ``S`` is the same for all levels. So one pass through the clean images, well under a
# second of work, trains the denoiser for every noise level and every schedule that one
# may choose later. A network has to be trained for all of them, and learns them
# together.
#
# There is a name for this formula: the **Wiener filter**. If latents are normally
# distributed, no other denoiser does better, linear or not. Real latents are not. What
# that costs is on :doc:`page 8 <plot_8_simplified>`.
