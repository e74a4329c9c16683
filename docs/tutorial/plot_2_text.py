"""
2. Text: from a prompt to numbers
=================================

A regression cannot read. The first block of a diffusion model, the **text encoder**,
turns the prompt into a vector: a row of numbers of fixed length, which the denoiser can
calculate with. This vector is called the **code** (or the embedding) of the prompt.

Try it: `this page, live in the browser <../page.html#view=prompt>`__.
"""

# %%
# One-hot
# -------
# The simplest code has one place for each prompt that exists. It holds a 1 at the place
# of the prompt, and 0 everywhere else. It is called **one-hot**. scikit-learn has it
# ready made:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from linear_diffusion import LinearDiffusion, UnknownPromptError, load_images, pictures

images, prompts = load_images("mnist-5k")

text_encoder = OneHotEncoder(sparse_output=False).fit(prompts[:, None])
for prompt in "017":
    print(f'"{prompt}" ->', text_encoder.transform([[prompt]])[0].astype(int))

# %%
# One place can be spared
# -----------------------
# The ten places always sum to 1, so one of them says nothing new: if nine are 0, the
# tenth must be 1. The article drops the first. Its codes have nine places, and "0" is
# the code without any 1:

text_encoder = OneHotEncoder(drop="first", sparse_output=False).fit(prompts[:, None])
for prompt in "017":
    print(f'"{prompt}" ->', text_encoder.transform([[prompt]])[0].astype(int))

# %%
# For the regression this changes nothing. A regression has an intercept, a constant
# that it adds to everything. With nine places the intercept stands for "0", and each
# place for how its digit differs from "0". Predictions are the same.
#
# These are the codes of the first twelve images, one in each row. Yellow is 1.

codes = text_encoder.transform(prompts[:, None])
fig, ax = plt.subplots(figsize=(5, 4))
ax.imshow(codes[:12], cmap="viridis")
ax.set_xticks(range(9), [f"is {digit}" for digit in range(1, 10)], rotation=45)
ax.set_yticks(range(12), [f'"{prompt}"' for prompt in prompts[:12]])
ax.grid(False)
plt.show()

# %%
# What a code can do by itself
# ----------------------------
# With codes we can already go from text to images. A linear regression from the code to
# the pixels answers each prompt with one image:

regression = LinearRegression().fit(codes, images.reshape(len(images), -1))
digits = np.array(list("012345"))
answers = regression.predict(text_encoder.transform(digits[:, None]))
pictures.show(answers, 6, pixel_range=(0, 255), captions=digits)

# %%
# It is the mean of all images with that prompt, since the mean is the best single
# guess. So the text is understood, but the images are blurred, and each prompt has only
# one. What is missing is variety. In a diffusion model the variety comes from the noise
# that it starts from.

# %%
# What a real model does here
# ---------------------------
# Stable Diffusion's text encoder is a transformer, from CLIP, a model that was trained
# to match pictures with their captions. A sentence is cut into tokens (words or parts
# of words), and each token becomes a vector of 768 numbers. Two things are different
# from one-hot:
#
# - **Similar texts get similar codes.** "cat" is close to "kitten", and far from
#   "lorry". One-hot codes are all equally far apart: for the model, a 3 is as unlike an
#   8 as it is unlike a 1.
# - **Unseen texts have codes.** A sentence that nobody has written before is made of
#   known tokens. A one-hot encoder only knows the prompts that it was fitted on:

model = LinearDiffusion(styles=1, latent_dim=20).fit(images, prompts)
try:
    model.sample(1, "seven")
except UnknownPromptError as error:
    print(error)

# %%
# Nothing is learned in this block but the list of prompts. For ten digits this is
# enough, and it makes the rest of the model easy to understand. This library also reads
# prompts of several words, such as "3 bold slanted", and then draws combinations that
# it never saw: ``LinearDiffusion(text_encoder="words")``.
