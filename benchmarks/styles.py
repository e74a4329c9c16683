"""What was tried for constants that no derivation gives, and what it gave: one setting changed at a time.

    python benchmarks/styles.py                                   (extra: diffusers, for torch)
    python benchmarks/styles.py --only "styles/MNIST/8 rounds*"   (some rows; * and ? as in the shell)

Three tables: `styles`, with the measures of quality.py; `reading`, how prompts are read off the test images; and
`correlations`, the density of images under prompts of words that training never saw. ``--only`` keeps the other rows as
last written.
"""

import fnmatch
import json
import time
from argparse import Namespace
from contextlib import ExitStack
from functools import cache
from unittest.mock import patch

import numpy as np
from sklearn.metrics import log_loss

from common import RESULTS, arguments, fashion, mnist, report
from judge import HEADER, Bench, cells, note
from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.datasets.transformed import HELD_OUT

STYLES = {
    "165 styles, k = 500": {},
    "50 styles": {"styles": 50},
    "100 styles": {"styles": 100},
    "250 styles": {"styles": 250},
    "k = 144": {"latent_dim": 144},
    "k = 300": {"latent_dim": 300},
    "k = 650": {"latent_dim": 650},
    "6,000 images": {"n": 6_000},
    "6,000 images, a style has 5": {"n": 6_000, "fit.clusters.LEAST_IMAGES": 5},
    "6,000 images, a style has 20": {"n": 6_000, "fit.clusters.LEAST_IMAGES": 20},
    "clusters see 25 dimensions": {"fit.clusters.CLUSTER_DIM": 25},
    "clusters see 100 dimensions": {"fit.clusters.CLUSTER_DIM": 100},
    "clusters do not see how much detail there is": {"fit.clusters._DETAIL": 0.0},
    "clusters see it twice as large": {"fit.clusters._DETAIL": 4.0},
    "100 rounds of k-means": {"fit.clusters._MOST_ROUNDS": 100},
    "12 directions per style": {"fit.styles.RANK": 12},
    "24 directions per style": {"fit.styles.RANK": 24},
    "own directions begin in 16 of the prompt's": {"fit.styles.LEADING": 16},
    "own directions begin in 80 of the prompt's": {"fit.styles.LEADING": 80},
    "3 neighbours lend": {"fit.styles._NEIGHBOURS": 3},
    "30 neighbours lend": {"fit.styles._NEIGHBOURS": 30},
    "own directions stay as wide as they are": {"denoiser.law.WIDEST": 1.0},
    "own directions at most 3 x as wide": {"denoiser.law.WIDEST": 3.0},
    "own directions as wide as it takes": {"denoiser.law.WIDEST": 1e6},
    "without moment matching": {"fit.matching._SPEEDS": ()},
    "1 round of matching": {"fit.matching._SPEEDS": (1.0,)},
    "3 rounds of matching": {"fit.matching._SPEEDS": (1.4, 1.2, 1.0)},
    "8 rounds of matching": {"fit.matching._SPEEDS": (1.4, 1.2, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0)},
    "rounds of matching without bounds": {"fit.matching._CHANGE": 1e9, "fit.matching._RANGE": 1e9},
    "6,000 images drawn a round": {"fit.matching._MOST_DRAWS": 6_000},
    "20,000 images drawn a round": {"fit.matching._MOST_DRAWS": 20_000},
    "one tone curve for each prompt": {"fit.clusters._IMAGES_A_CURVE": 10**9},
    "three times as many tone curves": {"fit.clusters.STYLES_A_CURVE": 1, "fit.clusters._IMAGES_A_CURVE": 50},
    "tone curves of 1,024 entries": {"image.tone.N_ENTRIES": 1_024},
    "tone curves of 4 widths": {"image.tone.N_WIDTHS": 4},
    "tone curves of 64 widths": {"image.tone.N_WIDTHS": 64},
    "details are left as they are": {"image.detail.N_PASSES": 0},
    "detail curves of one pass": {"image.detail.N_PASSES": 1},
    "detail curves of 4 passes": {"image.detail.N_PASSES": 4},
    "detail curves of a quarter of the pixels": {"fit.matching._MOST_DETAILS": 2**18},
}
READING = {
    "as it is": {},
    "Bayes' rule": {"tasks.classify.NOISE_LEVELS": (0.0,), "tasks.classify.TEMPERATURES": (1.0,)},
    "a temperature, no noise": {"tasks.classify.NOISE_LEVELS": (0.0,)},
    "noise, no temperature": {"tasks.classify.TEMPERATURES": (1.0,)},
    "more of both to choose from": {
        "tasks.classify.NOISE_LEVELS": (0.0, *np.geomspace(0.05, 1.6, 11)),
        "tasks.classify.TEMPERATURES": tuple(np.geomspace(1.0, 0.02, 12)),
    },
    "chosen by 50 images": {"fit.encoder.SAMPLE": 50},
    "chosen by 800 images": {"fit.encoder.SAMPLE": 800},
}
CORRELATIONS = {
    "as it is": {},
    "5 correlations to choose from": {"text.products._VALUES": (-0.9, 0.0, 0.4, 0.7, 0.95)},
    "one ridge": {"text.products._RIDGES": (1e-2,)},
    "1 sweep over the words": {"text.products._SWEEPS": 1},
    "10 sweeps over the words": {"text.products._SWEEPS": 10},
    "2 folds": {"text.products._FOLDS": 2},
    "20 folds": {"text.products._FOLDS": 20},
    "chosen on 64 prompts": {"text.products.MOST_PROMPTS": 64},
    "chosen for 4 words": {"text.products.MOST_WORDS": 4},
    "64 dimensions": {"text.products.MOST_DIMENSIONS": 64},
    "residuals seen in 8 directions": {"fit.words._SKETCH": 8},
    "residuals seen in 96 directions": {"fit.words._SKETCH": 96},
    "at least 0.1 % of the pooled variance": {"denoiser.conditional._LEAST": 0.001},
    "at least 10 % of the pooled variance": {"denoiser.conditional._LEAST": 0.1},
}
"""Arguments of the model, training images (n), or constants of modules, in the place of the default's."""
DATA = {"MNIST": mnist, "Fashion-MNIST": fashion}


@cache
def images(data, folder):
    """Training images and prompts, test images and prompts."""
    if data == "words":
        X, y = load_images("mnist-5k-words")
        unseen = np.isin(y, list(HELD_OUT))
        return X[~unseen], y[~unseen], X[unseen], y[unseen]
    options = Namespace(data_dir=folder)
    return *DATA[data](options), *DATA[data](options, "test")


@cache
def bench(data, folder):
    """The judges of a data set."""
    return Bench(*images(data, folder))


def changed(settings):
    """A context in which constants of modules are others."""
    stack = ExitStack()
    for name, value in settings.items():
        if "." in name:
            stack.enter_context(patch(f"linear_diffusion.{name}", value))
    return stack


def fitted(X, y, settings, **arguments):
    """A model with some settings changed, and the CPU seconds of its fit."""
    start, n = time.process_time(), settings.get("n", len(X))
    arguments |= {name: value for name, value in settings.items() if "." not in name and name != "n"}
    model = LinearDiffusion(random_state=0, **arguments).fit(X[:n], y[:n])
    return model, {"fit_cpu_seconds": time.process_time() - start}


def quality(data, folder, settings):
    model, found = fitted(*images(data, folder)[:2], settings)
    return found | bench(data, folder).score(*model.sample(10_000))


def reading(data, folder, settings):
    X, y, X_test, y_test = images(data, folder)
    model, found = fitted(X, y, settings)
    likely = model.predict_proba(X_test)
    right = float((model.classes_[likely.argmax(axis=1)] == y_test).mean())
    return found | {"accuracy": right, "log_loss": float(log_loss(y_test, likely, labels=model.classes_))}


def density(data, folder, settings):
    X, y, X_test, y_test = images(data, folder)
    model, found = fitted(X, y, settings, text_encoder="words", latent_dim=144)
    return found | {"nats": float(model.score_samples(X_test, y_test).mean() / X_test[0].size)}


TABLES = {
    "styles": (tuple(DATA), STYLES, quality, HEADER, cells, note()),
    "reading": (
        tuple(DATA),
        READING,
        reading,
        ["prompts read", "log-loss"],
        lambda found: [f"{found['accuracy']:.2%}", f"{found['log_loss']:.4f}"],
        "The default model, 10,000 test images.",
    ),
    "correlations": (
        ("words",),
        CORRELATIONS,
        density,
        ["log-density, nats per pixel"],
        lambda found: [f"{found['nats']:.4f}"],
        "Images of `mnist-5k-words` under the 50 prompts that training never saw; 144 components.",
    ),
}
"""Data sets, what was tried, what measures it, header, cells and note of each table."""


def main(options):
    for table, (sets, tried, measure, header, shown, text) in TABLES.items():
        stored = RESULTS / f"{table}.json"
        figures = json.loads(stored.read_text()) if stored.exists() else {}
        keys = {f"{data}: {name}": (data, name) for data in sets for name in tried}
        asked = [key for key, names in keys.items() if fnmatch.fnmatch("/".join((table, *names)), options.only)]
        for key in asked:
            data, name = keys[key]
            with changed(tried[name]):
                figures[key] = measure(data, options.data_dir, tried[name])
            print(table, key, *shown(figures[key]), flush=True)
        figures = {key: figures[key] for key in keys if key in figures}
        rows = [[*keys[key], f"{found['fit_cpu_seconds']:.1f} s", *shown(found)] for key, found in figures.items()]
        if asked:
            report(table, ["data", "setting", "fit, CPU time", *header], rows, figures, text)


if __name__ == "__main__":
    main(arguments(__doc__, lambda parser: parser.add_argument("--only", default="*", help="rows, as TABLE/DATA/ROW")))
