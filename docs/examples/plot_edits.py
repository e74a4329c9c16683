"""
Edit an image
=============

As in image-to-image of Stable Diffusion: noise is added to an image, and the denoiser
of another prompt takes it away. How much noise is the strength. Little noise keeps the
image, much noise keeps only its rough shape.
"""

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(styles=30, latent_dim=150, random_state=0).fit(images, prompts)

# %%
# Two threes, fours, fives and ones are to become eights, nines, threes and sevens:

chosen = np.concatenate([np.flatnonzero(prompts == digit)[:2] for digit in "3451"])
wanted = [target for target in "8937" for _ in range(2)]
strengths = [0, 0.2, 0.4, 0.6, 0.8, 1]
rows = [
    model.edit(images[chosen], wanted, strength, random_state=1)
    for strength in strengths
]
labels = [f"strength {strength:g}" for strength in strengths]
pictures.show(np.concatenate(rows), 8, labels=labels)

# %%
# At 0 the digits are what they were, at 1 they are new. In between, slant and stroke of
# the old digit stay, and its shape is that of the new.
#
# A way from one image to another is an edit of a kind as well: both are carried to
# noise, the noise is mixed, and carried back.

pairs = ["38", "49", "17"]
rows = []
for a, b in pairs:
    ends = images[prompts == a][5], images[prompts == b][5]
    rows.append(model.interpolate(*ends, n_images=8, prompts=[a, b]))
pictures.show(np.concatenate(rows), 8, labels=[f"{a} to {b}" for a, b in pairs])

# %%
# The digits on the way change their shape. They are no mere sums of the two pictures at
# the ends, though halfway traces of both can be seen.
