"""What was tried for styles, and what it gave: one setting changed at a time.

    python benchmarks/styles.py        (extra: diffusers, for torch)

Measures are those of quality.py.
"""

import time

from common import arguments, fashion, mnist, report
from judge import HEADER, N_EPOCHS, Bench, cells
from linear_diffusion import LinearDiffusion, styles

TRIED = {
    "100 styles, k = 300": {},
    "30 styles": {"styles": 30},
    "200 styles": {"styles": 200},
    "k = 144": {"latent_dim": 144},
    "samples keep all variance off a style's directions": {"SHARPNESS": 1.0},
    "samples keep 20 % of it": {"SHARPNESS": 0.2},
    "10 directions a style": {"RANK": 10},
    "40 directions a style": {"RANK": 40},
    "neighbours lend nothing": {"_BORROWED": 1e-9},
    "neighbours count 100 images": {"_BORROWED": 100.0},
    "clusters of 20 leading dimensions": {"CLUSTER_DIM": 20},
    "200 styles, k = 500, neighbours count 10 images": {"styles": 200, "latent_dim": 500, "_BORROWED": 10.0},
}


def main(options):
    figures, rows = {}, []
    usual = {name: getattr(styles, name) for name in ("SHARPNESS", "RANK", "_BORROWED", "CLUSTER_DIM")}
    for data, load in (("MNIST", mnist), ("Fashion-MNIST", fashion)):
        X, y = load(options)
        bench = Bench(X, y, *load(options, "test"))
        for name, changed in TRIED.items():
            for constant, value in (usual | changed).items():
                if constant in usual:
                    setattr(styles, constant, value)
            start = time.perf_counter()
            own = {"styles": 100, "latent_dim": 300} | {k: v for k, v in changed.items() if k not in usual}
            model = LinearDiffusion(random_state=0, **own).fit(X, y)
            seconds = time.perf_counter() - start
            score = bench.score(*model.sample(10_000)) | {"fit_seconds": seconds}
            figures[f"{data}: {name}"] = score
            rows.append([data, name, f"{seconds:.1f} s", *cells(score)])
            print(rows[-1], flush=True)
        note = f"Judge: a convolutional network, {N_EPOCHS} epochs on the training images, torch."
        report("styles", ["data", "setting", "fit", *HEADER], rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__))
