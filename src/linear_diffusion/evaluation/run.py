"""evaluate: check what is to be compared, run every measure, and say what must be known to read the figures."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..utils.progress import printed, tell
from ..utils.types import AnyArray, Index
from . import measures
from .inception import inception_features, inception_figures
from .memorisation import Memorisation
from .report import Evaluation, Figure, listed
from .show import draw
from .splits import Features, Panel, count_copies, make_panel
from .usefulness import Fit, Generator
from .validate import check_pairs, data_warnings, memorised_warning

Step = Callable[[str, str], AbstractContextManager[Any]]
"""``step(name, doing)``: what a part of the evaluation runs in."""


def evaluate(
    model: Generator,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    n_samples: int = 10_000,
    random_state: int = 0,
    fit: Fit | None = None,
    fitted_on: str = "train",
    small_sets: Sequence[int] = (10, 30, 100),
    panel: Panel | None = None,
    inception: str | Path | None = None,
    step: Step | None = None,
    verbose: int = 0,
) -> Evaluation:
    """Score a fitted model's samples by every measure, each beside what real images score.

    Parameters
    ----------
    model : LinearDiffusion, or anything with its ``sample(n_samples, prompts=, random_state=)``
    train : (images, prompts)
        What the model was fitted on.
    test : (images, prompts)
        Real images that it was not fitted on. Prompts may be None for images without.
    n_samples : int, default=10_000
        Samples to draw. Measures that depend on a number of images take as many samples as there are real images.
    random_state : int, default=0
        Seed of the samples, of small sets and of what is trained on them. The judges have a seed of their own.
    fit : callable, optional
        ``fit(images, prompts) -> model``, for the figures of small sets: it is given such a set alone. By default a
        clone of the model, with its settings, is fitted; a model that cannot be cloned goes without these figures.
    fitted_on : {"train", "all"}, default="train"
        Whether the model has seen ``test``; with "all" the report says that its figures are those of a fitted set.
    small_sets : sequence of int, default=(10, 30, 100)
        Real images per prompt of the small sets. A prompt that has fewer gives all that it has; a set that most prompts
        cannot fill is left out.
    panel : Panel, optional
        From `make_panel`, to score several models by the same judges without training them again, or by the features of
        another network.
    inception : path, optional
        File of the field's Inception network, from `inception_features`, for a figure of FID beside the others. Nothing
        is downloaded; needs the extra "fid".
    step : callable, optional
        ``step(name, doing)`` gives the context that each part runs in: a progress bar, for instance.
    verbose : int, default=0
        1 prints what it is at, part by part.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If images, prompts or the model do not go together, or there are too few images.
    MissingExtraError, DataError
        If torch, or the file of Inception, is missing.

    Examples
    --------
    >>> from linear_diffusion import LinearDiffusion, load_images
    >>> images, prompts = load_images("digits")
    >>> train, test = (images[:600], prompts[:600]), (images[600:900], prompts[600:900])
    >>> model = LinearDiffusion(styles=1, latent_dim=20).fit(*train)
    >>> found = evaluate(model, train, test, n_samples=200, small_sets=())
    >>> found["prompt_accuracy"].value > 0.7, found.warnings
    (True, [])
    """
    if fitted_on not in ("train", "all"):
        raise ValueError(f'fitted_on={fitted_on!r} must be "train" or "all".')
    train, test = check_pairs(model, train, test, n_samples)
    network = None if inception is None else inception_features(inception)
    several, notes = len(np.unique(train[1])) > 1, list[str]()
    fit = fit or _refit(model)
    sizes = _small_sizes(train[1], small_sets, fit, notes) if several else []
    clock = _Clock(step, 7 + (network is not None) + several + len(sizes))
    with printed(verbose, "evaluate"):
        with clock("judges", "training the judges"):
            panel = panel or make_panel(train, test)
        with clock("sample", f"drawing {n_samples:,} samples"):
            images, asked = model.sample(n_samples, random_state=random_state)
            samples = np.asarray(images), np.asarray(asked).astype(str)
        figures, found = _figures(panel, samples, train, test, random_state, clock, network)
        for n_each in sizes:
            with clock(f"{n_each} per prompt", f"fitting {n_each} images per prompt"):
                figures |= measures.small_set_figures(cast(Fit, fit), train, test, n_each, random_state)
        with clock("draw", "drawing pictures"):
            pairs = found.nearest_pairs(10)
            pictures = draw(model, train, test, samples[0], pairs, random_state)
    return Evaluation(
        figures=figures,
        warnings=[
            *data_warnings(model, train[0], test[0], fitted_on, count_copies(train[0], test[0])),
            *memorised_warning(found),
        ],
        notes=[panel.note, *_reader_notes(panel, samples[1]), *notes],
        settings=_settings(n_samples, train, test, random_state, fitted_on),
        seconds=clock.seconds,
        nearest_pairs=_list_pairs(pairs, found),
        pictures=pictures,
    )


class _Clock:
    """Runs each part in the caller's context, tells how many there are, and keeps what each took."""

    def __init__(self, step: Step | None, n_parts: int) -> None:
        self.step = step or (lambda name, doing: nullcontext())
        self.n_parts, self.seconds = n_parts, dict[str, float]()

    @contextmanager
    def __call__(self, name: str, doing: str) -> Iterator[None]:
        doing = f"{len(self.seconds) + 1} of {self.n_parts}: {doing}"
        tell(doing)
        start = time.perf_counter()
        with self.step(name, doing):
            yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def _figures(
    panel: Panel,
    samples: measures.Pairs,
    train: measures.Pairs,
    test: measures.Pairs,
    seed: int,
    clock: _Clock,
    network: Features | None,
) -> tuple[dict[str, Figure], Memorisation]:
    """What is asked of the model's own samples."""
    with clock("fidelity", "measuring fidelity"):
        figures = measures.fidelity_figures(panel, samples, test)
    if network is not None:
        with clock("inception", "measuring Inception's FID"):
            figures |= inception_figures(network, panel, samples[0])
    with clock("diversity", "measuring diversity"):
        figures |= measures.diversity_figures(panel, samples[0])
    with clock("memorisation", f"comparing samples with {len(train[0]):,} training images"):
        more, found = measures.memorisation_figures(train[0], samples[0], test[0])
        figures |= more
    with clock("two-sample", "telling samples from real images"):
        figures |= measures.two_sample_figures(panel, samples[0], seed)
    if panel.reader is not None:
        with clock("usefulness", "training classifiers on samples"):
            figures |= measures.usefulness_figures(samples, train, test, seed)
    return figures, found


def _small_sizes(prompts: AnyArray, sizes: Sequence[int], fit: Fit | None, notes: list[str]) -> list[int]:
    """Small sets that can be made; notes say which are left out, and which prompts are not whole in those that are."""
    names, counts = np.unique(prompts, return_counts=True)
    if fit is None and sizes:
        notes.append("Small sets are left out: the model cannot be cloned, and no fit was given.")
    usual = int(np.median(counts))
    kept = [n for n in sizes if n <= usual and fit is not None]
    if fit is not None and len(kept) < len(sizes):
        left = " and ".join(str(n) for n in sizes if n > usual)
        notes.append(f"Sets of {left} images per prompt are left out: half of the prompts have {usual} or fewer.")
    rare = [f"{name!r} ({n})" for name, n in zip(names.tolist(), counts, strict=True) if n < max(kept, default=0)]
    if rare:
        notes.append(f"Small sets hold all images of prompts that have fewer: {listed(rare)}.")
    return kept


def _reader_notes(panel: Panel, asked: AnyArray) -> list[str]:
    if panel.reader is None:
        return ["There is one prompt: no classifier can read it, so prompt accuracy and usefulness are left out."]
    unread = [repr(name) for name in np.setdiff1d(asked, panel.reader.prompts).tolist()]
    return [f"Prompt accuracy leaves out prompts that the judge has no image of: {listed(unread)}."] if unread else []


def _refit(model: Any) -> Fit | None:
    """Fits a clone of a scikit-learn estimator."""
    from sklearn.base import clone

    if not hasattr(model, "get_params"):
        return None
    return lambda images, prompts: clone(model).fit(images, prompts)


def _settings(
    n_samples: int, train: measures.Pairs, test: measures.Pairs, random_state: int, fitted_on: str
) -> dict[str, Any]:
    from .. import __version__

    return {
        "n_samples": int(n_samples),
        "n_train": len(train[0]),
        "n_test": len(test[0]),
        "prompts": len(np.unique(train[1])),
        "image_shape": list(train[0].shape[1:]),
        "random_state": int(random_state),
        "fitted_on": fitted_on,
        "version": __version__,
    }


def _list_pairs(pairs: tuple[Index, Index], found: Memorisation) -> list[dict[str, float]]:
    return [
        {"sample": int(i), "train": int(j), "distance": float(found.distances[i])} for i, j in zip(*pairs, strict=True)
    ]
