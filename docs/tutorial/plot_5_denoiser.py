"""
5. The denoiser: a linear regression
====================================

The **denoiser** is the heart of a diffusion model. It is given a noisy latent and the
code of the prompt, and it answers with its guess of the noise. In Stable Diffusion it
is a U-Net, a large neural network. Here it is a linear regression.

Look into it: `this page, live in the browser <../page.html#view=denoiser>`__.
"""

# %%
# What it is given
# ----------------
# We take the latents of :doc:`page 3 <plot_3_images>`, the codes of
# :doc:`page 2 <plot_2_text>` and the noise of :doc:`page 4 <plot_4_noise>`. Of the
# 5,000 images the last 500 are put aside, to see how well the denoiser does on images
# that it has not learned from.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from linear_diffusion import load_images, pictures

images, prompts = load_images("mnist-5k")
rows = images.reshape(len(images), -1) / 255
scaler = StandardScaler().fit(rows)
pca = PCA(144, svd_solver="covariance_eigh").fit(scaler.transform(rows))
text_encoder = OneHotEncoder(drop="first", sparse_output=False).fit(prompts[:, None])

z = pca.transform(scaler.transform(rows))  # (5000, 144)
codes = text_encoder.transform(prompts[:, None])  # (5000, 9)
eps = np.random.default_rng(0).standard_normal(z.shape)
z_noisy = z + eps
train, test = slice(0, 4500), slice(4500, 5000)

# %%
# A linear regression predicts a sum: each number that it is given, its **features**,
# times a weight. The article gives it three groups of features:


def features(z_noisy, codes):
    """[z_noisy, one-hot, one-hot x z_noisy], a row for each image."""
    products = codes[:, :, None] * z_noisy[:, None, :]  # (n, 9, 144)
    return np.hstack([z_noisy, codes, products.reshape(len(codes), -1)])


X = features(z_noisy, codes)
names = ["z_noisy", "one-hot", "one-hot x z_noisy"]
sizes = [z.shape[1], codes.shape[1], codes.shape[1] * z.shape[1]]
for name, size in zip(names, sizes, strict=True):
    print(f"{name:18} {size:6,} columns")
print(f"{'all features':18} {X.shape[1]:6,} columns, and {len(X):,} rows, one an image")
print(f"{'what is predicted':18} {eps.shape[1]:6,} columns: the noise")

# %%
# The third group are **products**: each place of the code times each number of the
# latent. Where the code is 0 the products are 0. So the latent of a "7" stands in the
# seventh part of this group, and all other parts are empty. The picture shows the
# features of ten images, one in each row, from "0" to "9". Red is positive, blue is
# negative, white is 0.

one_each = [np.flatnonzero(prompts == digit)[0] for digit in "0123456789"]
fig, axes = plt.subplots(1, 3, figsize=(7, 3), sharey=True, width_ratios=[2, 0.8, 6])
edges = np.cumsum(sizes)[:-1]
for ax, name, part in zip(
    axes, names, np.split(X[one_each], edges, axis=1), strict=True
):
    ax.imshow(part, aspect="auto", cmap="RdBu_r", vmin=-4, vmax=4)
    ax.set(title=name, yticks=range(10), yticklabels=[f'"{i}"' for i in range(10)])
    ax.set_xticks([0, part.shape[1] - 1], ["1", f"{part.shape[1]:,}"])
    ax.grid(False)
plt.show()

# %%
# The regression
# --------------
# That is all that training is: find the weights with which the sum of the features
# comes nearest to the noise.

denoiser = LinearRegression().fit(X[train], eps[train])
print("weights:", denoiser.coef_.shape, "and intercepts:", denoiser.intercept_.shape)


def r2(guess, eps):
    """The part of the noise that is predicted, of the typical image (the median)."""
    return np.median(1 - ((guess - eps) ** 2).sum(axis=1) / (eps**2).sum(axis=1))


print(f"R² on images of the training: {r2(denoiser.predict(X[train]), eps[train]):.2f}")
print(f"R² on new images:             {r2(denoiser.predict(X[test]), eps[test]):.2f}")

# %%
# **R²** is the part of the noise that is predicted: 1 is all of it, and 0 is what the
# guess "no noise" reaches. That a denoiser finds half of the noise may be a surprise.
# After all, noise is random. But the sum ``z + eps`` is not: where latents of sevens
# are nearly always close to 0, whatever is there must be noise.
#
# New images score lower than those of the training. For each number that it predicts,
# the regression has 1,449 weights, but only 4,500 examples, and so it learns part of
# its examples by heart. The article had 70,000 images; :doc:`page 6 <plot_6_training>`
# shows another way out.
#
# We look at the typical image since a few are far off: they have ink where hardly any
# digit has, and standardising multiplies such pixels many times.
#
# In pictures, on new images. Noise is positive and negative, so it is shown in colour:


def decode(z):
    """Images of latents."""
    return scaler.inverse_transform(pca.inverse_transform(z))


def in_pixels(eps):
    """What noise on latents changes in the pixels."""
    return pictures.signed(eps @ (pca.components_ * scaler.scale_))


def grey(images):
    """Images as RGB, to stand beside coloured ones."""
    return pictures.to_tiles(images, (0, 1))[..., None].repeat(3, axis=-1)


guess = denoiser.predict(X[test])
columns = [
    grey(decode(z[test])),
    in_pixels(eps[test]),
    grey(decode(z_noisy[test])),
    in_pixels(guess),
    grey(decode(z_noisy[test] - guess)),
]
shown = np.stack([column[:4] for column in columns], axis=1).reshape(20, 28, 28, 3)
captions = ["z", "eps", "z + eps", "guess", "denoised"]
pictures.show(shown, 5, captions=captions * 4)

# %%
# The guess resembles the true noise. It leaves out what might as well belong to the
# digit. The last column is the noisy latent minus the guess. This is the article's
# picture of a noised and denoised digit.

# %%
# How well at each level of noise?
# --------------------------------
# A denoiser can be trained for any level. Here are twelve of them, ``z + sigma eps``,
# from hardly any noise to a lot.

levels = np.geomspace(0.1, 30, 12)
scores = []
for sigma in levels:
    # One regression for each digit: the same predictions, only faster (see below).
    predicted = np.empty_like(eps[test])
    for digit in text_encoder.categories_[0]:
        of_train, of_test = prompts[train] == digit, prompts[test] == digit
        noisy = z + sigma * eps
        own = LinearRegression().fit(noisy[train][of_train], eps[train][of_train])
        predicted[of_test] = own.predict(noisy[test][of_test])
    scores.append(r2(predicted, eps[test]))

fig, ax = plt.subplots()
ax.plot(levels, scores, marker="o")
ax.set(xscale="log", xlabel="sigma, the noise", ylabel="R² on new images")
ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
plt.show()

# %%
# Little noise is hard to see, since it hides behind what makes digits differ. Much
# noise is easy to see, since there is hardly anything else. But then seeing the noise
# says little about the digit: to draw, a model has to do well in between.

# %%
# Why the products?
# -----------------
# Let us leave them out, and give the regression the noisy latent and the code alone.

simple = np.hstack([z_noisy, codes])
without = LinearRegression().fit(simple[train], eps[train])
guess = without.predict(simple[test])
print(f"R² on new images, without products: {r2(guess, eps[test]):.2f}")

# %%
# That is worse, though it does not look bad. But now ask both for pictures: give them
# the same noise and all ten prompts, and subtract what they guess.

noise = np.repeat(np.random.default_rng(1).standard_normal((1, 144)), 10, axis=0)
asked = text_encoder.transform([[digit] for digit in "0123456789"])
drawn_without = decode(noise - without.predict(np.hstack([noise, asked])))
drawn_with = decode(noise - denoiser.predict(features(noise, asked)))
pictures.show(
    np.concatenate([drawn_without, drawn_with]),
    5,
    pixel_range=(0, 1),
    labels=["without", "", "with", ""],
    captions=list("01234567890123456789"),
)

# %%
# Without products, all that a prompt can do is to add a constant image of its own. The
# noise is treated in the same way whatever the prompt is, so all ten digits look nearly
# the same. With products each prompt has weights of its own. In effect there are ten
# regressions, one for each digit, in one formula. For a one-hot code this is exact: ten
# regressions of 144 features give the same predictions as this one of 1,449.

ten = np.empty_like(eps[train])
for digit in text_encoder.categories_[0]:
    own = prompts[train] == digit
    regression = LinearRegression().fit(z_noisy[train][own], eps[train][own])
    ten[own] = regression.predict(z_noisy[train][own])
print(f"largest difference: {np.abs(ten - denoiser.predict(X[train])).max():.0e}")

# %%
# What a U-Net does here
# ----------------------
# It is given the same things: the noisy latent, the code of the prompt, and the time
# ``t``. It also multiplies what it sees by what it was asked for: the products are its
# *cross-attention*, in which each place of the picture looks up the words that matter
# for it. What it has beyond a regression:
#
# - **It is not linear.** It can say "if there is a stroke here, it must go on there". A
#   regression can only add.
# - **It knows that pictures have places.** Its convolutions treat a stroke at the left
#   like a stroke at the right. PCA and regression know nothing of the sort; they work
#   on digits because those are centred.
# - **One network serves all levels.** A regression needs weights for each level. Page 6
#   shows that they all come from one pass through the data.
