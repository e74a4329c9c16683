"""Denoising and filling holes, against what scikit-image offers; 300 test images of each data set.

    python benchmarks/restore.py            (needs the extra: pip install '.[restore]')

Noise of deviation 0.3 on pixels in [0, 1], which all methods know; a hole of 14 x 14 pixels. Each classical
method runs with several settings, of which the best counts, which flatters it. The mean of the images' PSNR, all
clipped to [0, 1] alike. "Posterior mean" is the default, robust to what the model does not know, and in holes a local
regression; "exact" is Bayes' rule. Two parts of the code are also left out in turn: that regression, and the short form
of what was seen (Q' y). A second table has what denoising leaves of noise from 0 to 40 grey levels, a third what half
and twice of each constant of restoration do.
"""

import warnings
from functools import partial
from itertools import product
from unittest.mock import patch

import numpy as np
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet, inpaint_biharmonic

from common import HOLE, NOISE, arguments, fashion, mnist, psnr, report, seconds
from linear_diffusion import LinearDiffusion, operators
from linear_diffusion.tasks import local, mixture, posterior, restore

N = 300
LEVELS = (0, 5, 10, 20, 40)
COLOURS = np.array([[1.0, 0.2, 0.2], [0.2, 1.0, 0.3], [0.3, 0.4, 1.0], [1.0, 0.9, 0.2], [0.9, 0.3, 0.9]])


def coloured(load):
    """MNIST in five colours, by chance; prompts stay the digits."""

    def loaded(options, split="train"):
        X, y = load(options, split)
        X = X[:20_000]
        colour = COLOURS[np.random.default_rng(len(X)).integers(0, len(COLOURS), len(X))]
        return np.rint(X[..., None] * colour[:, None, None]).astype(np.uint8), y[:20_000]

    return loaded


DATA = {"MNIST": mnist, "Fashion-MNIST": fashion, "coloured MNIST": coloured(mnist)}


SMALLER = operators.downsample(2)
CONSTANTS = {
    "TEMPERATURE (mixture.py)": (mixture, "TEMPERATURE", ("noise", "smaller")),
    "UNMODELLED (mixture.py)": (mixture, "UNMODELLED", ("hole", "smaller")),
    "POPULATION (restore.py)": (restore, "POPULATION", ("noise",)),
    "POPULATION (local.py)": (local, "POPULATION", ("hole",)),
    "EVIDENCE (local.py)": (local, "EVIDENCE", ("hole",)),
    "N_NEAR (local.py)": (local, "N_NEAR", ("hole",)),
}


def without(owner, name, work):
    """A work without a part of the code."""

    def worked():
        with patch.object(owner, name, None):
            return work()

    return worked


def each(restorer, images, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wavelets warn of images that are small
        return np.stack([restorer(image, **settings) for image in images])


def classical(axis):
    """Name, method, and settings to try."""
    nlm = [
        {"patch_size": p, "patch_distance": 6, "h": h * NOISE, "sigma": NOISE, "fast_mode": True, "channel_axis": axis}
        for p, h in product((3, 5, 7), (0.6, 0.8, 1.0, 1.2))
    ]
    tv = [{"weight": w, "channel_axis": axis} for w in (0.2, 0.3, 0.4, 0.5, 0.7)]
    wavelet = [
        {"method": m, "mode": mode, "wavelet": w, "sigma": NOISE, "rescale_sigma": True, "channel_axis": axis}
        for m, mode, w in product(("BayesShrink", "VisuShrink"), ("soft", "hard"), ("db1", "db2", "sym4"))
    ]
    return [
        ("non-local means", denoise_nl_means, nlm),
        ("total variation", denoise_tv_chambolle, tv),
        ("wavelets", denoise_wavelet, wavelet),
    ]


def best_of(method, settings, images, truth):
    return max(settings, key=lambda s: psnr(each(method, images, **s), truth))


def errors(model, truth):
    """Root mean square error of denoised images, in grey levels, by noise level: estimated, and known."""
    noise = np.random.default_rng(1).standard_normal(truth.shape).astype(np.float32)
    found = {}
    for level in LEVELS:
        noisy = truth + np.float32(level / 255) * noise
        found[level] = [
            float(255 * np.sqrt(((model.denoise(noisy, noise_std) - truth) ** 2).mean()))
            for noise_std in (None, level / 255)
        ]
    return found


def constants(model, truth, noisy):
    """PSNR by constant, task and value: half of it, itself, and twice as much."""
    small, torn, hole = SMALLER(truth), operators.inpaint(HOLE)(truth), operators.inpaint(HOLE)
    works = {
        "noise": lambda: model.denoise(noisy, NOISE),
        "hole": lambda: model.restore(torn, hole),
        "smaller": lambda: model.restore(small, SMALLER),
    }
    found = {}
    for name, (module, constant, tasks) in CONSTANTS.items():
        chosen = getattr(module, constant)
        for task in tasks:
            found[f"{name}, {task}"] = {}
            for value in (type(chosen)(chosen / 2), chosen, chosen * 2):
                with patch.object(module, constant, value):
                    found[f"{name}, {task}"][f"{value:g}"] = psnr(works[task](), truth)
    return found


def compare(name, load, options):
    """Rows of (task, method, dB, seconds), what denoising leaves, and what constants do."""
    X, y = load(options)
    truth = (load(options, "test")[0][:N] / 255).astype(np.float32)
    model = LinearDiffusion(random_state=0).fit((X / 255).astype(np.float32), y)
    axis = -1 if truth.ndim == 4 else None
    noisy = (truth + NOISE * np.random.default_rng(0).standard_normal(truth.shape)).astype(np.float32)
    works = {}
    for what, method, settings in classical(axis):
        works["denoising", what] = partial(each, method, noisy, **best_of(method, settings, noisy, truth))
    hole = operators.inpaint(HOLE)
    torn = np.where(HOLE[..., None] if axis else HOLE, np.float32(0), truth)
    works["hole", "biharmonic"] = partial(each, inpaint_biharmonic, torn, mask=HOLE, channel_axis=axis)
    for what, exact in (("posterior mean", False), ("exact", True)):
        works["denoising", what] = partial(model.denoise, noisy, NOISE, exact=exact)
        works["hole", what] = partial(model.restore, torn, hole, exact=exact)
    works["denoising", "posterior mean, noise estimated"] = partial(model.denoise, noisy)
    works["hole", "posterior mean, without the regression"] = without(
        mixture.Posterior, "_local", works["hole", "posterior mean"]
    )
    works["hole", "exact, without the short form"] = without(posterior.View, "q", works["hole", "exact"])
    left, tuned = errors(model, truth), constants(model, truth, noisy)
    times = seconds(*works.values(), repeat=min(options.repeat, 3))
    return {
        f"{name}, {task}, {what}": {"psnr": psnr(work(), truth), "seconds": t}
        for ((task, what), work), t in zip(works.items(), times, strict=True)
    }, (left, tuned)


def main(options):
    figures, left, tuned = {}, {}, {}
    for name, load in DATA.items():
        found, (left[name], tuned[name]) = compare(name, load, options)
        figures |= found
    names = {"denoising": "noise of 0.3", "hole": "a hole of 14 x 14"}
    rows = []
    for key, found in figures.items():
        name, task, what = key.split(", ", 2)
        rows.append([name, names[task], what, f"{found['psnr']:.2f} dB", f"{found['seconds']:.2f} s"])
    order = {name: i for i, name in enumerate(DATA)}
    rows.sort(key=lambda row: (order[row[0]], row[1] != "noise of 0.3"))
    note = f"{N} test images; 165 styles, k = 500 (the default); each classical method at the best of its settings."
    report("restore", ["data", "task", "method", "PSNR", "time of all"], rows, figures, note)
    rows = [
        [name, f"{level}", f"{blind:.1f}", f"{known:.1f}"]
        for name, found in left.items()
        for level, (blind, known) in found.items()
    ]
    note = f"Root mean square errors in grey levels, {N} test images; the default model."
    report("denoise", ["data", "noise", "denoised, noise estimated", "noise known"], rows, left, note)
    rows = [
        [name, constant, task, *(f"{dB:.2f} dB at {value}" for value, dB in values.items())]
        for name, own in tuned.items()
        for (constant, task), values in ((key.rsplit(", ", 1), values) for key, values in own.items())
    ]
    note = f"PSNR, {N} test images; noise of 0.3, a hole of 14 x 14, or half the size; the default model."
    report("restore-constants", ["data", "constant", "task", "half", "chosen", "twice"], rows, tuned, note)


if __name__ == "__main__":
    main(arguments(__doc__))
