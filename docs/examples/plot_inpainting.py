"""
Fill in what is missing
=======================

Part of an image is lost. The model knows which images are likely, so it knows which
contents of the hole are, and how likely each is. There is nothing to iterate: the
posterior has a formula.
"""

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, operators, pictures

images, prompts = load_images("mnist-5k")
unseen = images[4500:4508]  # the model does not see these
model = LinearDiffusion(styles=30, latent_dim=300, tone=False, random_state=0)
model.fit(images[:4500], prompts[:4500])

# %%
# The lower half is hidden. ``restore`` gives the mean of all images that may have been,
# how unsure each pixel is, and some of these images:

hole = np.zeros((28, 28), bool)
hole[14:] = True  # True is missing
torn = np.where(hole, 128, unseen).astype(np.uint8)
operator = operators.inpaint(hole)
mean, std = model.restore(torn, operator, return_std=True)
draws = model.restore(torn, operator, n_samples=2, random_state=0)

rows = [unseen, torn, mean, np.clip(2 * std, 0, 255), draws[:, 0], draws[:, 1]]
labels = ["image", "seen", "mean", "std (x 2)", "a draw", "another"]
sheet = np.concatenate(rows).astype(np.uint8)
pictures.show(sheet, 8, labels=labels)

# %%
# Where the upper half leaves no doubt, draws look alike; where several digits fit, they
# differ, and the mean is blurred. The prompt settles it, for better or worse:

as_told = [torn, *(model.restore(torn, operator, prompts=p) for p in ("3", "7", "9"))]
pictures.show(np.concatenate(as_told), 8, labels=["seen", "a 3", "a 7", "a 9"])

# %%
# The upper half stays as it was seen. Below it stands what the prompt makes most
# likely.
