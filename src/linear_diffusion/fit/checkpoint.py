"""Checkpoint: what the passes of a fit have added up so far, in files, so that interrupted work goes on.

    fit-003-done.sums          the sums of the third pass, whole
    fit-004-000120.sums        those of the fourth, after 120 batches

Between passes a fit computes the same from the same sums, so that these are all that must be kept. A file begins with
the SHA-256 of its content: one that was cut, or changed, is not believed, and the one before it is taken.
"""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ..utils.ahead import read_ahead
from ..utils.files import pack, unpack, write_files
from ..utils.progress import so_far, tell
from ..utils.types import AnyArray, Index
from .source import Sums

S = TypeVar("S", bound=Sums)
Batches = Callable[[], Iterator[tuple[AnyArray, Index]]]
_SHARE = 20
"""A file is written when this many times as much time has passed as writing the last one took."""


class _Found(NamedTuple):
    """A checkpoint that was read: how many batches it is of, what they were, and their sums."""

    done: bool
    n_batches: int
    digest: str
    arrays: dict[str, AnyArray]


class Checkpoint:
    """The checkpoints of one fit, in a folder of their own.

    Parameters
    ----------
    folder : Path
        Made if it does not exist; other files in it are left alone.
    every : float
        Seconds from one file to the next, at least.
    identity : dict from str to str
        What makes a fit this one: parameters, images, prompts. Files of another fit are refused.

    Raises
    ------
    ValueError
        If the folder has checkpoints of another fit.
    """

    def __init__(self, folder: Path, every: float, identity: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.every, self.identity = folder, every, identity
        self._pass, self._took = 0, 0.0

    def total(self, batches: Batches, sums: S, doing: str, n_images: int) -> S:
        """What sums come to over all batches, from where the last pass of this number was left."""
        self._pass += 1
        found, empty = self._newest(), sums
        if found is not None:
            empty = deepcopy(sums)
            sums.take(found.arrays)
            if found.done:
                return sums
            tell(f"{doing}: goes on where it was left")
        skipped, seen, last = found.n_batches if found else 0, blake2b(), time.monotonic()
        done, told = 0, so_far(doing, n_images)
        for n, (rows, index) in enumerate(read_ahead(batches()), start=1):
            seen.update(np.ascontiguousarray(rows).data)
            seen.update(np.ascontiguousarray(index).data)
            done += len(rows)
            if n > skipped:
                sums.add(rows, index)
                told(done)
            elif n == skipped and found is not None and seen.hexdigest() != found.digest:
                return self._anew(batches, empty, doing, n_images)  # other batches than those that the sums are of
            if n > skipped and time.monotonic() - last > max(self.every, _SHARE * self._took):
                self._write(sums, n, seen.hexdigest(), done=False)
                last = time.monotonic()
        self._write(sums, n, seen.hexdigest(), done=True)
        return sums

    def remove(self) -> None:
        """Remove the files: the fit is done."""
        for path in self.folder.glob("fit-*.sums"):
            path.unlink(missing_ok=True)

    def _anew(self, batches: Batches, empty: S, doing: str, n_images: int) -> S:
        """The pass from its first batch."""
        for path in self._files():
            path.unlink(missing_ok=True)
        self._pass -= 1
        return self.total(batches, empty, doing, n_images)

    def _files(self) -> list[Path]:
        """Files of this pass, the newest first."""
        return sorted(self.folder.glob(f"fit-{self._pass:03}-*.sums"), reverse=True)  # "done" comes after digits

    def _newest(self) -> _Found | None:
        """The newest file of this pass that is whole."""
        return next((found for path in self._files() if (found := self._read(path)) is not None), None)

    def _read(self, path: Path) -> _Found | None:
        digest, _, content = path.read_bytes().partition(b"\n")
        if sha256(content).hexdigest().encode() != digest:
            return None
        head, _, packed = content.partition(b"\n")
        said = json.loads(head)
        for name, value in self.identity.items():
            if said["fit"].get(name) != value:
                raise ValueError(
                    f"checkpoint={str(self.folder)!r} is of another fit: {name} was {said['fit'].get(name)}, and is "
                    f"{value} now. Choose another folder, or remove this one."
                )
        return _Found(said["done"], said["batches"], said["digest"], unpack(packed))

    def _write(self, sums: Sums, n: int, digest: str, *, done: bool) -> None:
        """Write the sums of n batches; the file before it stays, in case this one is damaged."""
        start = time.monotonic()
        before = self._files()
        head = {"fit": self.identity, "done": done, "batches": n, "digest": digest}
        content = json.dumps(head).encode() + b"\n" + pack(sums.arrays())
        name = f"fit-{self._pass:03}-{'done' if done else f'{n:09}'}.sums"
        write_files(self.folder, {name: sha256(content).hexdigest().encode() + b"\n" + content})
        for path in before[1:]:
            path.unlink(missing_ok=True)
        self._took = time.monotonic() - start
