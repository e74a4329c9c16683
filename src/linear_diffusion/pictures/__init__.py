"""Pictures: images, trajectories and weights as PNG and GIF.

    images (n, h, w[, 3]) --to_tiles--> tiles, uint8 --grid--> one picture (H, W[, 3]), uint8 --save_png--> a file

In a notebook, `show` shows images. A picture is a white page; a thin grey line around each image says where it ends.
Weights have a sign: black is 0, warm is positive, cold is negative, each picture by its own largest value. Pillow is
imported at first use.
"""

from collections.abc import Sequence
from io import BytesIO
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.files import write_files
from ..utils.types import AnyArray, Array, Index
from .lettering import line_height, text_width, write

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..model import LinearDiffusion

Texts = Sequence[Any] | AnyArray
"""Prompts or other texts."""
_PAGE, _EDGE = 255, 176
_TILE = 84
"""Small images are enlarged to about this height."""
_LABEL_WIDTH = 260
"""Longer row labels are cut."""
_LARGEST = 80_000_000
"""Pixels of a picture at most; Pillow warns of larger files when it reads them."""
_SIGNED = (-1.0, -0.55, 0.0, 0.55, 1.0)
_COLD_TO_WARM = ((176, 228, 255), (38, 118, 216), (10, 10, 12), (216, 92, 30), (255, 226, 158))


def to_tiles(X: Any, pixel_range: tuple[float, float] | None = None) -> AnyArray:
    """Images as uint8.

    Parameters
    ----------
    X : array of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), or rows (n, d) of square images
    pixel_range : (float, float), optional
        What is black and what is white. By default (0, 255) for integers within it; else (0, 1), or their own range
        where they leave it.

    Returns
    -------
    array of shape (n, h, w) or (n, h, w, 3), uint8

    Raises
    ------
    ValueError
        If these are no images.

    Examples
    --------
    >>> to_tiles(np.array([[0.0, 0.2, 0.6, 1.0]]))
    array([[[  0,  51],
            [153, 255]]], dtype=uint8)
    """
    images = as_images(X)
    if images.dtype.kind in "iu" and pixel_range is None and images.size and 0 <= images.min() <= images.max() <= 255:
        pixel_range = 0.0, 255.0
    if images.dtype == np.uint8 and pixel_range in (None, (0.0, 255.0)):
        return images
    if pixel_range is None:
        low, high = min(float(images.min(initial=0.0)), 0.0), max(float(images.max(initial=1.0)), 1.0)
    else:
        low, high = pixel_range
    return np.rint(np.clip((images.astype(np.float64) - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def as_images(X: Any) -> AnyArray:
    """Images (n, h, w) or (n, h, w, 3); rows (n, d) are squares."""
    images: AnyArray = np.asarray(X)
    if images.ndim == 2 and (side := isqrt(images.shape[1])) ** 2 == images.shape[1]:
        return images.reshape(len(images), side, side)
    if images.ndim == 4 and images.shape[-1] == 1:
        return images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3):
        return images
    raise ValueError(
        f"an array of shape {images.shape} cannot be drawn, only images: grey (n, h, w), RGB (n, h, w, 3), or rows "
        "(n, d) of square grey images."
    )


def show(
    images: Any,
    n_columns: int | None = None,
    *,
    pixel_range: tuple[float, float] | None = None,
    labels: Texts | None = None,
    captions: Texts | None = None,
    zoom: int | None = None,
) -> "Image":
    """Images side by side as one picture, which a notebook shows.

    Parameters
    ----------
    images : array of shape (n, h, w), (n, h, w, 3) or (n, d)
        Such as `LinearDiffusion.sample` returns; other parameters are those of `grid`.

    Returns
    -------
    PIL.Image.Image
        A notebook shows it at the end of a cell. In a script, ``.show()`` opens a window and ``.save("a.png")`` writes.

    Raises
    ------
    ValueError
        As in `grid`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from linear_diffusion import LinearDiffusion
    >>> digits = load_digits()
    >>> model = LinearDiffusion(styles=1, random_state=0).fit(digits.images / 16, digits.target)
    >>> images, prompts = model.sample(20)
    >>> show(images, captions=prompts).mode  # grey
    'L'
    """
    from PIL import Image

    page = grid(images, n_columns, pixel_range=pixel_range, labels=labels, captions=captions, zoom=zoom)
    return Image.fromarray(page)


def grid(
    images: Any,
    n_columns: int | None = None,
    *,
    pixel_range: tuple[float, float] | None = None,
    labels: Texts | None = None,
    captions: Texts | None = None,
    zoom: int | None = None,
) -> AnyArray:
    """Images side by side, row by row, as an array.

    Parameters
    ----------
    images : array
        As in `to_tiles`.
    n_columns : int, optional
        By default 10, and as many as rows for more than a hundred images.
    pixel_range : (float, float), optional
        As in `to_tiles`.
    labels : sequence of prompts, optional
        One per row, at its start.
    captions : sequence of prompts, optional
        One per image, below it.
    zoom : int, optional
        How many times larger; by default as many as make small images about 84 pixels high.

    Returns
    -------
    array of shape (H, W) or (H, W, 3), uint8

    Raises
    ------
    ValueError
        If these are no images, the picture would be too large, or there are not as many texts as rows or images.

    Examples
    --------
    >>> grid(np.zeros((3, 28, 28)), 2).shape
    (195, 195)
    """
    tiles = to_tiles(images, pixel_range)
    n_columns = max(min(n_columns or _columns(len(tiles), 10), len(tiles)), 1)
    return _page(tiles, np.arange(len(tiles)), n_columns, labels=labels, captions=captions, zoom=zoom)


def _page(
    tiles: AnyArray,
    places: Index,
    n_columns: int,
    *,
    labels: Texts | None = None,
    captions: Texts | None = None,
    zoom: int | None = None,
) -> AnyArray:
    """Tiles at places that are counted row by row; a place without a tile is white."""
    h, w = tiles.shape[1:3]
    n_rows = -(-(int(places.max(initial=-1)) + 1) // n_columns)
    zoom = zoom or _zoom(h, w, n_rows, n_columns)
    h, w = h * zoom, w * zoom
    gap, margin, size, small = max(zoom, 3), 12, min(max(h // 4, 13), 24), min(max(h // 6, 12), 18)
    names, below = _texts(labels, n_rows, "labels", "row"), _texts(captions, len(tiles), "captions", "image")
    left = margin + (min(text_width(names, size), _LABEL_WIDTH) + margin if names else 0)
    row_height = h + gap + (line_height(small) + 4 if below else 0)
    height, width = 2 * margin + n_rows * row_height - gap, left + margin + n_columns * (w + gap) - gap
    if height * width > _LARGEST:
        raise ValueError(
            f"{len(tiles):,} images make a picture of {width:,} x {height:,} pixels; draw fewer, or write .npz."
        )
    page = np.full((height, width, *tiles.shape[3:]), _PAGE, np.uint8)
    corners = [(margin + i // n_columns * row_height, left + i % n_columns * (w + gap)) for i in places.tolist()]
    for tile, (y, x) in zip(tiles, corners, strict=True):
        page[y - 1 : y + h + 1, x - 1 : x + w + 1] = _EDGE
        page[y : y + h, x : x + w] = tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
    starts = [(text, left - margin, margin + row * row_height + h // 2) for row, text in enumerate(names)]
    page = write(page, starts, size, "rm", _LABEL_WIDTH)
    under = [(text, x + w // 2, y + h + 4 + small) for text, (y, x) in zip(below, corners, strict=False)]
    return write(page, under, small, "ms", w)


def _texts(texts: Texts | None, n: int, name: str, each: str) -> list[str]:
    if texts is not None and len(texts) != n:
        raise ValueError(f"{name} has {len(texts)} texts; give one for each {each}, {n} in all.")
    return [] if texts is None else [str(text) for text in texts]


def film_strip(
    frames: Any, n_frames: int = 10, *, pixel_range: tuple[float, float] | None = None, captions: Texts | None = None
) -> AnyArray:
    """One image's way from noise, in a row.

    ``film_strip(trajectory[:, 0])`` shows the first image of what ``sample(..., return_trajectory=True)`` returns.

    Parameters
    ----------
    frames : array of shape (n, h, w[, 3]) or (n, d)
        One image at each level.
    n_frames : int
        How many to show, evenly spaced, with the first and the last.
    pixel_range : (float, float), optional
        As in `to_tiles`.
    captions : sequence of n str, optional
        By default the number of each step.
    """
    chosen = pick(len(frames), n_frames)
    captions = captions or step_names(len(frames))
    return grid(
        np.asarray(frames)[chosen], len(chosen), pixel_range=pixel_range, captions=[captions[i] for i in chosen]
    )


def step_names(n: int) -> list[str]:
    """What to call the pictures of a trajectory.

    >>> step_names(3)
    ['noise', 'step 1', 'step 2']
    """
    return ["noise", *(f"step {i}" for i in range(1, n))]


def sheet(
    images: Any, labels: Texts, *, pixel_range: tuple[float, float] | None = None, most: int | None = None
) -> AnyArray:
    """A row of images for each label, or several rows where there are many.

    Parameters
    ----------
    images : array of shape (len(labels) * m, ...), or list of len(labels) arrays
        As in `to_tiles`. An array holds m for the first label, m for the second, and so on; a list, those of each.
    labels : sequence of prompts
    pixel_range : (float, float), optional
        As in `to_tiles`.
    most : int, optional
        Images in a row at most; by default 20, and as many as rows for more than 400.

    Returns
    -------
    array of shape (H, W) or (H, W, 3), uint8

    Raises
    ------
    ValueError
        If these are no images, or the picture would be too large.

    Examples
    --------
    >>> sheet(np.zeros((6, 28, 28)), ["a", "b"]).shape[0], sheet(np.zeros((6, 28, 28)), ["a", "b"], most=2).shape[0]
    (195, 369)
    """
    groups = images if isinstance(images, list) else np.split(np.asarray(images), len(labels))
    tiles = [to_tiles(group, pixel_range) for group in groups]
    longest = max(map(len, tiles))
    n_columns = -(-longest // -(-longest // (most or _columns(longest, 20))))
    n_rows = [-(-len(group) // n_columns) for group in tiles]
    starts = [text for label, n in zip(labels, n_rows, strict=True) for text in (label, *[""] * (n - 1))]
    first = n_columns * np.cumsum([0, *n_rows[:-1]])
    places = np.concatenate([start + np.arange(len(group)) for start, group in zip(first, tiles, strict=True)])
    return _page(np.concatenate(tiles), places, n_columns, labels=starts if any(map(str, starts)) else None)


def pick(n: int, n_frames: int) -> Index:
    """Positions of n_frames out of n, evenly spaced, the first and the last among them.

    >>> pick(51, 6)
    array([ 0, 10, 20, 30, 40, 50])
    """
    if n_frames < 2:
        raise ValueError(f"{n_frames} frames are too few; a film has its first and its last at least.")
    return np.unique(np.rint(np.linspace(0, n - 1, min(n_frames, n))).astype(np.intp))


def side_by_side(pictures: Sequence[AnyArray], titles: Sequence[str]) -> AnyArray:
    """Pictures of one height next to each other, each below its title."""
    gap = 24
    header = np.full((48, sum(p.shape[1] + gap for p in pictures) - gap, *pictures[0].shape[2:]), _PAGE, np.uint8)
    space = np.full((pictures[0].shape[0], gap, *pictures[0].shape[2:]), _PAGE, np.uint8)
    body = np.hstack([part for picture in pictures for part in (space, picture)][1:])
    starts = np.cumsum([0, *(p.shape[1] + gap for p in pictures[:-1])])
    texts = [
        (title, int(start) + p.shape[1] // 2, 30) for title, start, p in zip(titles, starts, pictures, strict=True)
    ]
    return np.vstack([write(header, texts, 24, "mm", max(p.shape[1] for p in pictures)), body])


def components(model: "LinearDiffusion", n: int = 60, n_columns: int = 12) -> AnyArray:
    """The first principal components, the axes of the latent space, in the order of their variance."""
    return grid(_signed(model, model.components_[:n]), n_columns)


def prompt_means(model: "LinearDiffusion", n_columns: int = 10) -> AnyArray:
    """The mean image of each prompt, decoded from its mean latent."""
    means = model.inverse_transform(model.means_)
    return grid(means, n_columns, pixel_range=range_of(model), captions=model.classes_)


def eigenvectors(model: "LinearDiffusion", n: int = 10, n_prompts: int = 20) -> AnyArray:
    """The denoiser's eigenvectors, decoded: one row per prompt, in the order of their variance.

    These are the directions that the denoiser lets through, the first one the most; they are those of the
    prompt's covariance.
    """
    n = min(n, model.latent_dim_)
    _, vectors = np.linalg.eigh(model.covariances_[:n_prompts])
    vectors = vectors[:, :, ::-1][:, :, :n].swapaxes(-1, -2)  # (p, n, k)
    pixels = (vectors @ model.encoder_.to_pixels).reshape(-1, model.n_features_in_)
    largest = np.take_along_axis(pixels, np.abs(pixels).argmax(axis=1, keepdims=True), axis=1)
    return grid(_signed(model, pixels * np.sign(largest)), n, labels=model.classes_[:n_prompts])


def styles(model: "LinearDiffusion", n: int = 15, n_prompts: int = 20) -> AnyArray:
    """The mean images of each prompt's most frequent styles: one row per prompt, the most frequent first."""
    rows = []
    for shares, means in zip(model.style_weights_[:n_prompts], model.style_means_, strict=False):
        most = np.argsort(-shares, kind="stable")[:n]
        rows.append(model.inverse_transform(means[most]))
    return sheet(rows, model.classes_[:n_prompts], pixel_range=range_of(model), most=n)


def range_of(model: "LinearDiffusion") -> tuple[float, float] | None:
    """What a fitted model's images call black and white."""
    return model.decoder_.image.pixel_range


def signed(X: Any) -> AnyArray:
    """Images of signed numbers as RGB, each by its own largest: black (grey, for RGB images) is 0.

    Examples
    --------
    >>> signed(np.zeros((1, 1, 1))).tolist()
    [[[[10, 10, 12]]]]
    """
    images = as_images(X).astype(np.float64)
    largest = np.abs(images).max(axis=tuple(range(1, images.ndim)), keepdims=True)
    images = np.divide(images, largest, out=np.zeros_like(images), where=largest > 0)
    colours: AnyArray = 127.5 + 127.5 * images
    if images.ndim == 3:
        channels = zip(*_COLD_TO_WARM, strict=True)
        colours = np.stack([np.interp(images, _SIGNED, stops) for stops in channels], axis=-1)
    return np.rint(colours).astype(np.uint8)


def save_png(picture: AnyArray, path: str | Path) -> None:
    """Write a picture (H, W) or (H, W, 3), uint8; the file appears whole or not at all."""
    from PIL import Image

    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    write_files(Path(path).parent, {Path(path).name: content.getvalue()})


def save_gif(
    frames: Any,
    path: str | Path,
    *,
    pixel_range: tuple[float, float] | None = None,
    captions: Texts | None = None,
    frame_ms: int = 80,
    last_ms: int = 2000,
) -> None:
    """Write images (n, h, w[, 3]) as an animation that rests on its last frame and starts again.

    With captions, each frame is a page with its caption below it. Without, frames that are equal to the one before are
    one frame in the file, shown for as long. The file appears whole or not at all.
    """
    from PIL import Image

    tiles = to_tiles(frames, pixel_range)
    zoom = max(280 // max(tiles.shape[1:3]), 1)
    if captions is None:
        pages = [tile.repeat(zoom, axis=0).repeat(zoom, axis=1) for tile in tiles]
    else:
        pages = [grid(tile[None], 1, captions=[text], zoom=zoom) for tile, text in zip(tiles, captions, strict=True)]
    shown = [Image.fromarray(page) for page in pages]
    content = BytesIO()
    durations = [frame_ms] * (len(shown) - 1) + [last_ms]
    shown[0].save(content, "GIF", save_all=True, append_images=shown[1:], duration=durations, loop=0)
    write_files(Path(path).parent, {Path(path).name: content.getvalue()})


def _signed(model: "LinearDiffusion", rows: Array) -> AnyArray:
    return signed(rows.reshape(len(rows), *model.image_shape_))


def _columns(n: int, least: int) -> int:
    """Columns of a square of n places, or a few where it would be small."""
    return max(least, isqrt(max(n - 1, 0)) + 1)


def _zoom(h: int, w: int, n_rows: int, n_columns: int) -> int:
    """As large as about 84 pixels a tile, 2,400 a row and 20,000 a column allow."""
    return max(min(round(_TILE / max(h, w)), 2400 // (n_columns * w), 20_000 // max(n_rows * h, 1)), 1)
