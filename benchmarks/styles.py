"""What was tried for styles, and what it gave: one setting changed at a time.

    python benchmarks/styles.py        (extra: diffusers, for torch)

Measures are those of quality.py.
"""

import time
from unittest.mock import patch

from common import arguments, fashion, mnist, report
from judge import HEADER, Bench, cells, note
from linear_diffusion import LinearDiffusion, calibration, clusters, detail, styles

TRIED = {
    "165 styles, k = 500": {},
    "50 styles": {"styles": 50},
    "100 styles": {"styles": 100},
    "250 styles": {"styles": 250},
    "k = 144": {"latent_dim": 144},
    "k = 300": {"latent_dim": 300},
    "k = 650": {"latent_dim": 650},
    "without calibration": {"_N_ROUNDS": 0},
    "12 rounds of calibration": {"_N_ROUNDS": 12},
    "details are left as they are": {"N_PASSES": 0},
    "detail curves of one pass": {"N_PASSES": 1},
    "detail curves of 4 passes": {"N_PASSES": 4},
    "samples keep all variance off a style's directions": {"REMAINDER": 1.0},
    "samples keep none of it": {"REMAINDER": 1e-6},
    "12 directions per style": {"RANK": 12},
    "24 directions per style": {"RANK": 24},
    "own directions begin in 16 of the prompt's": {"LEADING": 16},
    "own directions begin in 80 of the prompt's": {"LEADING": 80},
    "30 neighbours lend": {"_NEIGHBOURS": 30},
    "clusters do not see how much detail there is": {"_DETAIL": 0.0},
    "clusters see it twice as large": {"_DETAIL": 4.0},
}
"""Arguments of the model, or constants of the modules, in the place of the default's."""


def home(name):
    """The module that a constant belongs to; None for an argument of the model."""
    return next((module for module in (styles, clusters, calibration, detail) if hasattr(module, name)), None)


def score(bench, X, y, changed):
    """Measures of a default model with some settings changed."""
    constants = [patch.object(home(name), name, value) for name, value in changed.items() if home(name)]
    for constant in constants:
        constant.start()
    start = time.process_time()
    model = LinearDiffusion(random_state=0, **{k: v for k, v in changed.items() if not home(k)}).fit(X, y)
    seconds = time.process_time() - start
    images, prompts = model.sample(10_000)  # which reads constants too
    for constant in constants:
        constant.stop()
    return bench.score(images, prompts) | {"fit_cpu_seconds": seconds}


def main(options):
    figures, rows = {}, []
    for data, load in (("MNIST", mnist), ("Fashion-MNIST", fashion)):
        X, y = load(options)
        bench = Bench(X, y, *load(options, "test"))
        for name, changed in TRIED.items():
            figures[f"{data}: {name}"] = found = score(bench, X, y, changed)
            rows.append([data, name, f"{found['fit_cpu_seconds']:.1f} s", *cells(found)])
            print(rows[-1], flush=True)
        report("styles", ["data", "setting", "fit, CPU time", *HEADER], rows, figures, note())


if __name__ == "__main__":
    main(arguments(__doc__))
