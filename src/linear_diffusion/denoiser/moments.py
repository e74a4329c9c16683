"""Moments: all that is learned from data, as a sum over images.

    n_c,   mu_c = E[x | c],   scatter_c = sum (x - mu_c)(x - mu_c)'

They add over batches, files, machines and days, and they subtract (docs/mathematics.md, "Moments"). Sums of squares are
kept about the mean and merged as in Chan, Golub and LeVeque (1983, eq. 2.1), since raw ones lose their digits when data
is far from zero. Products of uint8 images are exact in float32, those of all others run in float64.

Moments of pixels know what an image looks like, and are enough for a model of one Gaussian for each prompt.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..exceptions import NotEnoughMemoryError, count
from ..image.checks import as_array, check_images
from ..image.format import ImageFormat, check_range
from ..text.labels import check_prompts
from ..utils.arrays import Kept, kept, not_negative, require_none_left
from ..utils.files import pack, read_file, refusing, unpack, write_files
from ..utils.memory import available_memory, readable
from ..utils.types import AnyArray, Array, Index
from .removal import removed

N_TONES = 256
"""Bins of a histogram of pixels: the levels of 8 bits."""
MOST_PIXELS = 4096
"""Above this many pixels no d x d matrix is made: one takes 128 MB."""
_CHUNK_BYTES = 32 * 2**20
"""Of floats that are worked on at once, few enough to stay near a cache."""
_MIDDLE, _EXACT_ROWS = 128, 1024
"""See `_exact_moments`."""


@dataclass(frozen=True, repr=False)
class Moments(Kept):
    """Counts, means and scatter of d features for each of p prompts: sums over images, which add and subtract.

    ``Moments.fit(images, prompts)`` are those of pixels. They are all that a model of one Gaussian for each prompt is
    made from (`LinearDiffusion.from_moments`), so that sites which keep their images add up their moments, and what one
    of them gave is subtracted again, exactly: the model is then the one that was never given those images. That is so
    for one Gaussian for each prompt. Styles are clusters of images, and their centres are no sums: where images must be
    taken out of a model with styles, it must be fitted again without them.

    Parameters
    ----------
    prompts : array of shape (p,)
        Distinct prompts, in increasing order.
    counts : array of shape (p,), float64
    means : array of shape (p, d), float64
    scatter : array of shape (p, d, d), or (p, d) if only the diagonal is kept; float64
        Sums of products about the prompt's own mean.
    histogram : array of shape (p, channels, 256), float64
        How many pixels have each tone; of no channels where there is no range of tones.
    image : ImageFormat, optional
        What the images look like whose pixels the features are. None for features that are no pixels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images, y = load_digits().images, load_digits().target
    >>> ours, theirs = Moments.fit(images[:1000], y[:1000]), Moments.fit(images[1000:], y[1000:])
    >>> both = ours + theirs
    >>> both
    Moments(1,797 images of 8 x 8, float64, range 0 to 255, 10 prompts)
    >>> bool(np.allclose((both - theirs).covariances, ours.covariances))
    True
    """

    prompts: AnyArray = kept("p", dtype="any")
    counts: Array = kept("p", not_negative)
    means: Array = kept("p d")
    scatter: Array = kept("p d ...", lambda a: a.shape[2:] in ((), a.shape[1:2]))
    histogram: Array = kept("p channels tones", not_negative)
    image: ImageFormat | None = None

    @classmethod
    def fit(cls, X: Any, y: Any = None, pixel_range: Any = "auto") -> Self:
        """The moments of images' pixels.

        Parameters
        ----------
        X : array of shape (n, h, w), (n, h, w, channels) or (n, d)
            As in `LinearDiffusion.fit`, of at most 4,096 pixels.
        y : sequence of n prompts, optional
            Strings or labels. None is one prompt, "".
        pixel_range : "auto", (low, high) or None, default="auto"
            Bounds of pixels, as in `LinearDiffusion`. Moments that are to be added have the same.

        Raises
        ------
        NotEnoughMemoryError
            Before any work, if a matrix of pixels by pixels for each prompt would not fit.
        """
        pixel_range = check_range(pixel_range)
        X = check_images(as_array(X))
        prompts, index = check_prompts(y, len(X))
        d = int(np.prod(X.shape[1:]))
        require_room(len(prompts), d, d * (X.itemsize + 16) * chunk_length(d, 8, len(X)))
        image = ImageFormat.of(X, pixel_range)
        tones, n_channels = (image.tones, image.n_channels) if image.pixel_range else (None, 0)
        return replace(cls.of(image.rows(X), index, prompts, tones=tones, n_channels=n_channels), image=image)

    @classmethod
    def empty(cls, prompts: AnyArray, d: int, n_channels: int = 0, *, diagonal: bool = False) -> Self:
        """The moments of no images."""
        p = len(prompts)
        scatter = np.zeros((p, d) if diagonal else (p, d, d))
        return cls(prompts, np.zeros(p), np.zeros((p, d)), scatter, np.zeros((p, n_channels, N_TONES)))

    @classmethod
    def of(
        cls,
        rows: AnyArray,
        index: Index,
        prompts: AnyArray,
        *,
        tones: Callable[[AnyArray], AnyArray] | None = None,
        n_channels: int = 0,
        diagonal: bool = False,
    ) -> Self:
        """Moments of images, read in chunks so that they are never copied whole.

        Parameters
        ----------
        rows : array of shape (n, d), uint8 or floating
        index : array of int, shape (n,)
            Position of each image's prompt in ``prompts``.
        prompts : array of shape (p,)
        tones : callable, optional
            Rows to their tones 0..255, uint8, for the histogram.
        n_channels : int
            Channels of the histogram; pixels interleave them.
        diagonal : bool
            Keep only each feature's own scatter, where d x d numbers per prompt would not fit.
        """
        out = cls.empty(prompts, rows.shape[1], n_channels, diagonal=diagonal)
        for j, chunk in chunks_by_prompt(rows, index, len(prompts)):
            if tones is not None:
                out.histogram[j] += count_tones(tones(chunk), n_channels)
            out.include(j, chunk)
        return out

    def include(self, prompt: int, rows: AnyArray) -> None:
        """Take in images (m, d) of the prompt at a position, in place; ``rows`` must fit in memory as floats."""
        if rows.dtype == np.uint8 and not self.diagonal:
            return _merge(self, prompt, float(len(rows)), *_exact_moments(rows))
        # In float64: what float32 rounds, in its own way on each processor, turns eigenvectors whose values are close.
        x = rows.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        # x' x is one symmetric product in BLAS: numpy sees that both sides are the same array.
        scatter = np.einsum("nd,nd->d", x, x) if self.diagonal else x.T @ x
        return _merge(self, prompt, float(len(x)), mean, scatter)

    def absorb(self, other: "Moments") -> None:
        """Add the moments of other images of the same prompts, in place."""
        for j in range(len(self.prompts)):
            _merge(self, j, float(other.counts[j]), other.means[j], other.scatter[j])
        self.histogram[...] += other.histogram

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of the images of both."""
        self._require_alike(other)
        image = self.image and other.image and self.image.joined(other.image)
        prompts, d = np.union1d(self.prompts, other.prompts), self.means.shape[1]
        if image:
            require_room(len(prompts), d)
        out = replace(Moments.empty(prompts, d, self.histogram.shape[1], diagonal=self.diagonal), image=image)
        for part in (self.counted_in(image), other.counted_in(image)):
            for i, j in enumerate(np.searchsorted(prompts, part.prompts)):
                _merge(out, int(j), part.counts[i], part.means[i], part.scatter[i])
                out.histogram[j] += part.histogram[i]
        return out

    def __sub__(self, other: "Moments") -> "Moments":
        """The moments without the images of ``other``, which must be among those of ``self``; prompts of which no image
        is left go.

        Raises
        ------
        ValueError
            If they cannot have been among them: an unknown prompt, more images of one than there are, or a variance or
            a count of tones that would be negative.

        Warns
        -----
        UserWarning
            If fewer than about 8 of the 16 digits of what is left can be trusted, since far more was taken away.
        """
        self._require_alike(other)
        image = self.image and other.image and self.image.joined(other.image)
        if self.image and image and image.reach != self.image.reach:
            raise ValueError(
                f"what is taken away has pixels from {image.reach[0]:g} to {image.reach[1]:g}, and those here lie from "
                f"{self.image.reach[0]:g} to {self.image.reach[1]:g}: it was never part of these moments."
            )
        return removed(self, other.counted_in(self.image))

    @property
    def diagonal(self) -> bool:
        """Whether only each feature's own scatter is kept."""
        return self.scatter.ndim == 2

    @property
    def variances(self) -> Array:
        """Maximum-likelihood variances of each feature, shape (p, d)."""
        own = self.scatter if self.diagonal else self.scatter.diagonal(axis1=1, axis2=2)
        return own / np.maximum(self.counts, 1.0)[:, None]

    @property
    def covariances(self) -> Array:
        """Maximum-likelihood covariances (divided by n), shape (p, d, d)."""
        return self.scatter / np.maximum(self.counts, 1.0)[:, None, None]

    @property
    def weights(self) -> Array:
        """Frequencies of the prompts, shape (p,)."""
        return self.counts / max(self.counts.sum(), 1.0)

    def pooled(self) -> tuple[Array, Array]:
        """Mean (d,) and covariance (d, d), or variances (d,), of all images, whatever their prompt."""
        mean = self.weights @ self.means
        offsets = np.sqrt(self.weights)[:, None] * (self.means - mean)
        between = (offsets**2).sum(axis=0) if self.diagonal else offsets.T @ offsets
        return mean, self.scatter.sum(axis=0) / max(self.counts.sum(), 1.0) + between

    def describe(self) -> dict[str, Any]:
        """What the moments are of, for people and machines: numbers, strings and lists, as JSON has them.

        Returns
        -------
        dict
            ``n_images``; ``prompts``, with the images of each; ``image_shape``, ``dtype``, ``pixel_range`` and
            ``pixel_span`` (from the least to the largest), None where features are no pixels; ``mean`` and
            ``deviation`` of all pixels; ``n_features``; ``n_bytes``, in memory and about as many in a file.
        """
        image, means = self.image, self.weights @ self.means
        variance = (self.weights @ (self.variances + (self.means - means) ** 2)).mean() + means.var()
        unit, origin = (image.unit, image.origin) if image else (1.0, 0.0)
        return {
            "n_images": int(self.counts.sum()),
            "prompts": {str(p): int(n) for p, n in zip(self.prompts.tolist(), self.counts, strict=True)},
            "image_shape": image and list(image.shape),
            "dtype": image and image.dtype,
            "pixel_range": image and image.pixel_range and list(image.pixel_range),
            "pixel_span": image and list(image.reach),
            "mean": float(means.mean() * unit + origin),
            "deviation": float(np.sqrt(variance) * unit),
            "n_features": self.means.shape[1],
            "n_bytes": sum(array.nbytes for array in self.arrays("").values()),
        }

    def __repr__(self) -> str:
        n, prompts = int(self.counts.sum()), count(len(self.prompts), "prompt")
        if (image := self.image) is None:
            return f"Moments({count(n, 'row')} of {count(self.means.shape[1], 'feature')}, {prompts})"
        low_high = "range {:g} to {:g}".format(*image.pixel_range) if image.pixel_range else "no range"
        shape = " x ".join(map(str, image.shape))
        return f"Moments({count(n, 'image')} of {shape}, {image.dtype}, {low_high}, {prompts})"

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, whole or not at all; it holds its own SHA-256."""
        path, arrays = Path(path), self.arrays("")
        if self.image:
            arrays["image"] = np.array([json.dumps(self.image.to_json())])
        arrays["sha256"] = np.array([_digest(arrays)])
        write_files(path.parent, {path.name: pack(arrays)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ModelFileError
            If the file is not one that `save` wrote, or is damaged.
        """
        with refusing(Path(path)):
            arrays = unpack(read_file(Path(path)))
            digest = arrays.pop("sha256", None)
            if digest is not None and digest.tolist() != [_digest(arrays)]:
                raise ValueError("its SHA-256 is not the one that it was written with")
            about = arrays.pop("image", None)
            image = None if about is None else ImageFormat.from_json(json.loads(about.item()))
            moments = cls.read(arrays, "", {"tones": N_TONES}, image=image)
            require_none_left(arrays)
            moments._check()
            return moments

    def _check(self) -> None:
        """Refuse what is no sum over images, in a file."""
        if not np.array_equal(np.unique(self.prompts), self.prompts):
            raise ValueError("its prompts are not distinct and in order")
        if (image := self.image) is not None:
            found = self.means.shape[1], self.histogram.shape[1]
            if found != (image.n_pixels, image.n_channels if image.pixel_range else 0):
                raise ValueError(f"its images of shape {image.shape} have other than {found} pixels and channels")

    def _require_alike(self, other: "Moments") -> None:
        """Refuse moments that do not combine, by what is different."""
        mine, theirs = self.image, other.image
        if mine and theirs:
            if mine.shape != theirs.shape:
                raise _unlike(f"images of shape {mine.shape} here and {theirs.shape} there; bring all to one size")
            if mine.dtype != theirs.dtype:
                raise _unlike(f"dtype {mine.dtype} here and {theirs.dtype} there; give all images in one")
            if mine.pixel_range != theirs.pixel_range:
                raise _unlike(
                    f"pixel_range={mine.pixel_range} here and pixel_range={theirs.pixel_range} there; say which it is "
                    "when they are fitted"
                )
        elif mine or theirs:
            raise _unlike("only one of them says what its images look like (image); make both with Moments.fit")
        shapes = [(m.scatter.shape[1:], m.histogram.shape[1:]) for m in (self, other)]
        if shapes[0] != shapes[1]:
            raise _unlike(
                f"scatter and histogram of a prompt have shapes {shapes[0]} and {shapes[1]}; take both from images of "
                "one shape, with the same tones and diagonal"
            )
        if (self.prompts.dtype.kind in "UO") != (other.prompts.dtype.kind in "UO"):
            raise ValueError(f"prompts are {self.prompts.dtype} here and {other.prompts.dtype} there; give all alike.")

    def counted_in(self, image: ImageFormat | None) -> "Moments":
        """The same sums where pixels have other units and tones, since others are wider."""
        before = self.image
        if image is None or before is None or before == image:
            return self
        tone = image.tones(image.inner(np.linspace(*before.reach, N_TONES)[None]))[0]
        scale, shift = before.unit / image.unit, (before.origin - image.origin) / image.unit
        return replace(
            self,
            means=scale * self.means + shift,
            scatter=scale * (scale * self.scatter),
            histogram=self.histogram @ (tone[:, None] == np.arange(N_TONES)),
            image=image,
        )


def precision(rows: AnyArray) -> np.dtype[np.floating]:
    """The precision of products over images: float64 for float64, float32 for the rest."""
    return np.dtype(np.float64 if rows.dtype == np.float64 else np.float32)


def require_room(p: int, d: int, beside: int = 0) -> None:
    """Refuse p matrices of d x d numbers that would not fit in memory, with what else there is beside them."""
    keeps = f"moments of pixels keep {p:,} matrices of {d:,} x {d:,} numbers"
    advice = "use smaller images or fewer prompts, or fit a model on all images at once, which needs no such matrices"
    if d > MOST_PIXELS:
        raise ValueError(f"{keeps}, which is too many for more than {MOST_PIXELS:,} pixels; {advice}.")
    available, needed = available_memory(), 8 * (p + 2) * d * d + beside
    if available is not None and needed > available:
        raise NotEnoughMemoryError(f"{keeps}: {readable(needed)}, and {readable(available)} are available; {advice}.")


def _unlike(text: str) -> ValueError:
    return ValueError(f"moments of unlike images do not combine: {text}.")


def _digest(arrays: dict[str, AnyArray]) -> str:
    """The SHA-256 of arrays, by what they are called and hold."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        labels = json.dumps(array.tolist()) if array.dtype.kind not in "fiub" else ""
        digest.update(f"{name} {array.dtype.kind} {array.shape} {labels}".encode())
        digest.update(b"" if labels else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def chunks_by_prompt(rows: AnyArray, index: Index, n_prompts: int) -> Iterator[tuple[int, AnyArray]]:
    """Cut images into chunks of one prompt each: (prompt position, rows (m, d))."""
    size = chunk_length(rows.shape[1], precision(rows).itemsize, len(rows))
    for j, own in enumerate(members(index, n_prompts)):
        for start in range(0, len(own), size):
            yield j, rows[own[start : start + size]]


def chunk_length(d: int, itemsize: int, n: int) -> int:
    """How many of n images (of one prompt) a chunk has, where a pixel takes so many bytes."""
    return max(min(max(256, _CHUNK_BYTES // (d * itemsize)), n), 1)


def members(index: Index, n_prompts: int) -> list[Index]:
    """The rows of each prompt, by one sort: to look for each prompt among all rows takes as long as both multiplied."""
    ends = np.cumsum(np.bincount(index, minlength=n_prompts))
    return np.split(np.argsort(index, kind="stable"), ends[:-1])


def _exact_moments(rows: AnyArray) -> tuple[Array, Array]:
    """Mean (d,) and scatter (d, d) of uint8 images, the same to the last bit on every processor. About the middle of
    their range pixels are whole numbers of at most 7 bits, and a sum of 1,024 of their products has at most 24, which
    float32 holds exactly, whatever the order that a processor or its threads add them up in."""
    d = rows.shape[1]
    total, square = np.zeros(d), np.zeros((d, d))
    for start in range(0, len(rows), _EXACT_ROWS):
        x = rows[start : start + _EXACT_ROWS].astype(np.float32) - np.float32(_MIDDLE)
        total += x.sum(axis=0)
        square += x.T @ x
    mean = total / len(rows)
    return mean + _MIDDLE, square - np.outer(total, mean)


def _merge(out: Moments, j: int, n: float, mean: Array, scatter: Array) -> None:
    """Add n images to prompt j in place."""
    if n == 0:
        return
    total = out.counts[j] + n
    out.scatter[j] += scatter
    step = mean - out.means[j]
    if out.counts[j]:
        between = step**2 if out.diagonal else np.outer(step, step)
        out.scatter[j] += (out.counts[j] * n / total) * between
    out.means[j] += step * (n / total)
    out.counts[j] = total


def count_tones(tones: AnyArray, n_channels: int) -> Array:
    """Histogram (channels, 256) of uint8 pixels (m, d) whose channels interleave."""
    if n_channels == 1 and tones.shape[1] % 2 == 0:
        # Pairs of pixels as one number: half as many to count, and bincount is what takes the time.
        pairs = np.bincount(np.ascontiguousarray(tones).view(np.uint16).ravel(), minlength=N_TONES**2)
        table = pairs.reshape(N_TONES, N_TONES)
        counts: Array = (table.sum(axis=0) + table.sum(axis=1)).astype(np.float64)
        return counts[None]
    return np.stack(
        [np.bincount(tones[:, c::n_channels].ravel(), minlength=N_TONES) for c in range(n_channels)]
    ).astype(np.float64)
