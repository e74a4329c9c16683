"""Fit on the full MNIST: seconds and memory, against the article's recipe and the floor of the hardware.

    python benchmarks/fit.py

The floor is the bare X'X of each prompt's images in BLAS; the eigendecompositions are timed apart. The article's recipe
is written here with scikit-learn: StandardScaler, PCA(144), LinearRegression of the noise on
[noisy latent, one-hot, one-hot x noisy latent], noise drawn once.
"""

import subprocess
import sys
from functools import partial

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from common import arguments, mnist, peak_above, report, seconds
from linear_diffusion import LinearDiffusion


def article(X, y):
    """The article's training, as a scikit-learn user would write it."""
    latents = PCA(144).fit_transform(StandardScaler().fit_transform(X.reshape(len(X), -1)))
    codes = OneHotEncoder(sparse_output=False).fit_transform(y[:, None])
    noise = np.random.default_rng(0).standard_normal(latents.shape)
    noisy = latents + noise
    products = (codes[:, :, None] * noisy[:, None, :]).reshape(len(X), -1)
    return LinearRegression().fit(np.hstack([noisy, codes, products]), noise)


def ours(X, y):
    return LinearDiffusion(styles=1, latent_dim=144).fit(X, y)


def with_styles(X, y):
    return LinearDiffusion().fit(X, y)


def floor(parts):
    for part in parts:
        part.T @ part


def eigendecompositions(covariance, p=10, k=144):
    np.linalg.eigh(covariance)
    for _ in range(p):
        np.linalg.eigh(covariance[:k, :k])


def memory_above_data(what):
    """MB that a fit takes above a process that has imported the package and loaded the data."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure-memory", what]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_memory(what, options):
    X, y = mnist(options)
    ours(X[:500], y[:500])  # buffers of BLAS, modules imported late
    work = {"ours": ours, "styles": with_styles, "article": article}[what]
    print(peak_above(lambda: work(X, y))[1])


def main(options):
    X, y = mnist(options)
    parts = [X[y == c].reshape(-1, 784).astype(np.float32) for c in np.unique(y)]
    covariance = np.cov(X.reshape(-1, 784)[:5000].T)
    t_floor, t_eigh, t_ours = seconds(
        partial(floor, parts), partial(eigendecompositions, covariance), partial(ours, X, y), repeat=options.repeat
    )
    del parts
    t_styles, t_article = seconds(partial(with_styles, X, y), partial(article, X, y), repeat=1)
    peak = {what: memory_above_data(what) for what in ("ours", "styles", "article")}
    rows = [
        ["X'X of each prompt in float32 (the floor)", f"{t_floor:.2f} s", "1", ""],
        ["eigendecompositions (784, and 144 ten times)", f"{t_eigh:.2f} s", f"{t_eigh / t_floor:.2f}", ""],
        [
            "one Gaussian per prompt, k = 144, tone curve included",
            f"{t_ours:.2f} s",
            f"{t_ours / t_floor:.2f}",
            f"{peak['ours']:.0f} MB",
        ],
        [
            "165 styles per prompt, k = 500",
            f"{t_styles:.1f} s",
            f"{t_styles / t_floor:.0f}",
            f"{peak['styles']:.0f} MB",
        ],
        [
            "the article's recipe in scikit-learn",
            f"{t_article:.1f} s",
            f"{t_article / t_floor:.0f}",
            f"{peak['article']:.0f} MB",
        ],
    ]
    figures = {
        "over_floor_less_eigendecompositions": (t_ours - t_eigh) / t_floor,
        "times_faster_than_article": t_article / t_ours,
        "memory_above_data_mb": peak,
        "seconds": {
            "floor": t_floor,
            "eigendecompositions": t_eigh,
            "ours": t_ours,
            "styles": t_styles,
            "article": t_article,
        },
    }
    note = (
        "One Gaussian per prompt, less the eigendecompositions, is "
        f"{figures['over_floor_less_eigendecompositions']:.2f} x the floor, and "
        f"{figures['times_faster_than_article']:.0f} x faster than the article's recipe. 60,000 images, uint8."
    )
    report("fit", ["fit on the full MNIST", "time", "ratio to the floor", "memory above the data"], rows, figures, note)


if __name__ == "__main__":
    measured = sys.argv[sys.argv.index("--measure-memory") + 1] if "--measure-memory" in sys.argv else None
    if measured:
        at = sys.argv.index("--measure-memory")
        del sys.argv[at : at + 2]
    options = arguments(__doc__)
    measure_memory(measured, options) if measured else main(options)
