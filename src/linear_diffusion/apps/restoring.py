"""Image files in, answers about them out: what score, classify and restore share.

IN (file, folder, data) --read--> images --model--> rows of a table, or image files and a sheet
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import operators, pictures
from ..datasets.common import Resize
from ..datasets.decode import SUFFIXES, Encoded, read_images
from ..datasets.folder import check_split, list_folder, walk
from ..utils.files import write_files
from ..utils.types import AnyArray
from .arguments import own_size
from .console import Log, note

if TYPE_CHECKING:
    from ..model import LinearDiffusion

_ON_SHEET = 10
"""Images on a sheet at most."""
TASKS = {
    "inpaint": "--mask: white pixels are missing",
    "denoise": "--noise: its standard deviation in grey levels, estimated where it is not given",
    "deblur": "--blur: standard deviation of the Gaussian, in pixels",
    "super-resolve": "--factor: how many times smaller the files are",
    "colorize": "",
}


def list_images(where: Path) -> list[Path]:
    """One image file, or the images of a folder and its subfolders."""
    if where.is_dir():
        paths = [path for path in walk(where) if path.suffix.lower() in SUFFIXES]
        if not paths:
            raise ValueError(f"{where} holds no images ({', '.join(SUFFIXES)}).")
        return paths
    if not where.exists():
        raise ValueError(f"{where} does not exist; give an image file or a folder of images.")
    if where.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{where} is no image ({', '.join(SUFFIXES)}).")
    return [where]


def read(
    paths: Sequence[Path],
    shape: tuple[int, ...],
    factor: int = 1,
    resize: Resize = "squash",
    *,
    gray: bool = False,
    strict: bool = False,
) -> AnyArray:
    """Image files in the size that a model (of images of a shape) and a task ask for, as uint8.

    Parameters
    ----------
    factor : int
        How many times smaller than the model's images they are.
    resize : {"squash", "crop", "pad"}
        How files of another size are brought to the model's.
    gray : bool
        Whether they are grey whatever the model's images are.
    strict : bool
        Whether files of another size are refused.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ValueError(f"the model's images have shape {shape}, which no image file has.")
    if factor < 1 or shape[0] % factor or shape[1] % factor:
        raise ValueError(f"--factor {factor} does not divide the model's images of {shape[0]} x {shape[1]} pixels.")
    size = shape[0] // factor, shape[1] // factor
    mode: Any = "RGB" if len(shape) == 3 and shape[2] == 3 and not gray else "L"
    files = [Encoded(str(path), path) for path in paths]
    images = read_images(files, size, mode, resize=resize, report=_refuse if strict else note)
    return images[..., None] if len(shape) == 3 and shape[2] == 1 and not gray else images


def _refuse(sizes: str) -> None:
    what = sizes.split(";")[0].rstrip(".")
    raise ValueError(f"{what}, as the model's images are, and results too; agree by --resize, --crop or --pad.")


def read_data(
    model: "LinearDiffusion", data: str, log: Log, options: dict[str, Any]
) -> tuple[AnyArray, AnyArray, list[str]]:
    """Images as a model sees them, their prompts, and their names: those of files, or numbers."""
    from ..datasets import load_images
    from ..datasets.idx import holds_idx

    where = Path(data)
    with log.step("load", f"reading {data}"):
        if where.is_dir() and not holds_idx(where):
            columns = {name: options[name] for name in ("text_column", "image_column")}
            paths, prompts, notes = list_folder(where, check_split(options["split"]), **columns)
            for line in notes:
                note(line)
            images = read(paths, model.image_shape_, resize=options["resize"])
            return in_units(model, images), prompts, [str(path.relative_to(where)) for path in paths]
        if where.is_file() and where.suffix.lower() in SUFFIXES:
            images = read([where], model.image_shape_, resize=options["resize"])
            return in_units(model, images), np.array([""]), [where.name]
        images, prompts = load_images(data, **own_size(model), **options, report=note)
    if images.shape[1:] != model.image_shape_:
        raise ValueError(f"{data} has images of shape {images.shape[1:]}; the model's are {model.image_shape_}.")
    return in_units(model, images), prompts.astype(str), [str(i) for i in range(len(images))]


def operator_of(
    task: str, shape: tuple[int, ...], mask: Path | None, blur: float | None, factor: int | None
) -> operators.Operator | operators.Mask | None:
    """The operator of a task; None for noise alone.

    Raises
    ------
    ValueError
        If the task is not known, or lacks what it needs, or is given what belongs to another.
    """
    if task not in TASKS:
        raise ValueError(f"--task {task} must be one of {', '.join(TASKS)}.")
    given = {"inpaint": mask, "deblur": blur, "super-resolve": factor}
    options = {"inpaint": "--mask", "deblur": "--blur", "super-resolve": "--factor"}
    for name, value in given.items():
        if name == task and value is None:
            raise ValueError(f"--task {task} needs {TASKS[task]}.")
        if name != task and value is not None:
            raise ValueError(f"{options[name]} belongs to --task {name}, not to {task}.")
    if task == "inpaint":
        missing = read_images([Encoded(str(mask), Path(mask or ""))], size=None, mode="L")[0] > 127
        if missing.shape != shape[:2]:
            raise ValueError(f"{mask} has {missing.shape} pixels (height, width); the model's images have {shape[:2]}.")
        return operators.inpaint(missing)
    if task == "deblur":
        return operators.blur(blur)
    if task == "super-resolve":
        return operators.downsample(factor or 1)
    return operators.grayscale() if task == "colorize" else None


def in_units(model: "LinearDiffusion", images: AnyArray) -> AnyArray:
    """Bytes as a model sees them: as they are, or in its own range of tones."""
    if images.dtype != np.uint8 or model.decoder_.image.dtype == "uint8":
        return images
    low, high = model.decoder_.image.pixel_range or (0.0, 1.0)
    return low + images.astype(np.float64) * ((high - low) / 255)


def restore(
    model: "LinearDiffusion", images: AnyArray, operator: Any, noise: float | None, prompt: str | None
) -> tuple[AnyArray, AnyArray]:
    """Restored images, and how unsure each of their pixels is (its standard deviation), in grey levels of 0 to 255."""
    low, level = 0.0, 1.0
    if model.decoder_.image.dtype != "uint8":
        low, high = model.decoder_.image.pixel_range or (0.0, 1.0)
        level = (high - low) / 255
    noise_std = None if noise is None else noise * level
    seen = in_units(model, images).astype(np.float64)
    found, std = model.restore(seen, operator, noise_std, prompt, return_std=True)
    return np.rint(np.clip((found - low) / level, 0, 255)).astype(np.uint8), std / level


def targets(paths: Sequence[Path], source: Path, out: Path) -> list[Path]:
    """Where restored images go: a file for a file; a folder, with the same names, for a folder."""
    return [(out / path.relative_to(source)).with_suffix(".png") for path in paths] if source.is_dir() else [out]


def write(restored: AnyArray, targets: Sequence[Path]) -> None:
    """Restored images as PNG."""
    for image, target in zip(restored, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        pictures.save_png(image.squeeze(), target)


def sheet(before: AnyArray, restored: AnyArray, std: AnyArray, operator: Any) -> AnyArray:
    """Rows of what was seen, what was restored, and how unsure each pixel is, with a scale below."""
    n = min(len(before), _ON_SHEET)
    shown = before[:n]
    if isinstance(operator, operators.Mask):
        missing = operator.on(restored.shape[1:], len(before))[:n].reshape(shown.shape)
        shown = np.where(missing, np.uint8(128), shown)
    factor = restored.shape[1] // shown.shape[1]
    shown = pictures.as_images(shown.repeat(factor, axis=1).repeat(factor, axis=2))
    restored, unsure = pictures.as_images(restored[:n]), pictures.as_images(std[:n])
    if unsure.ndim == 4:
        unsure = np.sqrt(np.mean(unsure**2, axis=-1))  # of all colours together
    most = max(float(unsure.max()), 1e-12)
    grey = np.rint(unsure * (255 / most)).astype(np.uint8)
    shown, grey = (x[..., None].repeat(3, axis=-1) if x.ndim < restored.ndim else x for x in (shown, grey))
    page = pictures.grid(np.concatenate([shown, restored, grey]), n, labels=["seen", "restored", "unsure"])
    bar = np.linspace(0, 255, 84).astype(np.uint8)[None, None].repeat(16, axis=1)
    if page.ndim == 3:
        bar = bar[..., None].repeat(3, axis=-1)
    scale = pictures.grid(bar, 1, labels=[f"0 to {most:.3g} grey levels"], zoom=1)
    width = max(page.shape[1], scale.shape[1])
    return np.vstack([_widened(page, width), _widened(scale, width)])


def _widened(page: AnyArray, width: int) -> AnyArray:
    """A page with white at its right."""
    margins = [(0, 0), (0, width - page.shape[1]), (0, 0)][: page.ndim]
    return np.pad(page, margins, constant_values=255)


def write_table(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Rows as CSV; the file appears whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_files(out.parent, {out.name: text.getvalue().encode(errors="surrogateescape")})
