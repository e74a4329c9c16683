"""
1. The idea: to noise and back
==============================

A diffusion model learns one skill: to say what noise there is in a noisy picture. From
this one skill it draws. It starts from a picture that is nothing but noise, takes away
the noise that it believes it sees, and what is left is a new picture.

This page shows the two ways, to noise and back, on one digit. The other pages take the
model apart.

Watch it happen: `this page, live in the browser <../page.html#view=sampler>`__.
"""

# %%
# The data
# --------
# 5,000 digits that people wrote by hand, 28 x 28 pixels each. They are a part of MNIST,
# the best-known data set of digits. Each image has a **prompt**: the text that says
# what it shows. Here the texts are as short as can be, "0" to "9".

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures, research

images, prompts = load_images("mnist-5k")
print("images: ", images.shape, images.dtype)
print("prompts:", prompts.shape, "the first five are", *prompts[:5])
pictures.show(images[:6], captions=prompts[:6])

# %%
# The forward process: from a digit to noise
# ------------------------------------------
# The **forward process** adds noise to an image, a little more at each step, until
# nothing of the image is left. Noise means independent random numbers from the normal
# distribution with mean 0 and variance 1, one for each pixel. They are called ``eps``,
# the Greek letter ε. A noisy image is a sum::
#
#     x_t = alpha x + sigma eps
#
# ``alpha`` says how much of the image there still is, and ``sigma`` how much noise. In
# the film below ``alpha`` falls from 1 to 0 while ``sigma`` grows from 0 to 1, with
# ``alpha² + sigma² = 1`` all the way. Pixels are brought to the range from -1 to 1
# first, as in real diffusion models, so that images and noise are about equally large.

x = images[3] / 127.5 - 1
eps = np.random.default_rng(0).standard_normal(x.shape)
levels = research.noise_levels("cosine", n_steps=50)  # pairs (alpha, sigma)
levels = levels[::-10]  # six of them, from clean to noise

film = np.array([alpha * x + sigma * eps for alpha, sigma in levels])
captions = [f"σ = {sigma:.2f}" for _, sigma in levels]
pictures.show(film, 6, pixel_range=(-1, 1), captions=captions)

# %%
# This way needs no learning. It is a formula, and it can be done in one go: to get the
# fourth picture of the film, nobody has to make the second and the third.

# %%
# The reverse process: from noise to a digit
# ------------------------------------------
# The **reverse process** goes the other way, and this is what has to be learned. At
# each step a **denoiser** looks at the noisy image, at how much noise there is, and at
# the prompt. It answers with its best guess of the noise. A part of that noise is taken
# away, and the next step begins.
#
# Here is a model that does this. It is fitted in less than a second, since all that it
# learns is linear. It starts from pure noise, it is asked for a "7", and it takes fifty
# steps.

model = LinearDiffusion(styles=1, latent_dim=144).fit(images, prompts)
_, _, path = model.sample(
    1, "7", sampler="ddim", n_steps=50, return_trajectory=True, random_state=2
)
film = path[::10, 0]
pictures.show(film, 6, captions=["noise", *(f"step {i}" for i in range(10, 51, 10))])

# %%
# This 7 is in no data set. Other noise gives another 7, and another prompt gives
# another digit from the same noise:

drawn = [model.sample(1, digit, random_state=2)[0] for digit in "012345"]
pictures.show(np.concatenate(drawn), 6, captions=list("012345"))

# %%
# The five blocks
# ---------------
# Every text-to-image diffusion model consists of the same blocks. Real ones use a
# neural network for most of them. Here each is a linear model, or a formula.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 22 30 30 18
#
#    * - block
#      - in Stable Diffusion
#      - in linear diffusion
#      - explained on
#    * - text encoder: prompt to numbers
#      - a transformer
#      - one-hot code: nothing is learned
#      - :doc:`page 2 <plot_2_text>`
#    * - image encoder and decoder: image to a few numbers and back
#      - a variational autoencoder (VAE)
#      - principal components (PCA)
#      - :doc:`page 3 <plot_3_images>`
#    * - noising: adds noise for training
#      - a schedule of 1,000 noise levels
#      - one level in the article; all common schedules in this library
#      - :doc:`page 4 <plot_4_noise>`
#    * - denoiser: guesses the noise
#      - a U-Net
#      - linear regression
#      - pages :doc:`5 <plot_5_denoiser>` and :doc:`6 <plot_6_training>`
#    * - sampler: from noise to an image
#      - 20 to 50 steps
#      - one subtraction in the article; any number of steps in this library
#      - pages :doc:`7 <plot_7_generation>` and :doc:`8 <plot_8_simplified>`
#
# The pictures above do not look as good as they could. That too is part of the lesson:
# :doc:`page 8 <plot_8_simplified>` measures what each simplification costs, and
# :doc:`page 9 <plot_9_beyond>` shows what brings digits that are hard to tell from real
# ones.
