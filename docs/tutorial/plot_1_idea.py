"""
The idea
========

Noise a digit.
"""

from linear_diffusion import load_images, pictures

images, prompts = load_images("mnist-5k")
pictures.show(images[:6], captions=prompts[:6])
