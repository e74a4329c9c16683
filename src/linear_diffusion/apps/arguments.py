"""From what was typed to what the library takes, and from a model to what can be said of it."""

import re
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..exceptions import count
from .console import Log, note

if TYPE_CHECKING:
    from ..datasets import ImageStream
    from ..model import LinearDiffusion
    from ..utils.types import AnyArray

_PART = r"(.*?\S):([+-]?[\d.]+(?:[eE][+-]?\d+)?)"
"""A prompt and its weight in a mix."""


def open_model(path: Path, schedule: str | None, log: Log, *, exact: bool = False) -> "LinearDiffusion":
    """Load a model and give it another schedule.

    Raises
    ------
    ValueError
        If it must be exact, to have densities, and is not.
    """
    with log.step("load", f"reading {path}"):
        from ..model import LinearDiffusion

        model = LinearDiffusion.from_pretrained(path)
    if exact and model.training != "exact":
        raise ValueError(
            f"{path} learned from draws of noise, as --one-shot does, and so has no density to score, classify or "
            "restore by; fit without --one-shot."
        )
    if schedule is not None:
        model.set_params(schedule=schedule)
        model._validate_params()
    return model


def describe(model: "LinearDiffusion", folder: Path) -> dict[str, Any]:
    """What a model is, for machines."""
    files = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()}
    return {
        "model": str(folder),
        "n_images": model.n_images_,
        "prompts": [str(p) for p in model.classes_],
        "weights": [round(float(w), 6) for w in model.weights_],
        "styles": [len(shares) for shares in model.style_weights_],
        "image_shape": list(model.image_shape_),
        "dtype": model.decoder_.image.dtype,
        "pixel_range": model.decoder_.image.pixel_range,
        "latent_dim": model.latent_dim_,
        "explained_variance": round(float(model.explained_variance_ratio_.sum()), 6),
        "schedule": model.schedule,
        "training": model.training,
        "standardize": model.standardize,
        "tone": model.decoder_.curves is not None,
        "text_encoder": str(model.text_encoder),
        "words": cast(Any, model.prior_).words.code.words if model.text_encoder == "words" else None,
        "files": files,
    }


def fresh_seed(seed: int | None) -> int:
    """A seed to print, so that what was drawn can be drawn again."""
    return secrets.randbelow(2**31) if seed is None else seed


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """``32`` or ``48x64`` (height x width)."""
    if text is None:
        return None
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ValueError(f"--size {text} is no size; give N or HxW, e.g. 32 or 48x64.")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def parse_number(text: str) -> int | float:
    """How many components, or which share of the variance."""
    try:
        return int(text) if text.strip("+-").isdigit() else float(text)
    except ValueError:
        raise ValueError(f"--latent-dim {text} is no number; give components, or a share between 0 and 1.") from None


def parse_prompt(text: str, known: Collection[str]) -> str | dict[str, float]:
    """A prompt, or a mix of some: ``3:0.5 8:0.5``. What is itself a known prompt is one, whatever it looks like.

    Examples
    --------
    >>> parse_prompt("3:0.5 red shoe:0.5", ["3", "red shoe"]), parse_prompt("a:1", ["a:1"])
    ({'3': 0.5, 'red shoe': 0.5}, 'a:1')
    """
    if text in known or not re.fullmatch(rf"({_PART}\s+)*{_PART}", text.strip()):
        return text
    mix: dict[str, float] = {}
    for prompt, weight in re.findall(rf"{_PART}(?:\s+|$)", text.strip()):
        mix[prompt] = mix.get(prompt, 0.0) + float(weight)
    return mix


def read_picture(path: Path, model: "LinearDiffusion", resize: Any = "squash") -> "AnyArray":
    """A picture of any size as one that the model knows, shape (1, *image_shape_).

    Raises
    ------
    DataError
        If it cannot be read.
    ValueError
        If the model knows no pictures.
    """
    import numpy as np

    from ..datasets.decode import Encoded, read_images

    shape, pixel_range = model.image_shape_, model.decoder_.image.pixel_range
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or pixel_range is None:
        raise ValueError(f"--init needs a model of grey or RGB images; this one's are arrays of shape {shape}.")
    (height, width), (low, high) = shape[:2], pixel_range
    mode: Any = "RGB" if len(shape) == 3 else "L"
    pixels = read_images([Encoded(str(path), path)], (height, width), mode, resize=resize, report=note)
    scaled = low + pixels.astype(np.float64) * ((high - low) / 255)
    dtype = model.decoder_.image.dtype
    return (np.rint(scaled) if dtype == "uint8" else scaled).astype(dtype)


def reading(
    size: str | None = None, gray: bool = False, rgb: bool = False, crop: bool = False, pad: bool = False
) -> dict[str, Any]:
    """Options of ``load_images`` on sizes and colours, of which two are given at most."""
    for one, other, both in (("--gray", "--rgb", gray and rgb), ("--crop", "--pad", crop and pad)):
        if both:
            raise ValueError(f"{one} and {other} exclude each other; choose one.")
    return {
        "size": parse_size(size),
        "mode": "RGB" if rgb else "L" if gray else None,
        "resize": "crop" if crop else "pad" if pad else "squash",
    }


def own_size(model: "LinearDiffusion") -> dict[str, Any]:
    """Options of ``load_images`` for images as a model was fitted on them; none where it knows no pictures."""
    shape = model.image_shape_
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        return {}
    return {"size": shape[:2], "mode": "RGB" if len(shape) == 3 else "L"}


def describe_data(data: "ImageStream") -> str:
    """What was found: how many images, of which shape, and how many for each prompt.

    Examples
    --------
    >>> import numpy as np
    >>> from linear_diffusion.datasets import ArrayStream
    >>> describe_data(ArrayStream(np.zeros((3, 8, 8)), ["cat", "dog", "cat"]))
    '3 images of 8 x 8, 2 prompts: cat 2, dog 1'
    """
    names, counts = [str(prompt) for prompt in data.classes], data.counts
    text = f"{count(len(data), 'image')} of {' x '.join(map(str, data.image_shape))}"
    if names == [""]:
        return f"{text}, without prompts"
    shown = [f"{name or '(no prompt)'} {n:,}" for name, n in zip(names[:10], counts, strict=False)]
    more = f", ... ({counts.min():,} to {counts.max():,} images for each prompt)" if len(names) > 10 else ""
    return f"{text}, {count(len(names), 'prompt')}: {', '.join(shown)}{more}"


def shorten(names: Collection[str], most: int = 10) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most:,} more (--json lists all)" if len(names) > most else "")
