"""From what a model returned to the files that the commands write."""

from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import pictures
from .._types import AnyArray
from ..files import write_files

if TYPE_CHECKING:
    from ..model import LinearDiffusion

_MOST = 20_000_000
"""Pixels of samples that are drawn in one picture, before they are enlarged."""


def require_drawable(model: "LinearDiffusion", n: int) -> None:
    """Refuse, before any work, what makes no picture.

    Raises
    ------
    ValueError
        If the model's rows are no images, or n of them are too many for one picture.
    """
    try:
        pictures.as_images(np.empty((0, *model.image_shape_)))
    except ValueError:
        raise ValueError(
            f"the model makes arrays of shape {model.image_shape_}; only images can be drawn, grey (h, w) or RGB "
            "(h, w, 3), but sample writes any array to .npz."
        ) from None
    if n * model.n_features_in_ > _MOST:
        raise ValueError(f"{n:,} images are too many for one picture; draw fewer, or write .npz.")


def write_samples(
    model: "LinearDiffusion", images: AnyArray, drawn: ArrayLike, prompts: Sequence[str], out: Path
) -> None:
    """Write samples: a row a prompt, or one grid with captions where no prompt was given; or arrays."""
    out.parent.mkdir(parents=True, exist_ok=True)
    names = np.asarray(drawn)
    names = names.astype(str) if names.dtype == object else names  # an object array would be a pickle
    if out.suffix.lower() == ".npz":
        content = BytesIO()
        np.savez_compressed(content, images=images, prompts=names)
        write_files(out.parent, {out.name: content.getvalue()})
        return
    pixel_range = pictures.range_of(model)
    if prompts:
        picture = pictures.sheet(images, prompts, pixel_range=pixel_range)
    else:
        captions = [str(name) for name in names] if len(model.classes_) > 1 else None
        n_columns = max(10, ceil(sqrt(len(images))))
        picture = pictures.grid(images, n_columns, pixel_range=pixel_range, captions=captions)
    pictures.save_png(picture, out)


def write_trace(model: "LinearDiffusion", path: AnyArray, n_frames: int | None, out: Path) -> int:
    """Write one image's way from noise, and return how many frames it shows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    pixel_range = pictures.range_of(model)
    if out.suffix.lower() == ".gif":
        chosen = pictures.pick(len(path), n_frames or len(path))
        pictures.save_gif(path[chosen], out, pixel_range=pixel_range)
    else:
        chosen = pictures.pick(len(path), n_frames or 10)
        pictures.save_png(pictures.film_strip(path, len(chosen), pixel_range=pixel_range), out)
    return len(chosen)
