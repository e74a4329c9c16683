"""From what was typed to what the library takes, and from a model to what can be said of it."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .console import Log

if TYPE_CHECKING:
    from ..model import LinearDiffusion


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
