"""
9. Beyond the article, and the whole model in 40 lines
======================================================

The pages before ended with one Gaussian (one normal distribution) for each prompt, and
with many steps. This page shows what ``LinearDiffusion()`` adds by default, one thing
at a time, each with and without. Then it sums up all nine pages, and ends with the
article's model in 40 lines of scikit-learn.

Teach the model a symbol of your own: `this page, live in the browser
<../page.html#view=teach>`__.
"""

# %%
# Two models are fitted: one Gaussian for each prompt, and the default. ``variant`` is
# the default with some of it taken out.

import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures

images, prompts = load_images("mnist-5k")
gaussian = LinearDiffusion(styles=1, tone=False, random_state=0).fit(images, prompts)
default = LinearDiffusion(random_state=0).fit(images, prompts)


def variant(matched, tones, details):
    """The default model, with or without what comes after the styles."""
    model = copy.copy(default)
    if not matched:
        model.prior_ = replace(model.prior_, gain=None, matched_means=None)
    if not tones:
        model.decoder_ = replace(model.decoder_, curves=None, details=None)
    elif not details:
        model.decoder_ = replace(model.decoder_, details=None)
    return model


styles = variant(matched=False, tones=False, details=False)
toned = variant(matched=False, tones=True, details=False)
matched = variant(matched=True, tones=True, details=False)


def compare(without, with_it):
    """Ten digits of both, from the same noise."""
    rows = [
        model.sample(prompts=list("0123456789"), random_state=4)[0]
        for model in (without, with_it)
    ]
    tiles = np.stack([np.split(drawn, 2) for drawn in rows], axis=1).reshape(-1, 28, 28)
    return pictures.show(tiles, 5, labels=["without", "with", "without", "with"])


# %%
# Styles
# ------
# A 7 has a bar or it has none. A Gaussian cannot say "or": it draws a 7 with half a
# bar. So the images of each prompt are sorted into **styles**, groups of images that
# look alike (by k-means clustering), and each style gets a Gaussian of its own. To
# draw, a style is chosen at random, as often as it occurs. Everything of the pages
# before holds for each style. The model is now made of many linear pieces; each piece
# is as exact as before.

compare(gaussian, styles)

# %%
# These are the mean images of some styles:

pictures.show(
    np.concatenate(
        [
            default.inverse_transform(default.style_means_[digit][:6])
            for digit in (2, 4, 7)
        ]
    ),
    6,
    labels=["2", "4", "7"],
)

# %%
# Tone curves
# -----------
# Most pixels of a digit are quite black or quite white. A sum of components does not
# know that, and leaves a grey haze. A **tone curve** is an increasing function from
# pixel values to pixel values. It is chosen so that drawn images have as many black,
# grey and white pixels as real ones.

compare(styles, toned)

# %%
# Pixels of 2,000 drawn images, without and with it, and of real ones:

bins = np.linspace(0, 256, 33)
fig, ax = plt.subplots()
for name, pixels, style in [
    ("without", styles.sample(2000, random_state=1)[0], "-"),
    ("with", toned.sample(2000, random_state=1)[0], "-"),
    ("real", images, ":"),
]:
    share = np.histogram(pixels, bins)[0] / pixels.size
    ax.step(bins[:-1], share, where="post", label=name, linestyle=style)
ax.set(yscale="log", xlabel="pixel, from black to white", ylabel="share of pixels")
ax.legend()
plt.show()

# %%
# Moment matching
# ---------------
# The tone curve pulls pixels to black and white. In doing so it takes away some of what
# makes images different from each other. **Moment matching** gives it back beforehand:
# the Gaussians that samples are drawn from are made a little wider, and their means are
# moved, until finished images vary as much as real ones do. The effect on one image is
# small, so the last row shows the difference: orange is brighter, blue is darker.


def compare_closely(without, with_it):
    """Five digits of both, from the same noise, and the difference."""
    a, b = (
        model.sample(prompts=list("02358"), random_state=4)[0]
        for model in (without, with_it)
    )
    grey = [drawn[..., None].repeat(3, axis=-1) for drawn in (a, b)]
    difference = pictures.signed(b.astype(float) - a)
    return pictures.show(
        np.concatenate([*grey, difference]), 5, labels=["without", "with", "difference"]
    )


compare_closely(toned, matched)

# %%


def variance(images):
    """Total variance of latents."""
    return default.transform(images).var(axis=0).sum()


for name, model in [("without", toned), ("with", matched)]:
    drawn, _ = model.sample(2000, random_state=1)
    print(f"{name:7} {variance(drawn) / variance(images):.1%} of real images' variance")

# %%
# Detail curves
# -------------
# Where a stroke ends, neighbouring pixels differ sharply; elsewhere they hardly differ.
# A **detail curve** does for the differences between neighbouring pixels what the tone
# curve does for the pixels. It is the last step, and the smallest.

compare_closely(matched, default)

# %%


def mean_difference(images):
    """Of neighbouring pixels, in grey levels."""
    return np.abs(np.diff(images.astype(float), axis=2)).mean()


for name, drawn in [
    ("without", matched.sample(2000, random_state=1)[0]),
    ("with", default.sample(2000, random_state=1)[0]),
    ("real", images),
]:
    print(f"{name:7} {mean_difference(drawn):.1f}")

# %%
# Curves act on finished images only. A likelihood or a restored image comes from the
# Gaussians alone, so what is exact stays exact.

# %%
# The answer in short
# -------------------
# **Which models does linear diffusion consist of?** A text encoder, which writes the
# prompt as a one-hot code. An image encoder and decoder: principal components. A
# denoiser: a linear regression from the noisy latent, the code, and their products to
# the noise. Around them, with nothing learned: a formula that adds noise, and a sampler
# that takes it away.
#
# **How is it trained?** First the image encoder: principal components of the training
# images. Then the denoiser, by supervised learning: draw noise, add it to the latents,
# and fit the regression from the noisy latents to the noise. Since a regression only
# needs averages, and those of noise are known, it can be fitted to infinitely many
# draws at once, by a formula, for all noise levels.
#
# **How does it generate?** It starts from pure noise. The denoiser guesses the noise in
# it, given the prompt, and the sampler subtracts it: all of it at once in the article,
# a little in each of many steps in real models. The decoder makes an image of the
# latent that is left.
#
# **What is simplified against real diffusion?** One-hot codes stand for a transformer,
# so the model knows no texts but those of its training. PCA stands for a VAE, and loses
# sharpness, which curves bring back. A linear regression stands for a U-Net: this is
# the largest simplification, since one prompt becomes one Gaussian, and the reason why
# all else can be exact. The article also has one noise level in the place of a
# schedule, one step in the place of many, no scale for the latents, and no guidance.
# All these are in this library.

# %%
# The article's model in 40 lines
# -------------------------------
# Everything of pages 2 to 7 that is needed, and nothing else. A test of this library
# runs these very lines, and holds that they guess the same noise and draw the same
# images as ``LinearDiffusion.one_shot()``, from the same random numbers.

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


class OneShot:
    """A diffusion model of linear models: noise is added and subtracted once."""

    def __init__(self, latent_dim=144):
        self.latent_dim = latent_dim
        self.text_encoder = OneHotEncoder(drop="first", sparse_output=False)
        self.image_encoder = make_pipeline(
            StandardScaler(), PCA(latent_dim, svd_solver="covariance_eigh")
        )
        self.denoiser = LinearRegression()

    def features(self, z_noisy, prompts):
        """[z_noisy, one-hot, one-hot x z_noisy]"""
        codes = self.text_encoder.transform(np.reshape(prompts, (-1, 1)))
        products = codes[:, :, None] * z_noisy[:, None, :]
        return np.hstack([z_noisy, codes, products.reshape(len(codes), -1)])

    def fit(self, rows, prompts, rng):
        """Images as rows of pixels, their prompts, and a source of noise."""
        self.text_encoder.fit(np.reshape(prompts, (-1, 1)))
        z = self.image_encoder.fit_transform(rows)
        eps = rng.standard_normal(z.shape)
        self.denoiser.fit(self.features(z + eps, prompts), eps)
        return self

    def sample(self, prompts, rng):
        """A new image for each prompt, as rows of pixels."""
        noise = rng.standard_normal((len(prompts), self.latent_dim))
        z = noise - self.denoiser.predict(self.features(noise, prompts))
        return self.image_encoder.inverse_transform(z)


# %%
# And this is how it is used:

rng = np.random.default_rng(0)
model = OneShot().fit(images.reshape(5000, 784), prompts, rng)
drawn = model.sample(list("0123456789"), rng)
pictures.show(drawn, 5, pixel_range=(0, 255), captions=range(10))
