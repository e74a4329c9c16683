"""From what a model returned to the files that the commands write."""

from collections.abc import Sequence
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import pictures
from ..utils.files import write_files
from ..utils.types import AnyArray

if TYPE_CHECKING:
    from ..model import LinearDiffusion

_MOST = 70_000_000
"""Pixels of one picture, before images are enlarged."""
_ROOM = 24, 3
"""Pixels below an image, with its caption, and beside it."""


def require_drawable(model: "LinearDiffusion", n: int) -> None:
    """Refuse, before any work, what makes no picture.

    Raises
    ------
    ValueError
        If the model's rows are no images, or n of them are too many for one picture.
    """
    try:
        h, w = pictures.as_images(np.empty((0, *model.image_shape_))).shape[1:3]
    except ValueError:
        raise ValueError(
            f"the model makes arrays of shape {model.image_shape_}; only images can be drawn, grey (h, w) or RGB "
            "(h, w, 3), but sample writes any array to .npz."
        ) from None
    if n * (h + _ROOM[0]) * (w + _ROOM[1]) > _MOST:
        raise ValueError(f"{n:,} images are too many for one picture; draw fewer, or write .npz.")


def write_samples(
    model: "LinearDiffusion",
    images: AnyArray,
    drawn: ArrayLike,
    prompts: Sequence[str],
    out: Path,
    source: tuple[str, AnyArray] | None = None,
) -> None:
    """Write samples: one row per prompt, or one grid with captions where no prompt was given; or arrays.

    A source, the name of a picture and the picture (1, ...) that samples started from, is a row above them.
    """
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
        rows, labels = np.split(images, len(prompts)), list(prompts)
        if source is not None:
            rows, labels = [source[1], *rows], [source[0], *labels]
        picture = pictures.sheet(rows, labels, pixel_range=pixel_range)
    else:
        captions = names if len(model.classes_) > 1 else None
        picture = pictures.grid(images, pixel_range=pixel_range, captions=captions)
    pictures.save_png(picture, out)


def trace(model: "LinearDiffusion", prompt: str, **call: Any) -> tuple[AnyArray, list[str]]:
    """One image's way from noise, and what to call each picture; curves, if there are any, are a step of their own."""
    plain = copy(model)
    plain.decoder_ = model.decoder_.plain()
    way = plain.sample(1, prompt, return_trajectory=True, **call)[2][:, 0]
    finished = model.sample(1, prompt, return_trajectory=True, **call)[2][-1]
    names = pictures.step_names(len(way))
    if np.array_equal(way[-1], finished[0]):
        return way, names
    return np.concatenate([way, finished]), [*names, "curves"]


def write_trace(model: "LinearDiffusion", way: AnyArray, names: Sequence[str], n_frames: int | None, out: Path) -> int:
    """Write what `trace` returns as a strip or an animation, and return how many frames it shows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    film, n = out.suffix.lower() == ".gif", len(way)
    most = n_frames or (n if film else 10)
    if names[-1] == "curves" and most > 2:  # with what they make of the picture before them
        chosen = np.append(pictures.pick(n - 1, most - 1), n - 1)
    else:
        chosen = pictures.pick(n, most)
    shown, captions, pixel_range = way[chosen], [names[i] for i in chosen], pictures.range_of(model)
    if film:
        pictures.save_gif(shown, out, pixel_range=pixel_range, captions=captions)
    else:
        pictures.save_png(pictures.grid(shown, len(shown), pixel_range=pixel_range, captions=captions), out)
    return len(chosen)
