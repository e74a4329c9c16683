"""What the benchmarks share: data, clocks, threads, and tables that scripts write."""

import argparse
import gc
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
RESULTS = HERE / "results"
N_THREADS = 2
NOISE = 0.3
HOLE = np.zeros((28, 28), bool)
HOLE[7:21, 7:21] = True
"""What restoration is measured on: noise of a deviation, and missing pixels."""


def arguments(
    description: str, extend: Callable[[argparse.ArgumentParser], Any] = lambda parser: None
) -> argparse.Namespace:
    """The command line that all benchmarks share, and a script's own; BLAS gets a stated number of threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-dir", default=str(HERE.parent.parent / "shared" / "data"), help="folder of IDX files")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each timing; the median counts")
    extend(parser)
    options = parser.parse_args()
    threadpool_limits(N_THREADS)
    return options


def mnist(options: argparse.Namespace, split: str = "train") -> tuple[Any, Any]:
    """The full MNIST: images (n, 28, 28) uint8 and prompts."""
    from linear_diffusion import load_images

    return load_images("mnist", data_dir=options.data_dir, split=split)


def fashion(options: argparse.Namespace, split: str = "train") -> tuple[Any, Any]:
    """The full Fashion-MNIST, from ``--data-dir`` or where Debian's package dataset-fashion-mnist puts it."""
    from linear_diffusion import load_images

    folder = Path(options.data_dir) / "fashion-mnist"
    where = folder if folder.exists() else Path("/usr/share/datasets/fashion-mnist")
    return load_images("fashion-mnist", data_dir=where.parent, split=split)


def seconds(*works: Callable[[], Any], repeat: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Median seconds of each work, run in turn so that a noisy machine is noisy for all; one round is not counted."""
    rounds: list[list[float]] = []
    for _ in range(repeat + 1):
        rounds.append([])
        for work in works:
            gc.collect()
            start = clock()
            work()
            rounds[-1].append(clock() - start)
    return [statistics.median(column) for column in zip(*rounds[1:], strict=True)]


def resident(kind: str) -> float:
    """MB that the process holds (VmRSS) or has held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_above(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a work returns, and the MB that the process held at most while it ran, above what it held before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = resident("VmRSS")
    found = work()
    return found, resident("VmHWM") - before


def report(
    name: str,
    header: list[str],
    rows: list[list[str]],
    figures: dict[str, Any],
    note: str = "",
    threads: str = f"{N_THREADS} BLAS threads",
) -> None:
    """Print a table and keep it, with its figures, under ``results``; then put it into the README."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    where = f"{threads}, numpy {np.__version__}, Python {platform.python_version()}"
    table = "\n".join([*lines, "", f"{note} Measured with {where}.".strip()])
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(table + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    sys.path.insert(0, str(HERE))
    from tables import refresh

    refresh()


def psnr(found: Any, truth: Any) -> float:
    """Peak signal-to-noise ratio of images within [0, 1], in dB."""
    error = ((np.clip(found, 0, 1) - truth) ** 2).reshape(len(truth), -1).mean(axis=1)
    return float(-10 * np.log10(error).mean())
