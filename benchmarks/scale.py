"""How does a fit grow with its data? Streams and arrays, ten million images, large images, many prompts, two workers.

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

from common import N_THREADS, arguments, mnist, report, seconds

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
    """A fit from IDX files against one from arrays, each with the reading of the data; seconds."""
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
    """Shifted digits, made while they are read, one Gaussian for each prompt, against the bare products X'X of the same
    stream; seconds."""
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
    """50,000 images of 64 x 64 in colour, 300 components, against scikit-learn's IncrementalPCA on the same batches;
    seconds."""
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
    """MNIST under 10 prompts, and under 10,000 of six images each; seconds, the second time that is asked."""
    from linear_diffusion import LinearDiffusion

    images, prompts = mnist(options)
    many = np.arange(len(images)) % 1000 + 1000 * np.unique(prompts, return_inverse=True)[1]
    found: dict[str, Any] = {}
    asked = np.random.default_rng(0).permutation(len(images))[:10_000]
    for name, parameters in (("one Gaussian", ONE), ("the default", {})):
        few_, many_ = (LinearDiffusion(**parameters, random_state=0) for _ in range(2))
        fits = seconds(
            lambda model=few_: model.fit(images, prompts),
            lambda model=many_: model.fit(images, many),
            repeat=options.repeat,
        )
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


def of_workers(options: Any) -> dict[str, Any]:
    """Two worker processes of this machine against one process, one BLAS thread each, from a file of MNIST's pixels;
    then one of the two is killed while it works."""
    import signal
    import threading

    from distributed import Client, LocalCluster
    from threadpoolctl import threadpool_limits

    from linear_diffusion import LinearDiffusion
    from linear_diffusion.datasets import ArrayStream

    images, prompts = mnist(options)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(file := Path(folder, "images.npy"), images)
        stream = ArrayStream(np.load(file, mmap_mode="r"), prompts)
        for name, parameters in (("one Gaussian", ONE), ("the default", {})):
            model = LinearDiffusion(**parameters, random_state=0)
            with threadpool_limits(1):
                start = time.perf_counter()
                model.fit_batches(stream)
                alone = time.perf_counter() - start
                mine = answers(model)
            with (
                threadpool_limits(1),  # Dask gives its workers one by itself
                LocalCluster(n_workers=2, threads_per_worker=1, processes=True) as cluster,
                Client(cluster) as client,
            ):
                model.fit_batches(ArrayStream(images[:2000], prompts[:2000]), client=client)  # what is imported late
                start = time.perf_counter()
                model.fit_batches(stream, client=client)
                two = time.perf_counter() - start
                apart = farthest(mine, answers(model))
                pids = list(client.run(os.getpid).values())
                killer = threading.Timer(two / 4, os.kill, (pids[0], signal.SIGKILL))
                killer.start()
                model.fit_batches(stream, client=client)
                killer.join()
                killed = farthest(mine, answers(model))
            found[name] = {
                "one process, s": alone,
                "two workers, s": two,
                "speed-up": alone / two,
                "farthest apart": apart,
                "with a worker killed": killed,
            }
    return found


def answers(model: Any) -> list[Any]:
    """Moments of prompts in pixels: means (p, d), and covariances along 50 random directions (p, 50, 50)."""
    to_pixels, mean = model.encoder_.to_pixels, model.encoder_.mean
    seen = to_pixels @ np.random.default_rng(0).standard_normal((to_pixels.shape[1], 50))
    return [model.means_ @ to_pixels + mean, seen.T @ model.covariances_ @ seen]


def farthest(one: list[Any], other: list[Any]) -> float:
    """The largest difference of two models' moments, relative to the largest of each kind."""
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(one, other, strict=True))


def flops(d: int, k: int) -> float:
    """Operations an image of d pixels takes in all passes, for k components and styles: the products of pixels, or five
    passes of a sketch; latents in four passes; products of latents in two, and with 25 directions in one."""
    components = d**2 if d <= 4096 else 5 * 4 * d * (k + 10)
    return components + 4 * 2 * d * k + 2 * 2 * k**2 + 2 * 2 * 25 * k


def of_cluster(options: Any) -> dict[str, Any]:
    """What a fit of the default model on 10^9 images of 64 x 64 under ten prompts takes, from what each pass takes one
    core here. Minutes are of workers with one such core each; every sum goes to one place once, at 1 GB a second."""
    from threadpoolctl import threadpool_limits

    from linear_diffusion.fit import fit_classes
    from linear_diffusion.fit.encoder import Settings
    from linear_diffusion.fit.source import ArraySource, Sums
    from linear_diffusion.image.format import ImageFormat

    class Timed(ArraySource):
        """Images in memory, whose passes are timed."""

        passes: list[tuple[float, int]]

        def total(self, sums: Any, doing: str) -> Any:
            start = time.perf_counter()
            found: Sums = super().total(sums, doing)
            size = sum(np.asarray(a).nbytes for a in found.arrays().values())
            self.passes.append((time.perf_counter() - start, size))
            return found

    found: dict[str, Any] = {}
    whole, m = 10**9, options.timed
    for name, shape in (("grey", (64, 64)), ("colour", (64, 64, 3))):
        images = np.concatenate([batch for batch, _ in Colours(m, 64)])
        images = images[..., 0] if len(shape) == 2 else images
        d = int(np.prod(shape))
        with threadpool_limits(1):
            source = Timed(images.reshape(m, -1), np.arange(m) % 10, np.arange(10), ImageFormat.of(images))
            source.passes = []
            settings = Settings(500, standardize=False, rescale=True)
            start = time.perf_counter()
            fit_classes(source, settings, 165)
            between = time.perf_counter() - start - sum(took for took, _ in source.passes)
        a_pass = [took / m for took, _ in source.passes]
        sent = sum(size for _, size in source.passes)
        found[name] = {
            "passes": float(len(a_pass)),
            "TB read": len(a_pass) * d * whole / 1e12,
            "PFlop": flops(d, 500) * whole / 1e15,
            "images a second, a pass, a core": len(a_pass) / sum(a_pass),
            "GB of sums, a worker": sent / 1e9,
            **{
                f"minutes, {n:,} workers": (whole * sum(a_pass) / n + n * sent / 1e9 + between) / 60
                for n in (10, 100, 1000)
            },
            "of which between passes": between / 60,
        }
    return found


WORK: dict[str, Callable[[Any], dict[str, Any]]] = {
    "mnist": of_mnist,
    "millions": of_millions,
    "large": of_large,
    "prompts": of_prompts,
    "workers": of_workers,
    "cluster": of_cluster,
}


def main(options: Any) -> None:
    if options.part:
        print(json.dumps(WORK[options.part](options)))
        return
    for part in WORK:
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        write(part, found)


def write(part: str, found: dict[str, Any]) -> None:
    """The table of a part."""
    rows = [[name, *map(shown, each.values())] for name, each in found.items()]
    note = " ".join((WORK[part].__doc__ or "").split())
    threads = "1 BLAS thread a process" if part in ("workers", "cluster") else f"{N_THREADS} BLAS threads"
    report(f"scale-{part}", ["", *next(iter(found.values()))], rows, found, note, threads)


def shown(value: float) -> str:
    """A number in a table."""
    return f"{value:.1e}" if value < 1e-3 else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


if __name__ == "__main__":

    def extend(parser: Any) -> None:
        parser.add_argument("--part", choices=WORK)
        parser.add_argument("--most", type=int, default=10_000_000, help="images of the longest stream")
        parser.add_argument("--large", type=int, default=50_000, help="large images")
        parser.add_argument("--timed", type=int, default=4_500, help="images that passes are timed with")

    main(arguments(__doc__, extend))
