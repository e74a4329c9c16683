"""How the time of a model of words grows with its prompts: three images for each, 10 to 1,000 prompts.

    python benchmarks/growth.py

Nothing may be quadratic in the number of prompts: ten times as many take about ten times as long, once the choice of
correlations, which reads 256 prompts at most, no longer counts.
"""

import tempfile
import time
from functools import partial
from itertools import islice, product

import numpy as np

from common import arguments, report
from linear_diffusion import LinearDiffusion, load_images

PROMPTS = (10, 30, 100, 300, 1_000)


def words(n_prompts):
    """Digits of MNIST, three under each of so many prompts of three words, such as "a0 b3 c7"."""
    names = product(*([f"{letter}{i}" for i in range(10)] for letter in "abc"))
    prompts = np.repeat([" ".join(name) for name in islice(names, n_prompts)], 3)
    return load_images("mnist-5k")[0][: len(prompts)], prompts


def times(n_prompts):
    """Seconds to fit, save (with what predict needs, worked out once), sample and predict."""
    X, y = words(n_prompts)
    model = LinearDiffusion(text_encoder="word-products", latent_dim=144, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        works = (
            partial(model.fit, X, y),
            partial(model.save_pretrained, folder),
            partial(model.sample, prompts=y),
            partial(model.predict, X[:100]),
        )
        ends = [time.perf_counter()]
        for work in works:
            work()
            ends.append(time.perf_counter())
    return np.diff(ends)


def main(options):
    found = {n: np.median([times(n) for _ in range(options.repeat)], axis=0) for n in PROMPTS}
    rows = [[f"{n:,}", *(f"{t:.2f} s" for t in each)] for n, each in found.items()]
    figures = {f"{work}_1000_over_100": found[1_000][i] / found[100][i] for i, work in ((0, "fit"), (3, "predict"))}
    note = "Three digits of MNIST for each prompt of three words, `word-products`, 144 components; 100 images are read."
    header = ["prompts", "fit", "save", "sample each image's prompt", "predict"]
    report("growth-words", header, rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__))
