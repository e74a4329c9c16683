"""From a model and the name of a data set to an evaluation: which images it was fitted on, and which are held out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import load_images
from ..datasets.folder import find_splits, walk
from ..datasets.idx import holds_idx
from ..evaluation.report import Evaluation
from ..evaluation.run import evaluate
from ..evaluation.splits import split
from ..exceptions import count
from .console import Log, note

if TYPE_CHECKING:
    from ..model import LinearDiffusion
    from ..utils.types import AnyArray

SHARE = 0.2
"""What is held out where the data has no test split of its own."""


def read_pairs(
    data: str, test: str | None, share: float | None, seed: int, log: Log, options: dict[str, Any]
) -> tuple[tuple["AnyArray", "AnyArray"], tuple["AnyArray", "AnyArray"], str]:
    """Training images, held-out images, and where the latter are from."""
    with log.bar("load", f"reading {data}") as progress:
        own = test_split(data) if share is None and test is None else None
        options = options | {"random_state": seed, "progress": progress, "report": note}
        images, prompts = load_images(data, **options, split="train" if own else None)
        if test is not None:
            return (images, prompts), load_images(test, **options), test
        if own:
            return (images, prompts), load_images(data, split=own, **options), f"the {own} split of {data}"
    share = SHARE if share is None else share
    rest, part = split(prompts.astype(str), share, seed)
    return (images[rest], prompts[rest]), (images[part], prompts[part]), f"{share:g} of {data}, by seed {seed}"


def test_split(data: str) -> str | None:
    """The part of a data set that is held out of training, where it comes in parts."""
    folder = Path(data)
    if data in ("mnist", "fashion-mnist") or (folder.is_dir() and holds_idx(folder)):
        return "test"
    parts = find_splits(folder, list(walk(folder))) if folder.is_dir() else {}
    return next((name for name in ("test", "validation") if {name, "train"} <= parts.keys()), None)


def run(
    model: "LinearDiffusion",
    train: tuple["AnyArray", "AnyArray"],
    test: tuple["AnyArray", "AnyArray"],
    n: int,
    seed: int,
    log: Log,
    *,
    refit: bool,
    inception: Path | None = None,
) -> Evaluation:
    """Evaluate the model, or one with its settings fitted on the training images alone."""
    if refit:
        from sklearn.base import clone

        with log.step("fit", f"fitting {count(len(train[0]), 'image')}"):
            model = clone(model).fit(*train)
    return evaluate(model, train, test, n_samples=n, random_state=seed, inception=inception, step=log.step)


def describe(evaluation: Evaluation, held_out: str, out: Path, *, refit: bool) -> str:
    """The table, and what to do next."""
    lines = [evaluation.to_table(), f"Held out: {held_out}.", f"{out}: the report, with pictures"]
    if not refit and any("was" in text and "fitted" in text for text in evaluation.warnings):
        lines.append("With --refit, a model of the same settings is fitted on the training images and scored.")
    return "\n".join(lines)
