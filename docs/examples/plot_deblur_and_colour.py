"""
Sharpen and colour
==================

Blur and the loss of colour are linear too, so the same formula takes them back, as far
as that can be done. The images are small pieces of one photograph that comes with
scikit-learn; the model learns from its left part, and we restore pieces of its right
part.
"""

import numpy as np
from sklearn.datasets import load_sample_images

from linear_diffusion import LinearDiffusion, operators, pictures

photograph = load_sample_images().images[1]  # a flower, (427, 640, 3)
half = photograph[::2, ::2]
pictures.show(half[None], zoom=2)

# %%
SIDE = 16


def pieces(image, n, seed):
    """Random squares of an image, (n, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    top = rng.integers(0, image.shape[0] - SIDE, n)
    left = rng.integers(0, image.shape[1] - SIDE, n)
    return np.stack(
        [image[a : a + SIDE, b : b + SIDE] for a, b in zip(top, left, strict=True)]
    )


train, new = pieces(half[:, :160], 4000, 0), pieces(half[:, 160:], 400, 1)
new = new[np.argsort(new.std(axis=(1, 2, 3)))[-160::20]]  # pieces with much in them
model = LinearDiffusion(styles=40, latent_dim=400, tone=False, random_state=0).fit(
    train
)

# %%
# A blur of one pixel and a little noise, then colour lost. All that ``restore`` is told
# is what was done:

rng = np.random.default_rng(0)
blur, grey = operators.blur(1.0), operators.grayscale()
blurred = blur(new) + rng.normal(0, 1, new.shape)
sharp = model.restore(blurred, blur, noise_std=1)
faded = grey(new)
coloured = model.restore(faded, grey)


def as_bytes(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


shown_grey = np.repeat(as_bytes(faded).reshape(8, SIDE, SIDE, 1), 3, axis=3)
rows = [new, as_bytes(blurred), as_bytes(sharp), shown_grey, as_bytes(coloured)]
labels = ["image", "blurred", "sharpened", "colour lost", "coloured"]
pictures.show(np.concatenate(rows), 8, labels=labels)

# %%
# Edges come back. A grey pixel gets the colour that such a piece of this photograph
# most often has: the petals are orange, the background is blue-green. Where petals end
# at the right, that guess is wrong.

for name, seen, restored in (
    ("blur", blurred, sharp),
    ("colour", shown_grey, coloured),
):
    before, after = (
        np.sqrt(np.mean((x.astype(float) - new) ** 2)) for x in (seen, restored)
    )
    print(f"{name}: error {before:.1f} grey levels before, {after:.1f} after")
