"""
Your own images, from a folder
==============================

Images lie in a folder with one subfolder for each prompt. Here we draw smileys, save
them as PNG files, read the folder, and ask the model for new ones. With your own
photographs only the last two blocks are needed.
"""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from PIL import Image, ImageDraw

from linear_diffusion import LinearDiffusion, load_images, pictures

rng = np.random.default_rng(0)


def smiley(mood):
    """A face of random size, place and colour, 32 x 32 pixels."""
    image = Image.new("RGB", (128, 128), "white")
    draw, r = ImageDraw.Draw(image), rng.uniform(44, 56)
    x, y = 64 + rng.uniform(-5, 5, 2)
    colour = tuple(int(c) for c in rng.uniform((230, 150, 30), (255, 220, 90)))
    draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline="black", width=4)
    for side in (-1, 1):
        eye = x + side * 0.35 * r
        draw.ellipse((eye - 6, y - 0.4 * r, eye + 6, y - 0.1 * r), fill="black")
    w, h = 0.55 * r, rng.uniform(0.3, 0.5) * r
    middle = y + (0.2 * r if mood == "happy" else 0.6 * r)
    angles = (10, 170) if mood == "happy" else (190, 350)
    draw.arc((x - w, middle - h, x + w, middle + h), *angles, fill="black", width=7)
    return image.resize((32, 32), Image.Resampling.LANCZOS)


folder = Path(mkdtemp())
for mood in ("happy", "sad"):
    (folder / mood).mkdir()
    for i in range(400):
        smiley(mood).save(folder / mood / f"{i}.png")

# %%
# Read and fit. The folders' names are the prompts. On the command line, this is
# ``linear-diffusion fit FOLDER -o MODEL``.

images, prompts = load_images(folder)
print(images.shape, images.dtype, sorted(set(prompts)))
model = LinearDiffusion(styles=40, latent_dim=150, random_state=0).fit(images, prompts)

# %%
# Eight real faces of each mood, and eight that the model drew:

rows = [images[prompts == "happy"][:8], model.sample(8, "happy")[0]]
rows += [images[prompts == "sad"][:8], model.sample(8, "sad")[0]]
labels = ["happy, real", "happy, drawn", "sad, real", "sad, drawn"]
pictures.show(np.concatenate(rows), 8, labels=labels)

# %%
# The drawn faces vary in size, place, colour and mouth, as the real ones do. Edges are
# a little soft, since a face that moves is not a sum of few faces.
