"""
7. Generation: from noise to a new digit
========================================

The denoiser is trained. To draw, the article uses it in the simplest way: take pure
noise, tell the denoiser that there is a "7" in it, and subtract what it takes for
noise.

Generate one yourself: `this page, live in the browser
<../page.html#view=sampler&sampler=one-step>`__.
"""

# %%
# One subtraction
# ---------------
# The model is put together as on the pages before.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from linear_diffusion import LinearDiffusion, load_images, pictures, research

images, prompts = load_images("mnist-5k")
rows = images.reshape(len(images), -1) / 255
scaler = StandardScaler().fit(rows)
pca = PCA(144, svd_solver="covariance_eigh").fit(scaler.transform(rows))
text_encoder = OneHotEncoder(drop="first", sparse_output=False).fit(prompts[:, None])


def features(z_noisy, prompts):
    """[z_noisy, one-hot, one-hot x z_noisy], a row for each image."""
    codes = text_encoder.transform(np.reshape(prompts, (-1, 1)))
    products = codes[:, :, None] * z_noisy[:, None, :]
    return np.hstack([z_noisy, codes, products.reshape(len(codes), -1)])


rng = np.random.default_rng(0)
z = pca.transform(scaler.transform(rows))
eps = rng.standard_normal(z.shape)
denoiser = LinearRegression().fit(features(z + eps, prompts), eps)

# %%
# Generation is four lines. There is no image in it, only noise and a prompt:

noise = rng.standard_normal((5, 144))  # 1. pure noise
guess = denoiser.predict(features(noise, ["7"] * 5))  # 2. guess the noise in it
latents = noise - guess  # 3. subtract it
drawn = scaler.inverse_transform(pca.inverse_transform(latents))  # 4. decode

in_pixels = pca.components_ * scaler.scale_
steps = np.concatenate(
    [
        pictures.signed(noise @ in_pixels),
        pictures.signed(guess @ in_pixels),
        pictures.to_tiles(drawn, (0, 1))[..., None].repeat(3, axis=-1),
    ]
)
pictures.show(steps, 5, labels=["noise", "guess", "drawn"])

# %%
# The guess looks almost like the noise. But not quite: the denoiser believes that there
# is a 7, and does not count as noise what goes along with one. What is left over is
# drawn. Five different starts give five different sevens.

# %%
# The article's picture
# ---------------------
# The article shows five digits for each prompt. Here they are, as the library draws
# them: ``LinearDiffusion.one_shot()`` is the article's model, kept as it is.

one_shot = LinearDiffusion.one_shot(random_state=0).fit(images, prompts)
asked = [digit for digit in "0123456789" for _ in range(5)]
drawn, _ = one_shot.sample(prompts=asked)
pictures.show(drawn, 10, labels=["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"])

# %%
# Some can be read at once, others with good will. That is remarkable for a model that
# only multiplies and adds. And its picture of a digit with noise, and denoised:

fours = images[prompts == "4"][:5]
z = one_shot.transform(fours)
z_noisy = z + rng.standard_normal(z.shape)
denoise = research.denoiser_map(
    one_shot.denoiser("4"), research.Level(alpha=1, sigma=1)
)
rows = [
    fours,
    one_shot.inverse_transform(z_noisy),
    one_shot.inverse_transform(denoise(z_noisy)),
]
pictures.show(np.concatenate(rows), 5, labels=["image", "with noise", "denoised"])

# %%
# What is kept of the original code, and what is not
# --------------------------------------------------
# Kept are all parts: standardised pixels, 144 principal components, the one-hot code,
# noise of variance 1 that is added once, ordinary least squares on the latent, the code
# and their products, one subtraction, and the decoder. Four things are different:
#
# .. list-table::
#    :header-rows: 1
#    :widths: 20 40 40
#
#    * -
#      - the original code
#      - ``LinearDiffusion.one_shot()``
#    * - images
#      - all 70,000 of MNIST, those for testing as well
#      - those that it is given: 5,000 on these pages, the 60,000 for training in our
#        measurements
#    * - seed
#      - training and sampling draw from the same seed, so that samples begin with the
#        very noise that was learned from
#      - each has random numbers of its own
#    * - code
#      - nine places, since the first digit is dropped
#      - one regression for each prompt: the same predictions
#    * - pixels
#      - whatever comes out
#      - cut to the range from 0 to 255

# %%
# Why they are so pale
# --------------------
# The closed form of :doc:`page 6 <plot_6_training>` says what one subtraction does. The
# denoiser has learned from ``z + eps``, where most of the digit can be seen. Now it is
# given ``eps`` alone, and takes it for ``z + eps``. Along a direction in which the
# sevens have the variance ``s``, what is drawn has the mean ``mu / (1 + s)`` in the
# place of ``mu``, and the standard deviation ``s / (1 + s)`` in the place of ``√s``.
# The first directions, those that are seen at first sight, have the largest ``s``, so
# they lose most:

z = one_shot.transform(images[prompts == "7"]).astype(float)
mu = z.mean(axis=0)
s, directions = np.linalg.eigh(np.cov(z.T, bias=True))
s, directions = s[::-1], directions[:, ::-1]

fig, ax = plt.subplots()
ax.plot(range(1, 145), np.sqrt(s), label="real sevens")
ax.plot(range(1, 145), s / (1 + s), label="after one subtraction")
ax.set(xlabel="direction", ylabel="standard deviation")
ax.legend()
plt.show()

# %%
# The mean of all sevens, and the mean of all sevens that one subtraction can draw:

drawn_mean = directions @ ((directions.T @ mu) / (1 + s))
pictures.show(
    one_shot.inverse_transform(np.stack([mu, drawn_mean])),
    captions=["real", "drawn"],
    zoom=6,
)

# %%
# So the model's weakness is not that it is linear. It is that it goes from pure noise
# to a digit in one step, from a noise level at which it was never trained. The next
# page takes more steps.
