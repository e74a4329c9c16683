"""
Emoji from words, in combinations never shown
=============================================

Prompts of several words share what they learn: what "hat" does is learned from all
faces with a hat. Here a model is trained on faces of three colours and two moods,
plain, with a hat or with glasses. Some combinations are left out, and then asked for.
"""

import numpy as np
from PIL import Image, ImageDraw

from linear_diffusion import LinearDiffusion, pictures

rng = np.random.default_rng(0)
COLOURS = {"yellow": (255, 205, 50), "green": (120, 200, 90), "pink": (250, 150, 180)}


def emoji(colour, mood, extra):
    """A face that is a little different each time, 32 x 32 pixels."""
    image = Image.new("RGB", (128, 128), "white")
    draw, r = ImageDraw.Draw(image), 44 + rng.uniform(-1, 1)
    x, y = np.array([64, 74]) + rng.uniform(-1, 1, 2)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=COLOURS[colour])
    for side in (-1, 1):
        eye = x + 17 * side
        draw.ellipse((eye - 5, y - 18, eye + 5, y - 4), fill="black")
        if extra == "glasses":
            draw.ellipse((eye - 15, y - 26, eye + 15, y + 4), outline="black", width=5)
    h = rng.uniform(10, 16)
    middle, angles = (y + 12, (10, 170)) if mood == "happy" else (y + 30, (190, 350))
    draw.arc((x - 24, middle - h, x + 24, middle + h), *angles, fill="black", width=6)
    if extra == "hat":
        draw.rectangle((x - 42, y - 42, x + 42, y - 34), fill="navy")
        draw.rectangle((x - 26, y - 68, x + 26, y - 40), fill="navy")
    return np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS))


extras = ("plain", "hat", "glasses")
every = [f"{c} {m} {e}" for c in COLOURS for m in ("happy", "sad") for e in extras]
unseen = ["yellow sad glasses", "green happy hat", "pink sad hat"]
prompts = np.repeat([prompt for prompt in every if prompt not in unseen], 60)
images = np.stack([emoji(*prompt.split()) for prompt in prompts])
pictures.show(images[::60], 8)

# %%
# ``text_encoder="words"`` makes a code of the words and of their products. The prompts
# that were left out:

model = LinearDiffusion(text_encoder="words", latent_dim=60, random_state=0)
model.fit(images, prompts)
drawn, _ = model.sample(prompts=np.repeat(unseen, 6).tolist())
pictures.show(drawn, 6, labels=unseen)

# %%
# No training image showed these combinations. Colour, mood, hat and glasses are right,
# since the model has seen each in other company.
