"""From what was typed to what the library takes, and from a model to what can be said of it."""

import re
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .console import Log

if TYPE_CHECKING:
    from .._types import AnyArray
    from ..model import LinearDiffusion

_PART = r"(.*?\S):([+-]?[\d.]+(?:[eE][+-]?\d+)?)"
"""A prompt and its weight in a mix."""


def open_model(path: Path, schedule: str | None, log: Log) -> "LinearDiffusion":
    """Load a model and give it another schedule."""
    with log.step("load", f"reading {path}"):
        from .. import LinearDiffusion

        model = LinearDiffusion.from_pretrained(path)
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
        "dtype": model._image.dtype,
        "pixel_range": model._image.pixel_range,
        "latent_dim": model.latent_dim_,
        "explained_variance": round(float(model.explained_variance_ratio_.sum()), 6),
        "schedule": model.schedule,
        "training": model.training,
        "standardize": model.standardize,
        "tone": model._has_tone(),
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


def parse_styles(text: str) -> int | str:
    """How many styles a prompt has at most, or "auto"."""
    if text != "auto" and not text.isdigit():
        raise ValueError(f"--styles {text} must be a whole number >= 1, or auto.")
    return text if text == "auto" else int(text)


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


def prompt_text(prompt: Any) -> str:
    """A prompt, or a mix as `parse_prompt` reads it."""
    return " ".join(f"{p}:{w:g}" for p, w in prompt.items()) if isinstance(prompt, dict) else str(prompt)


def read_picture(path: Path, model: "LinearDiffusion") -> "AnyArray":
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

    shape, pixel_range = model.image_shape_, model._image.pixel_range
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or pixel_range is None:
        raise ValueError(f"--init needs a model of grey or RGB images; this one's are arrays of shape {shape}.")
    (height, width), (low, high) = shape[:2], pixel_range
    pixels = read_images([Encoded(str(path), path)], (height, width), "RGB" if len(shape) == 3 else "L")
    scaled = low + pixels.astype(np.float64) * ((high - low) / 255)
    return (np.rint(scaled) if model._image.dtype == "uint8" else scaled).astype(model._image.dtype)


def parse_mode(gray: bool, rgb: bool) -> Literal["L", "RGB"] | None:
    """What ``load_images`` calls grey and RGB."""
    if rgb:
        return "RGB"
    return "L" if gray else None


def count(n: int, what: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> count(1, "step"), count(1000, "step")
    ('1 step', '1,000 steps')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")
