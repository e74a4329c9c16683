"""Files of images that are written block by block, and appear whole or not at all.

.zarr      arrays ``images``, in chunks, and ``prompts``
.npz       the same arrays, not packed
.parquet   a row group for each block: ``image``, as PNG, or ``images``, as lists of numbers; and ``prompt``
"""

import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import MissingExtraError
from ..utils.groups import cut
from ..utils.streams import BLOCK
from ..utils.threads import in_parallel
from ..utils.types import AnyArray

Encode = Callable[[AnyArray], list[bytes]]
SUFFIXES = (".zarr", ".npz", ".parquet")
_CHUNK_BYTES = 2**24
"""Bytes of a chunk of Zarr, where images are not larger."""


class _ImageFile(ABC):
    """A file for n images of a shape and dtype; ``encode`` is what they are turned into where they are drawn."""

    encode: Encode | None = None

    def __init__(self, path: Path, n: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.n, self.shape, self.dtype = path, n, shape, dtype
        self.done, self.prompts, self.held = 0, list[AnyArray](), ExitStack()
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Begin to write."""

    def write(self, images: Any, prompts: AnyArray) -> None:
        """Write a block."""
        self.put(images, prompts)
        self.prompts.append(prompts)
        self.done += len(prompts)

    @abstractmethod
    def put(self, images: Any, prompts: AnyArray) -> None:
        """Write images, perhaps with their prompts."""

    def close(self) -> None:
        """Write what comes last."""
        self.held.close()


@contextmanager
def image_file(path: Path, n: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[_ImageFile]:
    """A file that blocks of images are written to, in their order; it takes its place when all went well.

    Raises
    ------
    ValueError
        If the path ends in none of `SUFFIXES`, or is there and no file of that kind.
    MissingExtraError
        If the package that writes it is not installed.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"path={str(path)!r} must end in one of {', '.join(SUFFIXES)}.")
    is_folder = kind is _Zarr
    if path.exists() and (path.is_dir() != is_folder or (is_folder and not _is_zarr(path))):
        raise ValueError(
            f"path={str(path)!r} exists and is no {path.suffix}; it is left as it is, choose another name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as beside:
        file = kind(Path(beside) / path.name, n, shape, dtype)
        try:
            yield file
        except BaseException:
            file.held.close()
            raise
        file.close()
        if is_folder and path.exists():
            path.replace(Path(beside) / "before")
        file.path.replace(path)


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", "zarr.json")) or not any(path.iterdir())


class _Zarr(_ImageFile):
    def open(self) -> None:
        try:
            import zarr
        except ImportError as error:
            raise MissingExtraError(".zarr needs zarr: pip install 'linear-diffusion[dask]'") from error
        self.group = zarr.open_group(str(self.path), mode="w", zarr_format=2)
        length = BLOCK
        while length > 1 and length * prod(self.shape) * self.dtype.itemsize > _CHUNK_BYTES:
            length //= 2  # so that a block is whole chunks
        shape, chunks = (self.n, *self.shape), (min(length, self.n), *self.shape)
        self.images = self.group.create_array("images", shape=shape, chunks=chunks, dtype=self.dtype)

    def put(self, images: Any, prompts: AnyArray) -> None:
        self.images[self.done : self.done + len(images)] = images

    def close(self) -> None:
        prompts = np.concatenate(self.prompts)
        self.group.create_array("prompts", shape=prompts.shape, chunks=prompts.shape, dtype=prompts.dtype)[:] = prompts
        super().close()


class _Npz(_ImageFile):
    def open(self) -> None:
        self.archive = self.held.enter_context(zipfile.ZipFile(self.path, "w"))
        self.images = self.held.enter_context(self.archive.open("images.npy", "w", force_zip64=True))
        descr, shape = np.lib.format.dtype_to_descr(self.dtype), (self.n, *self.shape)
        np.lib.format.write_array_header_1_0(self.images, {"descr": descr, "fortran_order": False, "shape": shape})

    def put(self, images: Any, prompts: AnyArray) -> None:
        self.images.write(np.ascontiguousarray(images).data)

    def close(self) -> None:
        self.images.close()
        with self.archive.open("prompts.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.concatenate(self.prompts), allow_pickle=False)
        super().close()


class _Parquet(_ImageFile):
    def open(self) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtraError(".parquet needs pyarrow: pip install 'linear-diffusion[parquet]'") from error
        is_picture = self.dtype == np.uint8 and (len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[2] == 3))
        if is_picture:
            self.encode = png_bytes
            self.kind: Any = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        else:
            self.kind = pa.from_numpy_dtype(self.dtype)
            for length in reversed(self.shape):
                self.kind = pa.list_(self.kind, length)
        self.name = "image" if is_picture else "images"
        schema = pa.schema([(self.name, self.kind), ("prompt", pa.string())])
        self.writer = self.held.enter_context(pq.ParquetWriter(self.path, schema))

    def put(self, images: Any, prompts: AnyArray) -> None:
        import pyarrow as pa

        if self.encode is not None:
            column = pa.array([{"bytes": content, "path": None} for content in images], self.kind)
        else:
            column = pa.array(np.ascontiguousarray(images).ravel())
            for length in reversed(self.shape):
                column = pa.FixedSizeListArray.from_arrays(column, length)
        self.writer.write_table(pa.table({self.name: column, "prompt": pa.array(prompts.astype(str), pa.string())}))


_KINDS: dict[str, type[_ImageFile]] = dict(zip(SUFFIXES, (_Zarr, _Npz, _Parquet), strict=True))


def png_bytes(images: AnyArray) -> list[bytes]:
    """Pictures (n, h, w) or (n, h, w, 3) of bytes, each as a PNG file."""
    from PIL import Image

    def some(rows: slice) -> list[bytes]:
        found = []
        for pixels in images[rows]:
            content = BytesIO()
            Image.fromarray(pixels).save(content, "png")
            found.append(content.getvalue())
        return found

    return [content for part in in_parallel(some, cut(len(images), 256)) for content in part]
