"""Quality, by networks that were trained on real images and never saw a sample.

    python benchmarks/quality.py        (extra: diffusers, for torch)

Fréchet distance in a network's 128 features, 10,000 samples against the 10,000 test images, as a ratio to what the
first 10,000 training images score there (what the next 10,000 score tells how far off chance alone is); how often a
network reads the prompt off the sample; and the distance to the nearest training image as a ratio to that of test
images, so that 1 is as novel as real data.
"""

import time

import numpy as np

from common import arguments, fashion, mnist, report
from judge import HEADER, Bench, cells, note
from linear_diffusion import LinearDiffusion

MODELS = {
    "the article's one-shot model": lambda: LinearDiffusion.one_shot(random_state=0),
    "one Gaussian per prompt, k = 144, `tone=False`": lambda: LinearDiffusion(
        styles=1, latent_dim=144, tone=False, random_state=0
    ),
    "one Gaussian per prompt, k = 144": lambda: LinearDiffusion(styles=1, latent_dim=144, random_state=0),
    "165 styles per prompt, k = 500": lambda: LinearDiffusion(random_state=0),
}


def main(options):
    figures, rows = {}, []
    for data, load in (("MNIST", mnist), ("Fashion-MNIST", fashion)):
        X, y = load(options)
        X_test, y_test = load(options, "test")
        bench = Bench(X, y, X_test, y_test)
        real = {"frechet": 1.0, "accuracy": bench.accuracy, "nearest_median": 1.0, "nearest_5th": 1.0}
        rows.append([data, "real images", "", *cells(real)])
        figures[f"{data}: other real images"] = others = bench.relative_frechet(X[10_000:20_000])
        rows.append([data, "other real images", "", f"{np.mean(others):.2f}", "", "", ""])
        for name, make in MODELS.items():
            start = time.process_time()
            model = make().fit(X, y)
            seconds = time.process_time() - start
            score = bench.score(*model.sample(10_000)) | {"fit_cpu_seconds": seconds}
            figures[f"{data}: {name}"] = score
            rows.append([data, name, f"{seconds:.1f} s", *cells(score)])
    report("quality", ["data", "10,000 images of", "fit, CPU time", *HEADER], rows, figures, note())


if __name__ == "__main__":
    main(arguments(__doc__))
