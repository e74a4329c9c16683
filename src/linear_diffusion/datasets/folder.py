"""Step 0, from a folder of images, by the conventions of Hugging Face's ImageFolder.

    folder/dog/1.png          prompt "dog"; in folder/a/b/1.png it is "b", the folder directly around the file
    folder/1.png              prompt ""
    folder/metadata.csv       file_name,text                               names files relative to its own folder
    folder/metadata.jsonl     {"file_name": "1.png", "text": "a dog"}
    folder/metadata.parquet   the same two columns
    folder/train/..., folder/test/...                                      parts: one of them is read

With metadata files, the images are those they name, with their texts as prompts.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..exceptions import DataError, count
from .arrays import as_prompts
from .common import AnyArray, Mode, Progress, Report, Resize, Size, check_text
from .decode import SUFFIXES, Encoded, Plan, decode_pieces, read_headers
from .metadata import TABLES, read_metadata
from .stream import ImageStream, Pair, tally

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Parts of a data set, and what their folders may be called."""
_FOREIGN = re.compile(
    r"\.(apng|arw|avif|cr2|cr3|dcm|dng|exr|hdr|hei[cf]|ico|j2k|jfif|jp2|jpe|jxl|nef|psd|raw|svg|tga)", re.I
)
"""Endings of images that are not read, so that it is said."""


_NAMES = {name: split for split, names in SPLITS.items() for name in names} | {"all": "all", "train+test": "all"}


def check_split(split: str | None) -> str | None:
    """A part by its first name.

    Examples
    --------
    >>> check_split("val")
    'validation'
    """
    if split is not None and split not in _NAMES:
        raise ValueError(f"split={split!r} must be 'train', 'validation', 'test' or 'all'.")
    return None if split is None else _NAMES[split]


class Listed(NamedTuple):
    """The images of a folder, and sentences on what was left out."""

    paths: list[Path]
    prompts: AnyArray
    notes: list[str]


def list_folder(
    folder: Path, split: str | None = None, *, text_column: str | None = None, image_column: str | None = None
) -> Listed:
    """List the images of a folder with their prompts, without reading them.

    Hidden files and folders, links to folders, and files that do not end like an image are passed over.

    Parameters
    ----------
    folder : Path
        The root; subfolders are searched.
    split : {"train", "validation", "test", "all"}, optional
        Which part, where the folder holds nothing but such parts; "train" by default.
    text_column, image_column : str, optional
        As in `load_images`.

    Returns
    -------
    paths : list of Path
        In the order of the metadata, or sorted.
    prompts : ndarray of shape (n,)
        Strings.
    notes : list of str
        What was left out, and why.

    Raises
    ------
    DataError
        If there are no images, or not this part, or the metadata cannot be used: a row lacks a field, or names a file
        that is missing or outside the folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     for name in ("train", "test"):
    ...         Path(root, name, "dog").mkdir(parents=True)
    ...         Path(root, name, "dog", "1.png").touch()
    ...     paths, prompts, notes = list_folder(Path(root))
    >>> [path.parts[-3:] for path in paths], prompts.tolist()
    ([('train', 'dog', '1.png')], ['dog'])
    """
    files = list(walk(folder))
    left, notes = _choose_part(folder, files, split)
    kept = [path for path in files if left.isdisjoint(path.parents)]
    images = [path for path in kept if path.suffix.lower() in SUFFIXES]
    foreign = [path for path in kept if _FOREIGN.fullmatch(path.suffix)]
    tables = [path for path in kept if path.name in TABLES]
    for table, following in pairwise(tables):
        if table.parent == following.parent:
            raise DataError(f"{table.parent} holds both {table.name} and {following.name}; keep one.")
    if tables:
        rows = [row for table in tables for row in read_metadata(table, images, text_column, image_column)]
        pairs = [(path, text) for path, text in rows if left.isdisjoint(path.parents)]
        unnamed = len(set(images).difference(path for path, _ in pairs))
        if unnamed:
            notes.append(f"{count(unnamed, 'image')} that no metadata file names will be left out.")
    elif text_column or image_column:
        raise DataError(f"{folder} holds none of {', '.join(TABLES)}, and so no columns to choose.")
    else:
        pairs = [(path, _folder_prompt(path, folder)) for path in images]
    if foreign and not tables:
        notes.append(_describe_foreign(foreign, {path.parent for path in images}, folder))
    if not pairs:
        where = tables[0] if tables else folder
        raise DataError(" ".join([f"{where} holds no images ({', '.join(SUFFIXES)}).", *notes]))
    return Listed([path for path, _ in pairs], as_prompts([text for _, text in pairs], name=str(folder)), notes)


def stream_folder(
    paths: Sequence[Path],
    prompts: AnyArray,
    size: Size | None,
    mode: Mode | None,
    resize: Resize,
    progress: Progress | None,
    report: Report | None,
    *,
    name: str,
) -> ImageStream:
    """The stream of image files with prompts (n,), in their order; their headers are read here."""
    n = len(paths)
    files = (Encoded(str(path), path) for path in paths)
    plan = read_headers(files, size, mode, resize, report, progress and (lambda i: progress(i, n)))
    pieces, between = partial(_decoded, paths, prompts, plan), partial(_decoded_between, paths, prompts, plan)
    return ImageStream(pieces, plan.shape, np.uint8, tally([prompts], name), name, between)


def _decoded(paths: Sequence[Path], prompts: AnyArray, plan: Plan) -> Iterator[Pair]:
    rows = zip(paths, prompts, strict=True)
    return decode_pieces(((Encoded(str(path), path), str(prompt)) for path, prompt in rows), plan)


def _decoded_between(
    paths: Sequence[Path], prompts: AnyArray, plan: Plan, start: int, stop: int
) -> Callable[[], Iterator[Pair]]:
    return partial(_decoded, [path.absolute() for path in paths[start:stop]], prompts[start:stop], plan)


def walk(folder: Path) -> Iterator[Path]:
    """The regular files of a folder and its subfolders, sorted; not what is hidden, nor links to folders."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def find_splits(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """The parts of a folder and their subfolders; none if it holds other images or folders of images than parts.

    A folder that holds nothing but one other is looked into: archives are often packed like this.
    """
    tops = {folder / path.relative_to(folder).parts[0] for path in files if path.suffix.lower() in SUFFIXES}
    parts: dict[str, list[Path]] = {}
    for top in sorted(tops):
        parts.setdefault("" if top.is_file() else _NAMES.get(top.name.lower(), ""), []).append(top)
    if not {"", "all"} & parts.keys():
        return parts
    only = next(iter(tops))
    return (
        find_splits(only, [path for path in files if only in path.parents]) if len(tops) == 1 != only.is_file() else {}
    )


def _choose_part(folder: Path, files: Sequence[Path], split: str | None) -> tuple[set[Path], list[str]]:
    """The subfolders that are left out, and what to say of them."""
    parts = find_splits(folder, files)
    if not parts:
        refuse_split(split, folder)
        return set(), []
    wanted = list(parts) if split == "all" else [split or "train"]
    if wanted[0] not in parts:
        raise DataError(
            f"{folder} has no part {wanted[0]!r}; choose one of those it has with split={next(iter(parts))!r}."
        )
    left = {name: parts[name] for name in parts if name not in wanted}
    n_left = Counter(name for path in files for name in left if not set(left[name]).isdisjoint(path.parents))
    others = " and ".join(f"{name!r} ({count(n_left[name], 'file')})" for name in left)
    notes = [f"{folder}: the part {wanted[0]!r} is read, {others} left out."] if left and split is None else []
    return {path for paths in left.values() for path in paths}, notes


def refuse_split(split: str | None, source: object) -> None:
    """Refuse to read everything as the test part, which would score a model on what it was trained on."""
    if split in ("test", "validation"):
        raise DataError(f"split={split!r} was asked of {source}, which has no parts; leave split out.")


def _folder_prompt(path: Path, root: Path) -> str:
    return "" if path.parent == root else check_text(path.parent.name, f"the folder {str(path.parent)!r}")


def _describe_foreign(files: Sequence[Path], read: set[Path], root: Path) -> str:
    endings = ", ".join(sorted({path.suffix.lower() for path in files}))
    text = f"{count(len(files), 'file')} will be passed over: {endings} cannot be read, convert to .png or .jpg"
    lost = sorted({path.parent.name for path in files if path.parent not in read and path.parent != root})
    return text + (f" (no images at all in {', '.join(lost[:5])})." if lost else ".")
