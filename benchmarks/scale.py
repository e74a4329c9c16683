"""How does a fit grow with its data? Streams against arrays, ten million images, large images, many prompts, two workers.

    python benchmarks/scale.py                 all parts, each in a process of its own, whose peak is told
    python benchmarks/scale.py --part mnist    one of: mnist, millions, large, prompts, workers

Times are ratios within one part, run in turn, so that a noisy machine is noisy for all. Peaks are of the whole process,
Python and libraries included.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import N_THREADS, RESULTS, arguments, mnist, report, seconds

PARTS = ("mnist", "millions", "large", "prompts", "workers")
ONE = {"styles": 1, "latent_dim": 144}
"""The parameters of one Gaussian for each prompt."""


def peak() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Shifts:
    """MNIST, shifted by up to some pixels: n images that are made as they are read, in batches."""

    def __init__(self, images: Any, prompts: Any, n: int, size: int = 20_000) -> None:
        self.images, self.prompts, self.n, self.size = images, prompts, n, size
        self.image_shape, self.dtype = images.shape[1:], images.dtype
        self.classes, counts = np.unique(prompts, return_counts=True)
        whole, rest = divmod(n, len(images))
        last = np.searchsorted(self.classes, prompts[:rest])
        self.counts = whole * counts + np.bincount(last, minlength=len(counts))

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for start in range(0, self.n, self.size):
            at = np.arange(start, min(start + self.size, self.n))
            round_, own = at // len(self.images), at % len(self.images)
            batch = self.images[own]
            for r in np.unique(round_):
                down, right = divmod(int(r) * 7 % 81, 9)
                rows = round_ == r
                batch[rows] = np.roll(batch[rows], (down - 4, right - 4), axis=(1, 2))
            yield batch, self.prompts[own]


class Colours:
    """Colour images of a size, made as they are read: smooth patterns and their noise, float-free."""

    def __init__(self, n: int, side: int, size: int = 500) -> None:
        self.n, self.side, self.size = n, side, size
        self.image_shape, self.dtype = (side, side, 3), np.dtype(np.uint8)
        self.classes = np.arange(10)
        self.counts = np.bincount(np.arange(n) % 10, minlength=10)
        rng = np.random.default_rng(0)
        d = side * side * 3
        self.patterns = np.linalg.qr(rng.standard_normal((d, 400)))[0].T * np.sqrt(d) * 12
        self.patterns *= np.linspace(3, 0.2, 400)[:, None]
        self.patterns = self.patterns.astype(np.float32)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for start in range(0, self.n, self.size):
            m = min(self.size, self.n - start)
            rng = np.random.default_rng(start)
            x = rng.standard_normal((m, 400), dtype=np.float32) @ self.patterns
            x += 128
            images = np.clip(x, 0, 255).astype(np.uint8).reshape(m, *self.image_shape)
            yield images, (start + np.arange(m)) % 10


def of_mnist(options: Any) -> dict[str, Any]:
    """A fit from files against one from arrays, each with the reading of the data."""
    from linear_diffusion import LinearDiffusion, load_images

    with tempfile.TemporaryDirectory() as folder:
        unpacked(options.data_dir, Path(folder))
        found = {}
        for name, parameters in (("one Gaussian", ONE), ("the default", {})):
            model = LinearDiffusion(**parameters, random_state=0)

            def from_array(model: Any = model) -> Any:
                return model.fit(*load_images(folder))

            def from_stream(model: Any = model) -> Any:
                return model.fit_batches(load_images(folder, stream=True))

            arrays, streams = seconds(from_array, from_stream, repeat=options.repeat)
            found[name] = {"from an array": arrays, "from a stream": streams, "ratio": streams / arrays}
    return found


def unpacked(data_dir: str, folder: Path) -> None:
    """The IDX files of MNIST's training images, as they are when they are not compressed."""
    import gzip

    for path in sorted(Path(data_dir, "mnist").glob("train-*")):
        (folder / path.name.removesuffix(".gz")).write_bytes(
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        )


def of_millions(options: Any) -> dict[str, Any]:
    """Images without an end, one Gaussian for each prompt, against the bare products X'X of the same stream."""
    from linear_diffusion import LinearDiffusion

    images, prompts = mnist(options)
    found: dict[str, Any] = {}
    LinearDiffusion(**ONE).fit_batches(Shifts(images, prompts, 20_000))
    sizes = [options.most // 10, options.most // 2, options.most]
    for n in sizes:
        start = time.perf_counter()
        products = np.zeros((784, 784))
        for batch, _ in Shifts(images, prompts, n):
            for part in range(0, len(batch), 4096):
                x = batch[part : part + 4096].reshape(-1, 784).astype(np.float32)
                products += x.T @ x
        bare = time.perf_counter() - start
        start = time.perf_counter()
        LinearDiffusion(**ONE).fit_batches(Shifts(images, prompts, n))
        whole = time.perf_counter() - start
        found[f"{n:,}"] = {"fit": whole, "bare products": bare, "ratio": whole / bare, "peak MB": peak()}
    return found


def of_large(options: Any) -> dict[str, Any]:
    """50,000 images of 64 x 64 in colour, 300 components, against scikit-learn's IncrementalPCA on the same batches."""
    from linear_diffusion import LinearDiffusion

    n = options.large
    start = time.perf_counter()
    model = LinearDiffusion(styles=1, latent_dim=300, random_state=0).fit_batches(Colours(n, 64))
    ours, held = time.perf_counter() - start, peak()
    from sklearn.decomposition import IncrementalPCA

    start, pca = time.perf_counter(), IncrementalPCA(300)
    for images, _ in Colours(n, 64):
        pca.partial_fit(images.reshape(len(images), -1).astype(np.float32))
    theirs = time.perf_counter() - start
    explained = float(model.explained_variance_ratio_.sum()), float(pca.explained_variance_ratio_.sum())
    return {
        f"{n:,} images": {
            "fit": ours,
            "IncrementalPCA": theirs,
            "ratio": ours / theirs,
            "peak MB": held,
            "variance explained": explained[0],
            "theirs": explained[1],
        }
    }


def of_prompts(options: Any) -> dict[str, Any]:
    """The same images under 10 prompts, and under 10,000."""
    from linear_diffusion import LinearDiffusion

    images, prompts = mnist(options)
    many = np.arange(len(images)) % 1000 + 1000 * np.unique(prompts, return_inverse=True)[1]
    found: dict[str, Any] = {}
    for name, parameters in (("one Gaussian", ONE), ("the default", {})):
        few_, many_ = (LinearDiffusion(**parameters, random_state=0) for _ in range(2))
        fits = seconds(
            lambda model=few_: model.fit(images, prompts), lambda model=many_: model.fit(images, many), repeat=options.repeat
        )
        asked = np.random.default_rng(0).permutation(len(images))[:10_000]
        draws = seconds(
            lambda model=few_: model.sample(prompts=prompts[asked], random_state=0),
            lambda model=many_: model.sample(prompts=many[asked], random_state=0),
            repeat=options.repeat,
        )
        found[name] = {
            "fit, 10 prompts": fits[0],
            "fit, 10,000": fits[1],
            "fit ratio": fits[1] / fits[0],
            "10,000 samples, 10 prompts": draws[0],
            "10,000 samples, 10,000": draws[1],
            "sampling ratio": draws[1] / draws[0],
        }
    return found


WORK: dict[str, Callable[[Any], dict[str, Any]]] = {
    "mnist": of_mnist,
    "millions": of_millions,
    "large": of_large,
    "prompts": of_prompts,
}


def main(options: Any) -> None:
    if options.part:
        print(json.dumps(WORK[options.part](options)))
        return
    for part in WORK:
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rows = [[name, *(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in each.values())] for name, each in found.items()]
        report(f"scale-{part}", ["", *next(iter(found.values()))], rows, found, (WORK[part].__doc__ or "").strip())


if __name__ == "__main__":

    def extend(parser: Any) -> None:
        parser.add_argument("--part", choices=WORK)
        parser.add_argument("--most", type=int, default=10_000_000, help="images of the longest stream")
        parser.add_argument("--large", type=int, default=50_000, help="large images")

    main(arguments(__doc__, extend))
