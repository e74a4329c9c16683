"""From samples and a panel of judges to figures: each measure twice, on samples and on real images in their place."""

import warnings
from typing import Any

import numpy as np

from ..utils.types import AnyArray
from .diversity import neighbourhoods
from .features import Judge, pixel_bounds, to_rows
from .fidelity import frechet_distance, prompt_accuracy
from .memorisation import Memorisation, memorisation
from .report import Figure
from .splits import Panel, some
from .twosample import two_sample_test
from .usefulness import Fit, classifier_accuracy, small_set

Pairs = tuple[AnyArray, AnyArray]
"""Images and their prompts."""

_MOST_NEIGHBOURS = 10_000
_MOST_DISTANCES = 2_000
_MOST_TWO_SAMPLE = 5_000
_MOST_LESSONS = 10_000
"""Images that each of the slower measures takes at most."""


def fidelity_figures(panel: Panel, samples: Pairs, test: Pairs) -> dict[str, Figure]:
    """Fréchet distance, of equal numbers, and prompt accuracy."""
    n = min(len(samples[0]), len(panel.stand_ins))
    target = panel.features(panel.target)
    found = {
        "frechet_distance": Figure(
            "Fidelity",
            "Fréchet distance",
            frechet_distance(panel.features(samples[0][:n]), target),
            frechet_distance(panel.features(panel.stand_ins[:n]), target),
            "lower",
            n,
            "How far the samples' features lie from those of held-out images, as two Gaussians.",
        )
    }
    if panel.reader is not None:
        (ours, n), (theirs, _) = (_read(panel.reader, *pairs) for pairs in (samples, test))
        found["prompt_accuracy"] = Figure(
            "Fidelity",
            "prompt accuracy",
            ours,
            theirs,
            "higher",
            n,
            "How often a second, independent classifier reads the prompt off an image.",
        )
    return found


def _read(reader: Judge, images: AnyArray, asked: AnyArray) -> tuple[float, int]:
    """How often a judge reads the prompts that it knows, and of how many images."""
    known = np.isin(asked, reader.prompts)
    if not known.any():
        return float("nan"), 0
    return prompt_accuracy(reader.predict(images[known]), asked[known]), int(known.sum())


def diversity_figures(panel: Panel, samples: AnyArray) -> dict[str, Figure]:
    """Precision, recall, density and coverage, of equal numbers."""
    n = min(len(samples), len(panel.stand_ins), _MOST_NEIGHBOURS)
    target = panel.features(panel.target[:_MOST_NEIGHBOURS])
    k, k_density = (min(k, n - 1, len(target) - 1) for k in (3, 5))
    ours, theirs = (
        neighbourhoods(target, panel.features(images[:n]), k=k, k_density=k_density)
        for images in (samples, panel.stand_ins)
    )
    about = {
        "precision": "Share of samples that lie among the held-out images, as far as their neighbourhoods reach.",
        "recall": "Share of held-out images that lie among the samples.",
        "density": "How many neighbourhoods of held-out images hold a sample, over what is expected.",
        "coverage": "Share of held-out images with a sample in their neighbourhood.",
    }
    return {
        name: Figure("Diversity", name, getattr(ours, name), getattr(theirs, name), "higher", n, text)
        for name, text in about.items()
    }


def memorisation_figures(train: AnyArray, samples: AnyArray, test: AnyArray) -> tuple[dict[str, Figure], Memorisation]:
    """Distances to the nearest training image, in pixels."""
    bounds = pixel_bounds(train)
    held_out = test[some(len(test), _MOST_DISTANCES)]
    found = memorisation(*(to_rows(images, bounds) for images in (train, samples[:_MOST_DISTANCES], held_out)))
    lines: list[tuple[str, str, float, float, str, str]] = [
        (
            "nearest_median",
            "median distance to training",
            float(np.median(found.distances)),
            float(np.median(found.held_out)),
            "as real",
            "Euclidean distance to the nearest training image, pixels in 0..1.",
        ),
        (
            "nearest_median_ratio",
            "the same, over that of real images",
            found.median_ratio,
            1.0,
            "as real",
            "1 is as new as real images are; 0 is copied.",
        ),
        (
            "nearest_tail_ratio",
            "ratio of the 5th percentiles",
            found.tail_ratio,
            1.0,
            "as real",
            "The same for the samples nearest to training, where a few copies show.",
        ),
        (
            "near_copies",
            "share of near copies",
            found.near_copies,
            float(np.mean(found.held_out < np.quantile(found.held_out, 0.01))),
            "as real",
            "Samples nearer to a training image than the nearest 1 % of held-out images are.",
        ),
    ]
    n = len(found.distances)
    figures = {
        key: Figure("Memorisation", name, value, real, better, n, about)
        for key, name, value, real, better, about in lines
    }
    return figures, found


def two_sample_figures(panel: Panel, samples: AnyArray, seed: int) -> dict[str, Figure]:
    """How well a classifier tells samples from held-out images."""
    n = min(len(samples), len(panel.stand_ins), len(panel.target), _MOST_TWO_SAMPLE)
    ours = two_sample_test(samples[:n], panel.target[:n], seed=seed)
    theirs = two_sample_test(panel.stand_ins[:n], panel.target[:n], seed=seed)
    about = (
        f"How often a classifier tells a sample from a held-out image; 0.5 is never. Tried on {ours.n_test:,} images"
    )
    return {
        "two_sample_accuracy": Figure(
            "Two-sample test",
            "told from real images",
            ours.accuracy,
            theirs.accuracy,
            "lower",
            n,
            f"{about} of both kinds, p = {ours.p_value:.2g}.",
            ours.standard_error,
        )
    }


def usefulness_figures(samples: Pairs, train: Pairs, test: Pairs, seed: int) -> dict[str, Figure]:
    """Accuracy on real images of classifiers trained on samples, and on as many real images."""
    n = min(len(samples[0]), len(train[0]), _MOST_LESSONS)
    real = some(len(train[0]), n)
    return {
        "train_on_samples": Figure(
            "Usefulness",
            "classifier trained on samples",
            classifier_accuracy(samples[0][:n], samples[1][:n], *test, seed=seed),
            classifier_accuracy(train[0][real], train[1][real], *test, seed=seed),
            "higher",
            n,
            "Accuracy on held-out images; beside it, trained on as many real images.",
        )
    }


def small_set_figures(fit: Fit, train: Pairs, test: Pairs, n_each: int, seed: int) -> dict[str, Figure]:
    """What samples of a generator fitted on a small set add to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are few images is what is asked about
        found = small_set(fit, train, test, n_each, seed=seed)
    n_prompts = len(np.unique(train[1]))
    tail = f"a model fitted on {n_each} images per prompt alone"
    common: dict[str, Any] = {"measure": "Usefulness", "real": found.real, "better": "higher", "n": 200 * n_prompts}
    return {
        f"small_{n_each}_samples": Figure(
            name=f"{n_each} images per prompt: samples only",
            value=found.samples,
            about=f"Accuracy on held-out images of a classifier trained on samples of {tail}; beside it, on these.",
            **common,
        ),
        f"small_{n_each}_both": Figure(
            name=f"{n_each} images per prompt: real and samples",
            value=found.both,
            about=f"The same, trained on these images and on samples of {tail}.",
            **common,
        ),
    }
