"""Beside what one would otherwise pick: scikit-learn's GaussianMixture, a small VAE, and a small U-Net from diffusers.

    python benchmarks/comparison.py --minutes 16 --vae-minutes 4        (extras: diffusers, benchmark)
    python benchmarks/comparison.py --only fashion-mnist/unet           (one model; * and ? as in the shell)

Same data, same measures, same machine. Each model is fitted by a process of its own, on one thread, and pays in CPU
time, so that a busy machine cheats none. The networks train for the stated minutes; samples of the weights on the way
make the picture of quality over training time. All are scored on equally many samples, since most measures depend on
their number. Samples wait in ``--cache``, where a stopped run goes on; the log is results/comparison.log.
"""

import fnmatch
import json
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from common import HERE, RESULTS, arguments, fashion, mnist, peak_above, report
from judge import N_JUDGES, Bench
from linear_diffusion import LinearDiffusion
from linear_diffusion.evaluation.run import evaluate
from linear_diffusion.evaluation.splits import make_panel
from networks import VAE, UNet

DATA = {"mnist": ("MNIST", mnist), "fashion-mnist": ("Fashion-MNIST", fashion)}
N_MANY = 10_000
"""Samples of the second Fréchet distance, of all models but the U-Net."""
N_EPOCHS = 2
"""That the judges of the Fréchet distance train."""
LOG = RESULTS / "comparison.log"


class Mixture:
    """GaussianMixture of 10 components per class (of few images, one for ten), on 50 principal components."""

    def fit(self, X, y):
        rows = X.reshape(len(X), -1).astype(np.float32)
        self.pca = PCA(min(50, len(X)), random_state=0).fit(rows)
        z = self.pca.transform(rows).astype(np.float64)
        self.mixtures = {
            c: GaussianMixture(min(10, max(sum(y == c) // 10, 1)), random_state=0).fit(z[y == c]) for c in np.unique(y)
        }
        self.weights = {c: float((y == c).mean()) for c in self.mixtures}
        self.shape = X.shape[1:]
        return self

    def sample(self, n_samples=None, prompts=None, random_state=0):
        rng = np.random.default_rng(random_state)
        if prompts is None:
            prompts = rng.choice(list(self.weights), n_samples, p=list(self.weights.values()))
        z = np.empty((len(prompts), self.pca.n_components_))
        for c in np.unique(prompts):
            own = np.flatnonzero(prompts == c)
            z[own] = rng.permutation(self.mixtures[c].sample(len(own))[0])
        pixels = np.clip(np.rint(self.pca.inverse_transform(z)), 0, 255).astype(np.uint8)
        return pixels.reshape(-1, *self.shape), np.asarray(prompts)

    def n_parameters(self):
        mixtures = sum(m.means_.size + m.covariances_.size + m.weights_.size for m in self.mixtures.values())
        return mixtures + self.pca.components_.size + self.pca.mean_.size


@dataclass(frozen=True)
class Entry:
    """A model of the table."""

    name: str
    make: object
    """From the command's options to what has ``fit`` and ``sample``."""
    neural: bool = False
    n_samples: int = N_MANY


MODELS = {
    "one-shot": Entry("the article's one-shot model", lambda o: LinearDiffusion.one_shot(random_state=0)),
    "gaussian": Entry(
        "one Gaussian per prompt, k = 144", lambda o: LinearDiffusion(styles=1, latent_dim=144, random_state=0)
    ),
    "styles": Entry("165 styles per prompt, k = 500", lambda o: LinearDiffusion(random_state=0)),
    "mixture": Entry("GaussianMixture, PCA 50, 10 components per class", lambda o: Mixture()),
    "vae": Entry("VAE", lambda o: VAE(o.vae_minutes), neural=True),
    "unet": Entry("U-Net, EDM's recipe", lambda o: UNet(o.minutes), neural=True, n_samples=0),
}


def log(text):
    """A line with its time, on screen and in the log."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
    print(line, flush=True)
    with LOG.open("a") as file:
        file.write(line + "\n")


def fit_one(options, data, key, path):
    """Fit a model in this process, and keep what it cost and its samples, one set a time that weights were kept."""
    entry, (X, y) = MODELS[key], DATA[data][1](options)
    threadpool_limits(1)
    torch.set_num_threads(1)
    LinearDiffusion(styles=1).fit(X[:500], y[:500]).sample(10)  # buffers of BLAS, modules imported late
    model, costs, more = entry.make(options), {}, {}
    if entry.neural:
        more["log"] = lambda text: log(f"{data}/{key}: {text}")
    start, started = time.process_time(), time.perf_counter()
    model, costs["memory_mb"] = peak_above(lambda: model.fit(X, y, **more))
    costs |= {"fit_cpu_seconds": time.process_time() - start, "fit_seconds": time.perf_counter() - started}
    costs["model_mb"] = size_of(model)
    kept = [spent for spent, _ in model.kept] if entry.neural else [costs["fit_cpu_seconds"]]
    costs["fit_cpu_seconds"] = kept[-1]  # without what a network imports
    n, arrays = max(entry.n_samples, options.samples), {}
    model.sample(100)
    for i in range(len(kept)):
        if entry.neural:
            model.use(i)
        asked = n if i == len(kept) - 1 else options.samples
        start = time.process_time()
        arrays[f"images_{i}"], arrays[f"prompts_{i}"] = model.sample(asked)
        costs["images_a_cpu_second"] = asked / (time.process_time() - start)
    costs["kept_cpu_seconds"] = kept
    path.mkdir(parents=True, exist_ok=True)
    np.savez(path / "samples.npz", **arrays)
    (path / "costs.json").write_text(json.dumps(costs))


def size_of(model):
    """MB of the model's file; of what has none, those of its parameters in float32."""
    if not isinstance(model, LinearDiffusion):
        return 4 * model.n_parameters() / 1e6
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "model")
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6


class Drawn:
    """Samples that were drawn before, as what `evaluate` draws from."""

    def __init__(self, images, prompts):
        order = np.random.default_rng(0).permutation(len(images))
        self.images, self.prompts = images[order], prompts[order]

    def sample(self, n_samples=None, prompts=None, random_state=None):
        if prompts is None:
            return self.images[:n_samples], self.prompts[:n_samples]
        each = {c: iter(np.flatnonzero(self.prompts == c)) for c in np.unique(prompts)}
        return self.images[[next(each[c]) for c in prompts]], np.asarray(prompts)


class Scores:
    """One data set's judges: the torch networks of judge.py, and the panel of the package's own evaluation."""

    def __init__(self, options, data):
        self.options = options
        self.train, self.test = DATA[data][1](options), DATA[data][1](options, "test")
        kept = Path(options.cache) / f"{data}-judges.pickle"
        if not kept.exists():
            log(f"{data}: training the judges")
            judges = Bench(*self.train, *self.test, N_EPOCHS), make_panel(self.train, self.test)
            kept.write_bytes(pickle.dumps(judges))
        self.bench, self.panel = pickle.loads(kept.read_bytes())

    def of(self, entry, path):
        """What a model cost and scores."""
        costs, arrays = json.loads((path / "costs.json").read_text()), np.load(path / "samples.npz")
        n, last = self.options.samples, len(costs["kept_cpu_seconds"]) - 1
        drawn = [Drawn(arrays[f"images_{i}"], arrays[f"prompts_{i}"]) for i in range(last + 1)]
        curve = [
            {"cpu_seconds": spent, "frechet": float(np.mean(self.bench.relative_frechet(samples.images[:n])))}
            for spent, samples in zip(costs.pop("kept_cpu_seconds"), drawn, strict=True)
        ]
        refit = None if entry.neural else lambda X, y: entry.make(self.options).fit(X, y)
        sets = () if entry.neural else (10, 30, 100)
        found = evaluate(drawn[last], self.train, self.test, n_samples=n, panel=self.panel, small_sets=sets, fit=refit)
        found.save_html(path / "report.html")
        many = None if entry.n_samples < N_MANY else float(np.mean(self.bench.relative_frechet(drawn[last].images)))
        accuracy = self.bench.read(drawn[last].images[:n], drawn[last].prompts[:n])
        judged = {"frechet": curve[-1]["frechet"], "frechet_many": many, "accuracy": accuracy, "curve": curve}
        figures = {key: [figure.value, figure.real] for key, figure in found.figures.items()}
        return costs | judged | {"real_accuracy": self.bench.accuracy, "warnings": found.warnings, "figures": figures}


COSTS = ["data", "model", "fit, CPU time", "memory above the data", "model file", "images per CPU second"]
JUDGED = ["Fréchet distance, real = 1", "the same, 10,000 samples", "prompt read"]
MEASURES = {
    "frechet_distance": "Fréchet distance",
    "prompt_accuracy": "prompt accuracy",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "nearest_median_ratio": "nearest training image, median",
    "nearest_tail_ratio": "5th percentile",
    "near_copies": "near copies",
    "two_sample_accuracy": "told from real images",
    "train_on_samples": "classifier trained on samples",
    **{f"small_{n}_{kind}": f"{n} per prompt: {what}" for n in (10, 30, 100) for kind, what in (
        ("samples", "samples only"), ("both", "real and samples"))},
}  # fmt: skip
SHOWN = ["nearest_median_ratio", "nearest_tail_ratio", "coverage", "two_sample_accuracy", "train_on_samples"]


def write(options, figures):
    """Both tables and the picture, of all models scored so far."""
    rows, all_rows = [], []
    for data, (title, _) in DATA.items():
        own = {key: figures[f"{data}/{key}"] for key in MODELS if f"{data}/{key}" in figures}
        if not own:
            continue
        real = {k: v for found in own.values() for k, (_, v) in found["figures"].items()}
        judged = next(iter(own.values()))["real_accuracy"]
        cells = [number(key, real[key]) for key in SHOWN]
        rows.append([title, "real images", "", "", "", "", "1.00", "1.00", f"{judged:.1%}", *cells])
        all_rows.append([title, "real images", *(number(k, real.get(k)) for k in MEASURES)])
        for key, found in own.items():
            values = {k: v for k, (v, _) in found["figures"].items()}
            name, spent = MODELS[key].name, found["fit_cpu_seconds"]
            many = found["frechet_many"]
            rows.append([
                title,
                name,
                f"{spent / 60:.1f} min" if MODELS[key].neural else f"{spent:.1f} s",
                f"{found['memory_mb']:.0f} MB",
                f"{found['model_mb']:.1f} MB",
                f"{found['images_a_cpu_second']:,.0f}",
                f"{found['frechet']:.2f}",
                "" if many is None else f"{many:.2f}",
                f"{found['accuracy']:.1%}",
                *(number(k, values[k]) for k in SHOWN),
            ])  # fmt: skip
            all_rows.append([title, name, *(number(k, values.get(k)) for k in MEASURES)])
    n, threads = f"{options.samples:,} samples of each model.", "one thread, in CPU time"
    judge = f"Fréchet distance and prompt by {N_JUDGES} convolutional networks, {N_EPOCHS} epochs each, torch; "
    judge += "the rest by the package's `evaluate`. Model files: 4 bytes per parameter."
    short = {key: {k: v for k, v in found.items() if k != "figures"} for key, found in figures.items()}
    report("comparison", [*COSTS, *JUDGED, *(MEASURES[k] for k in SHOWN)], rows, short, f"{n} {judge}", threads)
    long = {key: found["figures"] for key, found in figures.items()}
    note = f"{n} Judges: those of `linear-diffusion evaluate`. Networks are not trained on small sets."
    report("comparison-measures", ["data", "model", *MEASURES.values()], all_rows, long, note, threads)
    plot(options, figures)


def number(key, value):
    if value is None:
        return ""
    share = key.endswith("accuracy") or key.startswith(("small", "train", "near_copies"))
    return f"{value:.1%}" if share else f"{value:.2f}"


def plot(options, figures):
    """Fréchet distance over training time: networks as lines, all else as points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharex=True, sharey=True, layout="constrained")
    for axis, (data, (title, _)) in zip(axes, DATA.items(), strict=True):
        for colour, (key, entry) in enumerate(MODELS.items()):
            if f"{data}/{key}" not in figures:
                continue
            curve = figures[f"{data}/{key}"]["curve"]
            x, y = [p["cpu_seconds"] for p in curve], [p["frechet"] for p in curve]
            line = "-" if entry.neural else "none"
            axis.loglog(x, y, linestyle=line, marker="o", markersize=6, color=f"C{colour}", label=entry.name)
        axis.axhline(1, color="grey", linestyle="--", linewidth=1)
        axis.annotate("real images", (0.99, 1), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", color="grey", fontsize=9)  # fmt: skip
        axis.set_title(title)
        axis.set_xlabel("CPU time of the fit")
        axis.set_xticks([1, 10, 60, 600], ["1 s", "10 s", "1 min", "10 min"])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Fréchet distance, real images = 1")
    axes[0].yaxis.set_major_formatter("{x:g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(HERE.parent / "docs" / "images" / "quality-over-time.png", dpi=100)
    plt.close(figure)


def stored():
    """Figures of earlier runs."""
    short, long = (RESULTS / f"{name}.json" for name in ("comparison", "comparison-measures"))
    if not (short.exists() and long.exists()):
        return {}
    measures = json.loads(long.read_text())
    return {key: found | {"figures": measures[key]} for key, found in json.loads(short.read_text()).items()}


def main(options):
    cache = Path(options.cache)
    for data in DATA:
        scores = None
        for key, entry in MODELS.items():
            if not fnmatch.fnmatch(f"{data}/{key}", options.only):
                continue
            minutes = {"vae": options.vae_minutes, "unet": options.minutes}.get(key)
            path = cache / "-".join([data, key, *([] if minutes is None else [f"{minutes:g}min"])])
            if not (path / "costs.json").exists():
                log(f"{data}/{key}: fit")
                child = [sys.executable, __file__, *sys.argv[1:], "--child", data, key, str(path)]
                subprocess.run(child, check=True)
            if options.fit_only:
                continue
            scores = scores or Scores(options, data)
            log(f"{data}/{key}: score")
            found = scores.of(entry, path)
            log(f"{data}/{key}: {json.dumps({k: v for k, v in found.items() if k != 'figures'})}")
            write(options, stored() | {f"{data}/{key}": found})


def extend(parser):
    parser.add_argument("--minutes", type=float, default=16.0, help="CPU minutes that the U-Net trains")
    parser.add_argument("--vae-minutes", type=float, default=4.0, help="CPU minutes that the VAE trains")
    parser.add_argument("--samples", type=int, default=1000, help="samples that each model is scored on")
    parser.add_argument("--only", default="*", help="models, as DATA/MODEL; * and ? as in the shell")
    parser.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "linear-diffusion-comparison"))
    parser.add_argument("--fit-only", action="store_true", help="fit and draw; score another time")
    parser.add_argument("--child", nargs=3, metavar=("DATA", "MODEL", "PATH"), help="fit one model in this process")


if __name__ == "__main__":
    options = arguments(__doc__, extend)
    if options.child:
        fit_one(options, *options.child[:2], Path(options.child[2]))
    else:
        main(options)
