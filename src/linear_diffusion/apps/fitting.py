"""Fitting a model on data as the command does: as arrays, or batch by batch where these would not fit in memory."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import NotEnoughMemoryError, count
from .arguments import describe_data
from .console import Log, note

if TYPE_CHECKING:
    from ..model import LinearDiffusion


def fit_data(
    model: "LinearDiffusion",
    data: str,
    options: dict[str, Any],
    log: Log,
    *,
    stream: bool,
    scheduler: str | None = None,
    checkpoint: Path | None = None,
) -> bool:
    """Fit a model on a source of images, and say what was found and how it is read.

    Parameters
    ----------
    model : LinearDiffusion
        With its settings.
    data : str
        As `load_images` takes it, with ``options``.
    options : dict
        Of `load_images`.
    log : Log
        Times the steps "load" and "fit".
    stream : bool
        Whether to read batch by batch in any case.
    scheduler : str, optional
        Whose workers read them: an address, "processes" or "threads".
    checkpoint : Path, optional
        Where `fit_batches` keeps how far the work is; then they are read batch by batch.

    Returns
    -------
    bool
        Whether the images were read batch by batch.
    """
    options = options | {"report": cache(note)}  # what is found twice is said once
    if scheduler is not None:
        _fit_on_workers(model, data, options, log, scheduler)
        return True
    if not stream and checkpoint is None:
        try:
            _fit_arrays(model, data, options, log)
        except NotEnoughMemoryError as error:
            if not hasattr(model, "fit_batches"):
                raise
            note(f"{str(error).partition(';')[0]}. They are read batch by batch instead, several times over.")
        else:
            return False
    _fit_stream(model, data, options, log, checkpoint)
    return True


def _fit_arrays(model: "LinearDiffusion", data: str, options: dict[str, Any], log: Log) -> None:
    from ..datasets import ArrayStream, load_images

    with log.bar("load", f"reading {data}") as progress:
        images, prompts = load_images(data, **options, progress=progress)
    note(f"{data}: {describe_data(ArrayStream(images, prompts))}.")
    with log.step("fit", f"fitting {count(len(images), 'image')}"):
        model.fit(images, prompts)


def _fit_stream(
    model: "LinearDiffusion", data: str, options: dict[str, Any], log: Log, checkpoint: Path | None
) -> None:
    from ..datasets import load_images

    with log.bar("load", f"reading what {data} holds") as progress:
        opened = load_images(data, **options, progress=progress, stream=True)
    note(f"{data}: {describe_data(opened)}; read batch by batch.")
    with log.step("fit", f"fitting {count(len(opened), 'image')}"):
        model.fit_batches(opened, checkpoint=checkpoint)


def _fit_on_workers(model: "LinearDiffusion", data: str, options: dict[str, Any], log: Log, scheduler: str) -> None:
    from ..cluster.workers import workers
    from ..datasets import ArrayStream, load_images

    with workers(scheduler) as found:  # before the data is read, which can take long
        with log.bar("load", f"reading what {data} holds") as progress:
            opened = load_images(data, **options, progress=progress, stream=True)
            if opened.between is None:  # it can only be read from its beginning, so that it is sent from here
                opened = ArrayStream(*load_images(data, **options, progress=progress))
        note(f"{data}: {describe_data(opened)}; read on {found}.")
        with log.step("fit", f"fitting {count(len(opened), 'image')}"):
            model.fit_batches(opened, client=found.client or "threads")
