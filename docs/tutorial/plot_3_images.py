"""
3. Images: from pixels to a few numbers and back
================================================

An image of 28 x 28 pixels is 784 numbers, and most of them can be guessed from their
neighbours. The **image encoder** writes an image as fewer numbers, its **latent**
``z``. The **decoder** makes an image of a latent again. Noise is added to latents and
taken away from latents; pixels are only seen at the very start and at the very end.
Models that work like this are called latent diffusion models, and Stable Diffusion is
one.

Draw a digit and send it through: `this page, live in the browser
<../page.html#view=encoder>`__.
"""

# %%
# Principal components
# --------------------
# Here the encoder is **principal component analysis** (PCA). It finds the directions in
# which images differ most, and describes each image by how far it goes along each of
# them. The article first brings each pixel to mean 0 and variance 1 (it *standardises*
# the pixels), and then keeps 144 = 12 x 12 components:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from linear_diffusion import load_images, pictures

images, prompts = load_images("mnist-5k")
rows = images.reshape(len(images), -1) / 255  # rows of 784 numbers from 0 to 1

scaler = StandardScaler().fit(rows)
pca = PCA(144, svd_solver="covariance_eigh").fit(scaler.transform(rows))
z = pca.transform(scaler.transform(rows))
print("pixels: ", rows.shape)
print("latents:", z.shape)

# %%
# A component is a direction in the space of images, so it can be shown as an image
# itself. It has positive and negative numbers: orange makes pixels brighter, blue makes
# them darker, and black leaves them as they are. The first one is roughly "a zero, and
# not a one".

components = pca.components_ * scaler.scale_  # in pixels
pictures.show(pictures.signed(components[:12]), 6, captions=range(1, 13))

# %%
# A digit is a sum
# ----------------
# The decoder multiplies each component by its number in the latent, adds all of them
# up, and adds the mean image::
#
#     x = mean + z[0] component 1 + z[1] component 2 + ... + z[143] component 144
#
# With few components a digit is blurred, or not even itself. With 144 it is hard to
# tell from the original.


def through(n, rows):
    """Images from the first n numbers of their latents, and no others."""
    z = pca.transform(scaler.transform(rows))
    z[:, n:] = 0
    return scaler.inverse_transform(pca.inverse_transform(z))


shown = rows[[0, 1, 3]]
table = [through(n, shown) for n in (2, 10, 50, 144)]
table = np.stack([*table, shown], axis=1).reshape(15, 784)
captions = ["2", "10", "50", "144", "original"]
pictures.show(table, 5, pixel_range=(0, 1), captions=captions * 3)

# %%
# How many components are enough?
# -------------------------------
# The **explained variance** of n components is the part of all differences between
# images that they describe. The rest is lost: no later block can bring it back.


def explained(rows):
    """The explained variance of 1, 2, 3, ... components."""
    pca = PCA(svd_solver="covariance_eigh").fit(rows)
    return pca.explained_variance_ratio_.cumsum()


standardised, plain = explained(scaler.transform(rows)), explained(rows)
print("components   of standardised pixels   of plain pixels")
for n in (2, 10, 50, 144):
    print(f"{n:10}   {standardised[n - 1]:22.0%}   {plain[n - 1]:15.0%}")

fig, ax = plt.subplots()
ax.plot(range(1, 785), plain, label="plain pixels")
ax.plot(range(1, 785), standardised, label="standardised pixels, as in the article")
ax.axvline(144, color="grey", linestyle=":")
ax.annotate("144", (150, 0.1))
ax.set(xlabel="components", ylabel="explained variance", ylim=(0, 1.02))
ax.legend(loc="lower right")
plt.show()

# %%
# Standardising makes pixels at the border, which are nearly always black, as important
# as those in the middle. That costs components. So this library leaves it out by
# default; here we keep it, since we follow the article.

# %%
# What a VAE does here
# --------------------
# A **variational autoencoder** (VAE) is a pair of neural networks with a narrow place
# between them: the first squeezes the image into a latent, the second makes an image of
# it. Both are trained together, by showing them many images and asking for the same
# images back. PCA does the same with two matrices, and it is the best that matrices can
# do.
#
# What does a network gain? Let us give both only 10 numbers for an image. This small
# autoencoder is a VAE without its "V": a real one also adds a little noise to its
# latents in training, so that they fill the space without gaps.

train, test = rows[:4500].astype(np.float32), rows[4500:].astype(np.float32)
linear = PCA(10, svd_solver="covariance_eigh").fit(train)
network = MLPRegressor(
    hidden_layer_sizes=(128, 10, 128),  # 784 -> 128 -> 10 -> 128 -> 784
    batch_size=100,
    learning_rate_init=0.002,
    random_state=0,
)
for _ in range(30):
    network.partial_fit(train, train)  # one more pass through all images

by_pca = linear.inverse_transform(linear.transform(test))
by_network = network.predict(test)
variance = ((test - train.mean(axis=0)) ** 2).mean()
print(f"PCA loses {((by_pca - test) ** 2).mean() / variance:.0%} of the variance,")
print(f"the network {((by_network - test) ** 2).mean() / variance:.0%}")
pictures.show(
    np.concatenate([by_pca[:5], by_network[:5], test[:5]]),
    5,
    pixel_range=(0, 1),
    labels=["PCA", "network", "original"],
)

# %%
# The network's digits are sharper: it has learned that strokes are either there or not,
# which no sum of components can say. The price is training by many small steps, and a
# map that cannot be written down.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 24 38 38
#
#    * -
#      - the VAE of Stable Diffusion
#      - PCA
#    * - an image becomes
#      - 64 x 64 x 4 numbers, of 512 x 512 x 3
#      - 144 numbers, of 28 x 28
#    * - encoder and decoder are
#      - two neural networks
#      - one matrix and its transpose
#    * - it is trained
#      - by gradient descent on millions of images; besides pixels it compares how
#        images look to other networks
#      - in closed form, in less than a second
#    * - it loses
#      - fine texture, small print
#      - the small components; edges become soft, and strokes get halos
