"""
Likelihood, and images that do not belong
=========================================

The model gives each image an exact log-density. Images that are less likely than nearly
all others do not belong: other things, damaged images, wrong labels. The threshold
comes from images that the model has not seen.
"""

import matplotlib.pyplot as plt
import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures

images, prompts = load_images("mnist-5k")
model = LinearDiffusion(styles=30, latent_dim=150, tone=False, random_state=0)
model.fit(images[:4000], prompts[:4000])

held_out, new = images[4000:4500], images[4500:]
threshold = np.quantile(model.score_samples(held_out), 0.01)

strange = {
    "upside down": new[:, ::-1],
    "shifted": np.roll(new, 6, axis=2),
    "noisy": np.clip(
        new + np.random.default_rng(0).normal(0, 50, new.shape), 0, 255
    ).astype(np.uint8),
}
fig, ax = plt.subplots()
for name, group in {"new digits": new, **strange}.items():
    score = model.score_samples(group)
    ax.hist(score, bins=60, histtype="step", linewidth=2, label=name)
    print(f"{name:12} {np.mean(score < threshold):6.1%} below the threshold")
ax.axvline(threshold, color="black", linestyle=":")
ax.set(xlabel="log-density, in nats", ylabel="images")
ax.legend()
plt.show()

# %%
# New digits lie right of the dotted line, all but about one in a hundred. Shifted and
# noisy ones lie left of it, most of them. Digits upside down are the hardest to tell,
# since a 0, a 1 or an 8 upside down is a digit.
#
# Given what an image is said to show, a wrong label is a strange image, too. Here are
# the likeliest and the least likely new images under their own labels:

own = model.score_samples(new, prompts[4500:])
order = np.argsort(own)
rows = [new[order[::-1][:10]], new[order[:10]]]
pictures.show(
    np.concatenate(rows),
    10,
    labels=["likely", "strange"],
    captions=prompts[4500:][np.r_[order[::-1][:10], order[:10]]],
)

# %%
# Likely images are ones, whose pixels are mostly black. The strange ones are thick or
# oddly written.
