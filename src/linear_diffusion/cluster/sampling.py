"""Samples on workers: each draws blocks of images, and this process writes them to one file, in their order.

    what each image is drawn from --blocks of 4,096--> workers --images--> .zarr, .npz or .parquet

Components of all images are chosen first, and a block has its own random stream, so that image i is the one that
`LinearDiffusion.sample` gives.
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..draw import Run, draw
from ..plan import Plan
from ..text.mixes import as_text
from ..utils.progress import tell
from ..utils.streams import BLOCK, blocks
from ..utils.types import AnyArray, Index
from .files import Encode, image_file
from .workers import workers


def sample_to(
    model: Any,
    path: str | PathLike[str],
    n_samples: int | None = None,
    prompts: Any = None,
    *,
    client: Any = None,
    **options: Any,
) -> Path:
    """Turn noise into images in a file, which need not fit in memory.

    Parameters
    ----------
    model : LinearDiffusion
        A fitted model.
    path : path
        What is written, whole or not at all: a Zarr folder (.zarr) or .npz with arrays ``images`` and ``prompts``, or a
        .parquet file with columns ``image``, as PNG, and ``prompt``, or ``images``, as lists of numbers, where they are
        no pictures of bytes. `load_images` reads all three.
    n_samples, prompts
        As in `LinearDiffusion.sample`.
    client : distributed.Client or str, optional
        Who draws: the workers of a Dask client, those of a scheduler at an address such as "tcp://host:8786",
        "processes" of this machine, or "threads". None is the active client, or else threads.
    **options
        Of `LinearDiffusion.sample`, but ``return_trajectory``.

    Returns
    -------
    Path
        What was written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from linear_diffusion import LinearDiffusion, load_images
    >>> model = LinearDiffusion(styles=1, latent_dim=20, random_state=0).fit(*load_images("digits"))
    >>> with TemporaryDirectory() as folder:
    ...     images, prompts = load_images(sample_to(model, Path(folder, "many.npz"), 5000), random_state=None)
    >>> images.shape
    (5000, 8, 8)
    """
    path, image = Path(path), model.decoder_.image
    planned, run, named = model._planned(n_samples, prompts, at_once=BLOCK, **options)
    named = np.array([as_text(prompt) for prompt in named]) if named.dtype == object else named
    n = len(planned.index)
    with image_file(path, n, image.shape, np.dtype(image.dtype)) as file, workers(client) as found:
        shared = planned.part(planned.index[:0], 0), run, file.encode
        parts = [(planned.index[rows], rows.start) for _, rows in blocks(n)]
        drawn: Iterator[Any] = found.each(_draw, shared, parts)
        for _, rows in blocks(n):
            file.write(next(drawn), named[rows])
            tell(f"samples: {rows.stop:,} of {n:,} images")
    return path


def _draw(shared: tuple[Plan, Run, Encode | None], index: Index, first: int) -> AnyArray | list[bytes]:
    planned, run, encode = shared
    images = draw(planned.part(index, first), run)
    return images if encode is None else encode(images)
