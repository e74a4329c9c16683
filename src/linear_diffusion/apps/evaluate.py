"""From a model and the name of a data set to an evaluation: which images it was fitted on, and which are held out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import load_images
from ..datasets.idx import holds_idx
from ..evaluation import Evaluation, evaluate
from ..evaluation.splits import split
from .arguments import parse_mode, parse_size
from .console import Log

if TYPE_CHECKING:
    from .._types import AnyArray
    from ..model import LinearDiffusion

SHARE = 0.2
"""What is held out where the data has no test split of its own."""


def own_options(model: "LinearDiffusion", size: str | None, gray: bool, rgb: bool) -> dict[str, Any]:
    """Size and mode to read images in: as asked for, else the model's, as it was fitted on them."""
    shape = model.image_shape_
    drawn = model._image.dtype == "uint8" and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
    own: dict[str, Any] = {"size": shape[:2], "mode": "RGB" if len(shape) == 3 else "L"} if drawn else {}
    asked = {"size": parse_size(size), "mode": parse_mode(gray, rgb)}
    return own | {name: value for name, value in asked.items() if value is not None}


def read_pairs(
    data: str, test: str | None, share: float | None, seed: int, log: Log, options: dict[str, Any]
) -> tuple[tuple["AnyArray", "AnyArray"], tuple["AnyArray", "AnyArray"], str]:
    """Training images, held-out images, and where the latter are from."""
    with log.bar("load", f"reading {data}") as progress:
        options = options | {"random_state": seed, "progress": progress}
        images, prompts = load_images(data, **options)
        if test is not None:
            return (images, prompts), load_images(test, **options), test
        if share is None and has_test_split(data):
            return (images, prompts), load_images(data, split="test", **options), f"the test split of {data}"
    share = SHARE if share is None else share
    rest, part = split(prompts.astype(str), share, seed)
    return (images[rest], prompts[rest]), (images[part], prompts[part]), f"{share:g} of {data}, by seed {seed}"


def has_test_split(data: str) -> bool:
    """Whether a data set comes in two parts."""
    return data in ("mnist", "fashion-mnist") or (Path(data).is_dir() and holds_idx(Path(data)))


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

        with log.step("fit", f"fitting {len(train[0]):,} images"):
            model = clone(model).fit(*train)
    return evaluate(model, train, test, n_samples=n, random_state=seed, inception=inception, step=log.step)


def describe(evaluation: Evaluation, held_out: str, out: Path, *, refit: bool) -> str:
    """The table, and what to do next."""
    lines = [evaluation.to_table(), f"Held out: {held_out}.", f"{out}: the report, with pictures"]
    if not refit and any("was" in text and "fitted" in text for text in evaluation.warnings):
        lines.append("With --refit, a model of the same settings is fitted on the training images and scored.")
    return "\n".join(lines)
