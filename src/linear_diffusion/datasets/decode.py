"""Step 0, from encoded files (PNG, JPEG, ...): every header first, then the pixels into one array.

Sizes and faults show in the headers, so that they are told before minutes of decoding, and memory is taken once.
"""

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..exceptions import DataError
from .arrays import describe_resizing, fit_image
from .common import AnyArray, Mode, Progress, Report, Resize, Size, reason
from .memory import check_fits
from .stream import Pair, batch_length

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm")
"""Endings of the files that are taken for images."""

# A closed list: Pillow would hand an EPS file that calls itself .png to Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})


class Encoded(NamedTuple):
    """An image file, on disk or in memory, and what messages call it."""

    name: str
    content: Path | bytes


class _Header(NamedTuple):
    size: Size  # as shown, that is, upright
    colour: bool


def read_images(
    files: Sequence[Encoded],
    size: Size | None,
    mode: Mode | None,
    progress: Progress | None = None,
    resize: Resize = "squash",
    report: Report | None = None,
) -> AnyArray:
    """Decode files into one array, in their order.

    Parameters
    ----------
    files : sequence of Encoded
        At least one.
    size : (height, width), optional
        Resize to this; without it all files must have one size.
    mode : {"L", "RGB"}, optional
        Grey or colour; by default colour as soon as one file is stored in colour.
    progress : callable, optional
        Called as `progress(done, total)`, where a file counts twice: header and pixels.
    resize : {"squash", "crop", "pad"}, default="squash"
        How an image of another shape is brought to `size`.
    report : callable, optional
        Called with a sentence, before the pixels are read, if images will be resized.

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, 3)
        uint8 in 0..255.

    Raises
    ------
    DataError
        If a file cannot be decoded, or sizes differ and `size` is None.
    NotEnoughMemoryError
        If the images would not fit in memory.

    Examples
    --------
    >>> read_images([Encoded("a pixel", b"P5 1 1 255 A")], size=None, mode=None)
    array([[[65]]], dtype=uint8)
    """
    n = len(files)
    plan = read_headers(files, size, mode, resize, report, progress and (lambda i: progress(i, 2 * n)))
    shape = (n, *plan.shape)
    check_fits(math.prod(shape), name=_names(files), size=plan.size)
    images = np.empty(shape, np.uint8)
    for i, file in enumerate(files):
        images[i] = _read_pixels(file, plan)
        if progress is not None:
            progress(n + i + 1, 2 * n)
    return images


class Plan(NamedTuple):
    """What every file is decoded to."""

    size: Size
    mode: Mode
    resize: Resize

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image."""
        return (*self.size, 3) if self.mode == "RGB" else self.size


def read_headers(
    files: Iterable[Encoded],
    size: Size | None,
    mode: Mode | None,
    resize: Resize = "squash",
    report: Report | None = None,
    progress: Callable[[int], object] | None = None,
) -> Plan:
    """Decide what files are decoded to, by their headers; only how many there are of each size is kept.

    Parameters
    ----------
    files : iterable of Encoded
        At least one.
    size, mode, resize, report
        As in `read_images`.
    progress : callable, optional
        Called with how many headers are read.

    Examples
    --------
    >>> read_headers([Encoded("a pixel", b"P5 1 1 255 A")], None, None).shape
    (1, 1)
    """
    sizes: Counter[Size] = Counter()
    examples: dict[Size, str] = {}
    colour = False
    for i, file in enumerate(files):
        header = _read_header(file)
        sizes[header.size] += 1
        examples[header.size] = file.name
        colour |= header.colour
        if progress is not None:
            progress(i + 1)
    size = size or _common_size(sizes, examples)
    if report is not None:
        describe_resizing(sizes, size, resize, report)
    return Plan(size, mode or ("RGB" if colour else "L"), resize)


def decode_pieces(rows: Iterable[tuple[Encoded, str]], plan: Plan) -> Iterator[Pair]:
    """Decode files with their prompts, a batch at a time.

    Examples
    --------
    >>> pieces = decode_pieces([(Encoded("a pixel", b"P5 1 1 255 A"), "A")], Plan((1, 1), "L", "pad"))
    >>> [(images.tolist(), prompts.tolist()) for images, prompts in pieces]
    [([[[65]]], ['A'])]
    """
    length = batch_length(plan.shape, np.uint8)
    images, prompts = np.empty((length, *plan.shape), np.uint8), list[str]()
    for file, prompt in rows:
        images[len(prompts)] = _read_pixels(file, plan)
        prompts.append(prompt)
        if len(prompts) == length:
            yield images, np.array(prompts)
            images, prompts = np.empty_like(images), []
    if prompts:
        yield images[: len(prompts)], np.array(prompts)


def _read_header(file: Encoded) -> _Header:
    with _opened(file) as image:
        limit = Image.MAX_IMAGE_PIXELS
        if limit and math.prod(image.size) > limit and image.format != "JPEG":  # which can be decoded at 1/8
            raise DataError(
                f"{file.name} has {image.height:,} x {image.width:,} pixels, which take too much memory to decode; "
                f"shrink it to {limit:,} pixels at most, or raise PIL.Image.MAX_IMAGE_PIXELS."
            )
        if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
            raise DataError(f"{file.name} has 32-bit pixels, whose range is not known; convert it to 8 or 16 bits.")
        lies_on_its_side = _orientation(image) >= 5
        if lies_on_its_side and image.format == "TIFF":
            image.load()  # which turns it upright, unlike other formats; only some Pillows tell the size before
            lies_on_its_side = False
        height, width = image.size if lies_on_its_side else image.size[::-1]
        return _Header((height, width), not _is_grey(image))


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") and image.palette is not None:  # GIF stores grey as a palette of greys
        entries, step = bytes(image.palette.palette), len(image.palette.rawmode or image.palette.mode)
        return entries[0::step] == entries[1::step] == entries[2::step]
    return image.mode in _GREY


def _read_pixels(file: Encoded, plan: Plan) -> AnyArray:
    size = plan.size
    with _opened(file) as stored:
        orientation = _orientation(stored)
        if size not in (stored.size, stored.size[::-1]):
            # JPEG decodes many times faster at 1/2, 1/4 or 1/8; twice the target leaves the filter its work.
            stored.draft(None, (2 * max(size), 2 * max(size)))
        stored.load()
        image = ImageOps.exif_transpose(stored) if orientation > 1 else stored
        return np.asarray(fit_image(_convert(image, plan.mode), size, plan.resize))


def _convert(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it or cuts it off, by version
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert(mode)
    if image.mode.lower() in ("la", "pa", "rgba") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)  # which copies


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8, from the header alone."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking Pillow further would decode the pixels
    with suppress(OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):  # broken EXIF is no EXIF
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if value in range(1, 9) else 1
    return 1


@contextmanager
def _opened(file: Encoded) -> Iterator[Image.Image]:
    """Open a file with Pillow, and name it in whatever goes wrong until it is closed."""
    try:
        if isinstance(file.content, Path) and file.content.exists() and not file.content.is_file():
            raise DataError(f"{file.name} is not a regular file; give an image file.")
        source = BytesIO(file.content) if isinstance(file.content, bytes) else file.content
        with Image.open(source, formats=_FORMATS) as image:
            yield image
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{file.name} is not an image of a known format ({', '.join(_FORMATS)}).") from error
    except Exception as error:  # on damaged files decoders raise nearly anything, struct.error and IndexError included
        raise DataError(f"{file.name} cannot be read as an image: {reason(error)}.") from error


def _common_size(sizes: Counter[Size], examples: Mapping[Size, str]) -> Size:
    counts = sizes.most_common()
    usual, rare = counts[0][0], counts[-1][0]
    if usual == rare:
        return usual
    advice = usual[0] if usual[0] == usual[1] else usual
    raise DataError(
        f"images differ in size: {examples[usual]} is {usual} and {examples[rare]} is {rare} (height, width); "
        f"pass size={advice} to bring them to one."
    )


def _names(files: Sequence[Encoded]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
