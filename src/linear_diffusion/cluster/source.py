"""A source of a fit whose images lie elsewhere: each pass goes to them, block by block, and sums come back.

(source, empty sums) --once to each worker-->   block --add--> sums   sums, ..., sums --merge--> sums
"""

from copy import deepcopy
from typing import Any, TypeVar

import numpy as np

from ..exceptions import count
from ..fit.batches import BatchSource, OnError, Seen
from ..fit.source import Sums
from ..utils.progress import tell
from ..utils.types import AnyArray
from .parts import Parts, parts_of
from .workers import Workers

S = TypeVar("S", bound=Sums)
Added = tuple[dict[str, AnyArray], int]
"""What images add up to, and how many they are."""
Scanned = tuple[Seen, dict[int, str]]
"""What batches hold, and which were left out."""


class ClusterSource(BatchSource):
    """Parts of a stream that workers read, as a source of a fit.

    Parameters
    ----------
    given : Parts
    workers : Workers
    pixel_range, rescale, on_error
        As in `BatchSource`.
    """

    def __init__(
        self, given: Parts, workers: Workers, pixel_range: Any, *, rescale: bool, on_error: OnError = "raise"
    ) -> None:
        self.workers = workers
        super().__init__(given, pixel_range, rescale=rescale, on_error=on_error)

    def scan(self) -> Seen:
        tell(f"scan: on {self.workers}")
        for position, (first, batches) in enumerate(self.given):
            # The first batch says what all others must be like.
            seen, _ = self.workers.total(_scan, _merge_scans, self, [(position, first, batches)])
            if seen.classes is not None:
                self._seen = Seen(seen.shape, seen.dtype, classes=seen.classes, counts=np.zeros_like(seen.counts))
                break
        seen, self.left_out = self.workers.total(_scan, _merge_scans, self, self.given.tasks())
        return seen

    def total(self, sums: S, doing: str) -> S:
        tell(f"{doing}: {count(self.n, 'image')} on {self.workers}")
        arrays, n = self.workers.total(_add, _merge, (self, sums), self.given.tasks())
        self.check_count(n)
        sums.take({name: np.array(array) for name, array in arrays.items()})  # what came by wire is read-only
        return sums

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"given": (), "workers": None}


def open_source(
    batches: Any, workers: Workers, pixel_range: Any, *, rescale: bool, on_error: OnError = "raise"
) -> ClusterSource:
    """A source of what can be read by parts: see `parts.parts_of`."""
    return ClusterSource(parts_of(batches), workers, pixel_range, rescale=rescale, on_error=on_error)


def _scan(source: ClusterSource, position: int, first: int, batches: Any) -> Scanned:
    own = source.part(batches, position, first)
    return BatchSource.scan(own), own.left_out


def _merge_scans(source: ClusterSource, found: list[Scanned]) -> Scanned:
    seen, left_out = Seen(), dict[int, str]()
    for other, theirs in found:
        seen.merge(other)
        left_out |= theirs
    return seen, left_out


def _add(shared: tuple[ClusterSource, Sums], position: int, first: int, batches: Any) -> Added:
    source, empty = shared
    sums, n = deepcopy(empty), 0
    for rows, index in source.part(batches, position, first).pieces():
        sums.add(rows, index)
        n += len(rows)
    return sums.arrays(), n


def _merge(shared: tuple[ClusterSource, Sums], found: list[Added]) -> Added:
    sums, other = deepcopy(shared[1]), deepcopy(shared[1])
    for arrays, _ in found:
        other.take(arrays)
        sums.merge(other)
    return sums.arrays(), sum(n for _, n in found)
