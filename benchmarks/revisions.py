"""Are two revisions equally fast, good and small? All figures of the default models, before and after, in one run.

    python benchmarks/revisions.py BEFORE [AFTER] [--quick]        (extras: diffusers for torch, restore)

BEFORE and AFTER are whatever git takes for a commit; without AFTER it is the working tree. Processes with the sources
of one revision each measure it through the public interface alone, in turn, so that a noisy machine is noisy for both.
Samples of both are judged by one network a data set, which is trained here. ``--quick`` is for use after each step:
MNIST alone, 10,000 training images, one seed, few samples, and processor time on one thread, which holds on a busy
machine too. Its figures compare with each other only.
"""

import inspect
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from functools import cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from threadpoolctl import threadpool_limits

import linear_diffusion
from common import HERE, HOLE, N_THREADS, NOISE, arguments, fashion, mnist, psnr, report, seconds
from linear_diffusion import LinearDiffusion, operators
from sampling import floor as sampling_floor

PACKAGE = Path(linear_diffusion.__file__).parent
DATA = {"MNIST": mnist, "Fashion-MNIST": fashion}
AROUND = {"datasets", "evaluation", "apps"}
article = partial(LinearDiffusion.one_shot, random_state=0)
one_gaussian = partial(LinearDiffusion, styles=1, latent_dim=144, random_state=0)
default = partial(LinearDiffusion, random_state=0)


@cache
def timed_default(folder, data, quick):
    """The default model of a data set, and the seconds that its fit took."""
    X, y = images(folder, data, quick)[:2]
    default().fit(X[:500], y[:500])  # modules imported late
    clock = time.process_time if quick else time.perf_counter
    start = clock()
    return default().fit(X, y), clock() - start


# What a worker measures: figure -> number.


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def files_that_run(work):
    """Files of the package of which a function runs in a work; what runs only since a module is imported is not one."""
    found, root, before = set(), str(PACKAGE), sys.gettrace()

    def trace(frame, event, arg):
        code = frame.f_code
        if code.co_filename in found or not code.co_filename.startswith(root):
            return
        if code.co_flags & inspect.CO_OPTIMIZED:
            above = frame
            while above and not (above.f_code.co_name == "<module>" and root in above.f_code.co_filename):
                above = above.f_back
            if above is None:
                found.add(code.co_filename)

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(before)
    return {Path(name) for name in found}


def size(folder, side, quick):
    X, y = images(folder, "MNIST", 500)[:2]

    def run(make, *samplers):
        model = make().fit(X, y)
        for sampler in samplers:
            model.sample(20, sampler=sampler)

    modules = {path: lines(path) for path in PACKAGE.rglob("*.py")}
    works = {
        "the article's model": partial(run, article, None),
        "one Gaussian, any sampler": partial(run, one_gaussian, "exact", "ddim", "ddpm", "dpmpp_2m"),
        "the default": partial(run, default, None),
    }
    return {
        "lines without datasets, evaluation, apps": sum(
            n for path, n in modules.items() if path.relative_to(PACKAGE).parts[0] not in AROUND
        ),
        **{f"lines of files that run, {what}": sum(map(lines, files_that_run(work))) for what, work in works.items()},
        "lines of the longest module": max(modules.values()),
        "entries of the top folder": len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]),
    }


def speed(folder, side, quick):
    X, y, X_test, _ = images(folder, "MNIST", quick)
    n, n_calls, clock = (20_000, 6, time.process_time) if quick else (100_000, 20, time.perf_counter)
    timed, seeds = partial(seconds, clock=clock), count()
    rows = X.reshape(len(X), -1).astype(np.float32)
    mean, V = rows.mean(axis=0), np.random.default_rng(0).standard_normal((784, 500), dtype=np.float32)
    encode, squares = timed(lambda: (rows - mean) @ V, lambda: rows.T @ rows, repeat=3)
    (of_one,) = timed(lambda: one_gaussian().fit(X, y), repeat=1 if quick else 3)
    model, of_default = timed_default(folder, "MNIST", quick)
    found = {
        "fit, default, over encoding + X'X": of_default / (encode + squares),
        "fit, one Gaussian, over X'X": of_one / squares,
    }
    for what, drawn in (("styles", model), ("one Gaussian", one_gaussian().fit(X, y))):
        gain, offset = (drawn.components_ * 30).astype(np.float32), np.full(784, 30, np.float32)
        bound, taken = timed(partial(sampling_floor, gain, offset, n), partial(drawn.sample, n), repeat=3)
        found[f"sampling, {what}, of the floor"] = bound / taken
    model.sample(200, sampler="ddim")  # warm for every prompt, as the exact sampler is by now
    calls = {
        "sample(1), ms": lambda: model.sample(1, random_state=next(seeds)),
        'sample(1, sampler="ddim"), ms': lambda: model.sample(1, sampler="ddim", random_state=next(seeds)),
        "predict of one image, ms": lambda: model.predict(X_test[:1]),
    }
    return found | {what: 1000 * t for what, t in zip(calls, timed(*calls.values(), repeat=n_calls), strict=True)}


def quality(folder, side, quick):
    """Restoration, classification and words; samples are left in the folder, for the judge."""

    found = {}
    for data in ["MNIST"] if quick else DATA:
        X_test, y_test = images(folder, data)[2:]
        model, _ = timed_default(folder, data, quick)
        for seed in range(1 if quick else 3):
            drawn, prompts = model.sample(2000 if quick else 10_000, random_state=seed)
            np.savez(folder / side / f"{data}-{seed}.npz", drawn, prompts)
        truth = X_test[:200].astype(np.float32)
        noisy = truth + np.float32(255 * NOISE) * np.random.default_rng(0).standard_normal(truth.shape, np.float32)
        torn = np.where(HOLE, np.float32(0), truth)
        found |= {
            f"{data}: noise of {NOISE}, dB": psnr(model.denoise(noisy, 255 * NOISE) / 255, truth / 255),
            f"{data}: a hole of 14 x 14, dB": psnr(model.restore(torn, operators.inpaint(HOLE)) / 255, truth / 255),
            f"{data}: prompts read right": float((model.predict(X_test[:2000]) == y_test[:2000]).mean()),
        }
    X, y, X_test, y_test = images(folder, "words")
    nats = words(X, y).score_samples(X_test, y_test).mean() / 784
    return found | {"words: log-density of held-out prompts, nats per pixel": float(nats)}


def words(X, y):
    try:
        return LinearDiffusion(text_encoder="words").fit(X, y)
    except ValueError:  # its name before
        return LinearDiffusion(text_encoder="word-products").fit(X, y)


def images(folder, data, n=None):
    """Training images and prompts, test images and prompts; the first n to train on, or 10,000 where n is True."""
    with np.load(folder / f"{data}.npz") as arrays:
        X, y, *test = (arrays[name] for name in arrays.files)
    n = 10_000 if n is True else n or None
    return X[:n], y[:n], *test


# What starts the workers, and judges.


def sources(name, folder):
    """Lay out the sources of a revision, or of the working tree as it is now; how the table names it."""

    def git(*words):
        return subprocess.run(["git", "-C", str(HERE.parent), *words], check=True, stdout=subprocess.PIPE).stdout

    if name is None:
        shutil.copytree(HERE.parent / "src", folder / "src")
        return "working tree, " + git("describe", "--always", "--dirty=+").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(git("archive", name, "src"))) as archive:
        archive.extractall(folder, filter="data")
    return f"{name}, " + git("rev-parse", "--short", name).decode().strip()


def lay_out(folder, options):
    """Data for all workers."""
    from linear_diffusion import load_images
    from linear_diffusion.datasets.transformed import HELD_OUT

    for name, load in DATA.items():
        np.savez(folder / f"{name}.npz", *load(options), *load(options, "test"))
    X, y = load_images("mnist-5k-words")
    unseen = np.isin(y, list(HELD_OUT))
    np.savez(folder / "words.npz", X[~unseen], y[~unseen], X[unseen], y[unseen])


def measure(folder, side, works, quick):
    """What a worker with the sources of one side finds."""
    print(f"{side}: {works} ...", file=sys.stderr)
    source = folder / side / "src"
    command = [sys.executable, __file__, side, "--worker", works, str(folder), *(["--quick"] if quick else [])]
    environment = os.environ | {"PYTHONPATH": str(source)}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found = json.loads(out.splitlines()[-1])
    if found.pop("package") != str(source / "linear_diffusion"):
        raise RuntimeError(f"the worker did not import the package from {source}: another one comes before PYTHONPATH.")
    return found


def judge(folder, data, quick):
    """Scores of both sides' samples, by one network: (side, figure, number) for each seed."""
    from judge import Bench

    print(f"judging {data} ...", file=sys.stderr)
    X, y, X_test, y_test = images(folder, data, quick)
    n = 2000 if quick else None  # so many samples there are too
    bench = Bench(X, y, X_test[:n], y_test[:n], n_judges=1)
    for path in sorted(folder.glob(f"*/{data}-*.npz")):
        with np.load(path) as drawn:
            score = bench.score(drawn["arr_0"], drawn["arr_1"])
        yield path.parent.name, f"{data}: Fréchet distance, real = 1", score["frechet"]
        yield path.parent.name, f"{data}: prompt read off samples", score["accuracy"]
        yield path.parent.name, f"{data}: nearest training image, real = 1", score["nearest_median"]


def cell(numbers):
    """The median of rounds or seeds, and their range."""
    texts = [f"{x:,}" if isinstance(x, int) else f"{x:.4g}" for x in (statistics.median(numbers), *sorted(numbers))]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[-1]})"


def main(options):
    found, sides = {}, ("before", "after")
    with TemporaryDirectory() as name:
        folder = Path(name)
        names = [
            sources(each, folder / side) for side, each in zip(sides, (options.before, options.after), strict=True)
        ]
        lay_out(folder, options)
        rounds = 1 if options.quick else options.repeat
        for works in ["size,speed,quality", *["speed"] * (rounds - 1)]:
            for side in sides:
                for figure, number in measure(folder, side, works, options.quick).items():
                    found.setdefault(figure, {}).setdefault(side, []).append(number)
        for data in ["MNIST"] if options.quick else DATA:
            for side, figure, number in judge(folder, data, options.quick):
                found.setdefault(figure, {}).setdefault(side, []).append(number)
    rows = []
    for figure, each in found.items():
        before, after = (statistics.median(each[side]) for side in sides)
        rows.append([figure, *(cell(each[side]) for side in sides), f"{after / before - 1:+.1%}"])
    what = "10,000 training images and one seed" if options.quick else f"{rounds} rounds of timings, 3 seeds of samples"
    report(
        "revisions-quick" if options.quick else "revisions",
        ["figure", *names, "change"],
        rows,
        {"before": names[0], "after": names[1], "figures": found},
        f"Medians and ranges: {what}; one judge a data set.",
        threads="processor time on 1 BLAS thread" if options.quick else f"{N_THREADS} BLAS threads",
    )


def work(options):
    """One worker's figures, as the last line that it prints."""
    works, folder = options.worker
    found = {"package": str(PACKAGE)}
    for name in works.split(","):
        found |= {"size": size, "speed": speed, "quality": quality}[name](Path(folder), options.before, options.quick)
    print(json.dumps(found))


def extend(parser):
    parser.add_argument("before", help="a commit; the table's first column")
    parser.add_argument("after", nargs="?", help="another commit; the working tree by default")
    parser.add_argument("--quick", action="store_true", help="small counts, to compare after each step")
    parser.add_argument("--worker", nargs=2, metavar=("WORKS", "FOLDER"), help="what this script calls itself with")
    parser.set_defaults(repeat=3)


if __name__ == "__main__":
    options = arguments(__doc__, extend)
    if options.quick:
        threadpool_limits(1)
    work(options) if options.worker else main(options)
