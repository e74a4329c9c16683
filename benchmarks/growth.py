"""How time grows with prompts, of three images each, and with few images of many pixels; then with prompts of words.

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
ONE_HOT = (1, 10, 100, 1_000, 10_000)
IMAGES = (1, 10, 100, 1_000)


def few(n_prompts):
    """Three noisy images of 8 x 8 for each of so many prompts."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3 * n_prompts, 8, 8), np.uint8), np.repeat(np.arange(n_prompts), 3)


def large(n_images):
    """So many noisy colour images of 32 x 32, of one prompt."""
    return np.random.default_rng(0).integers(0, 256, (n_images, 32, 32, 3), np.uint8), None


def words(n_prompts):
    """Digits of MNIST, three under each of so many prompts of three words, such as "a0 b3 c7"."""
    names = product(*([f"{letter}{i}" for i in range(10)] for letter in "abc"))
    prompts = np.repeat([" ".join(name) for name in islice(names, n_prompts)], 3)
    return load_images("mnist-5k")[0][: len(prompts)], prompts


def times(X, y, **options):
    """Seconds to fit, save (with what predict needs, worked out once), sample and predict."""
    model = LinearDiffusion(**options, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        works = (
            partial(model.fit, X, y),
            partial(model.save_pretrained, folder),
            partial(model.sample, len(X), y),
            partial(model.predict, X[:100]),
        )
        ends = [time.perf_counter()]
        for work in works:
            work()
            ends.append(time.perf_counter())
    return np.diff(ends)


def one_hot(options):
    """Fit, save, and a draw of each image's prompt, with the default model."""
    given = {f"{n:,} prompt{'s'[: n > 1]} of 3 images, 8 x 8": few(n) for n in ONE_HOT if n <= options.most}
    given |= {f"{n:,} image{'s'[: n > 1]} of 32 x 32 x 3": large(n) for n in IMAGES}
    found = {what: np.median([times(*each) for _ in range(options.repeat)], axis=0)[:3] for what, each in given.items()}
    rows = [[what, *(f"{t:.2f} s" for t in each)] for what, each in found.items()]
    header = ["images", "fit", "save", "sample as many"]
    report("growth", header, rows, {what: list(each) for what, each in found.items()}, "The default model.")


def main(options):
    one_hot(options)
    shared = {"text_encoder": "words", "latent_dim": 144}
    found = {n: np.median([times(*words(n), **shared) for _ in range(options.repeat)], axis=0) for n in PROMPTS}
    rows = [[f"{n:,}", *(f"{t:.2f} s" for t in each)] for n, each in found.items()]
    figures = {f"{work}_1000_over_100": found[1_000][i] / found[100][i] for i, work in ((0, "fit"), (3, "predict"))}
    note = "Three digits of MNIST for each prompt of three words, `words`, 144 components; 100 images are read."
    header = ["prompts", "fit", "save", "sample each image's prompt", "predict"]
    report("growth-words", header, rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__, lambda parser: parser.add_argument("--most", type=int, default=10_000, help="prompts")))
