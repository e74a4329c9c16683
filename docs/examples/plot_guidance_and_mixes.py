"""
Guidance, and prompts in between
================================

Guidance draws what is typical of a prompt, at the price of variety. A mixed prompt
draws what lies between two. Both have a closed form here.
"""

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(styles=30, latent_dim=150, random_state=0).fit(images, prompts)

# %%
# The same noise with more and more guidance, and guided away from another prompt:

settings = {
    "no guidance": {},
    "scale 2": {"guidance_scale": 2},
    "scale 4": {"guidance_scale": 4},
    "2, not 4": {"guidance_scale": 2, "negative_prompts": "4"},
}
rows = [
    model.sample(8, "9", sampler="ddim", random_state=3, **setting)[0]
    for setting in settings.values()
]
pictures.show(np.concatenate(rows), 8, labels=list(settings))

# %%
# With guidance nines become plainer and more alike. Guided away from "4", their loops
# close.
#
# From threes to eights, by weights that sum to one:

weights = [0, 0.25, 0.5, 0.75, 1]
rows = [
    model.sample(
        8, {"3": 1 - w, "8": w} if 0 < w < 1 else "38"[int(w)], random_state=1
    )[0]
    for w in weights
]
pictures.show(np.concatenate(rows), 8, labels=[f"{w:.0%} of an 8" for w in weights])

# %%
# The open sides of the threes close step by step.
