"""
Learn from a stream
===================

A model of one Gaussian for each prompt learns from sums over images. So it can be fed
batch by batch, and is after each batch the model of all images so far, exactly. New
prompts may come at any time.
"""

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures

images, prompts = load_images("mnist-5k")
test, labels = images[4500:], prompts[4500:]

model = LinearDiffusion(styles=1, latent_dim=60, random_state=0)
seen, rows, names = 0, [], []
for batch in (60, 140, 800, 3500):
    part = slice(seen, seen + batch)
    model.partial_fit(images[part], prompts[part])
    seen += batch
    rows.append(model.sample(prompts=list("0123456789"), random_state=1)[0])
    names.append(f"{seen} images")
    print(f"{names[-1]:12} log-density of new images {model.score(test, labels):8.1f}")
pictures.show(np.concatenate(rows), 10, labels=names)

# %%
# Of 60 images the model has seen six of each digit. It draws these again, and finds all
# new images all but impossible. With each batch it draws more freely, and new images
# become likelier. After the last batch the model is the one that ``fit`` finds on all
# images at once:

whole = LinearDiffusion(styles=1, latent_dim=60, random_state=0)
whole.fit(images[:4500], prompts[:4500])
same = np.abs(whole.score_samples(test) - model.score_samples(test)).max()
print(f"largest difference of a log-density: {same:.1e}")
