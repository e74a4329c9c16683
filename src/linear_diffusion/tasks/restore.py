"""Restoration: the posterior of images, given what a linear operator and noise left of them.

    p(j | y) ~ w_j p(y | j)        E[x | y] = sum_j p(j | y) E[x | y, j]

over the pieces j of all prompts: their means weighed by how likely each makes what was seen, standard deviations with
what lies between the pieces, and draws. What one prompt's pixels are, given y and a piece, is `posterior`. For whole
images with noise it is Tweedie's formula (Efron 2011, eq. 1.4), ``E[x | y] = y + noise_std^2 grad log p(y)``. See
docs/mathematics.md, "Restoration".

Real images are not drawn from the density, and hundreds of pixels make Bayes' rule surer of one piece than it should
be. `Posterior.robust` makes up for it: p(y | j) to the power of a temperature below 1 (Miller and Dunson 2019), and
white noise as part of the images, which stands for what no piece knows of them. Where a mask hides pixels, its means
are those of `local`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from ..denoiser.moments import precision
from ..exceptions import NotEnoughMemoryError
from ..streams import POSTERIOR, stream
from ..utils.lazy import lazy
from ..utils.memory import available_memory, readable
from ..utils.threads import in_parallel
from ..utils.types import AnyArray, Array, Index
from .compressed import Compressed, Compression
from .density import PromptDensity, chunks, coordinates
from .local import Local
from .masked import Masked, Selection, is_mask
from .posterior import Conditional, Noised, condition

TEMPERATURE = 0.3
"""What log-densities of pieces are multiplied by, so that no piece is trusted too much."""
UNMODELLED = 0.05
"""Variance that real images have beside the pieces, as a share of that of a component (`benchmarks/restore.py`)."""
POPULATION, _AS_MANY = 0.06, 20
"""Share of the variance of all images that whole images have beside the pieces, by the same script; at least as if a
prompt had so many images more, drawn from all."""
_NEGLIGIBLE, _TEMPERED = 1e-9, 1e-5
"""Pieces that are less likely than this play no part; at temperatures below 1, which are no exact matter, many are."""
_ESTIMATED_ON = 50
"""Images that the noise is estimated on."""
_SINGULAR, _SINGULAR_FLOAT32 = 1e-10, 1e-5
"""Singular values below this share of the largest are zero, by the precision of what was seen."""


@dataclass(frozen=True)
class Posterior:
    """Posterior of images under a mixture of prompts.

    Parameters
    ----------
    prompts : sequence of p PromptDensity
    weights : array of shape (p,)
        Prior frequencies of the prompts.
    matrix : array or sparse array of shape (m, d), or None
        The operator; None is the identity.
    y : array of shape (n, m)
    noise_std : float
        In the units of y.
    temperature : float
        What the log-density of what was seen is multiplied by when pieces are weighed; 1 is exact.
    unmodelled : float
        Variance of white noise that is part of the images, in the units of standardised pixels; draws are without it,
        but for what was seen of it.
    """

    prompts: Sequence[PromptDensity]
    weights: Array
    matrix: Any
    y: AnyArray
    noise_std: float
    temperature: float = 1.0
    unmodelled: float = 0.0

    def robust(self) -> "Posterior":
        """The same for images that are no draws from the density; where there are no styles, the same exactly.

        Of whole images with noise, prompts are to be `roomy`.
        """
        if all(len(prompt.shares) == 1 for prompt in self.prompts):
            return self
        unmodelled = 0.0
        if self.matrix is not None:  # noise that is there already does as well
            encoder = self.prompts[0].encoder
            level2 = self.noise_std**2 / float((self._std**2).mean())
            unmodelled = max(UNMODELLED * float(encoder.variances.mean()) - level2, 0.0)
        return replace(self, temperature=TEMPERATURE, unmodelled=unmodelled)

    def log_evidence(self) -> Array:
        """``log p(y)`` of each image, shape (n,)."""
        return np.concatenate([logsumexp(np.hstack(self._joint(part)[0]), axis=1) for part in self._parts()])

    def mean(self) -> Array:
        """Posterior means, shape (n, d)."""
        out = np.empty((len(self.y), len(self._std)))
        for part in self._parts():
            seen = self._seen(part)
            out[part] = self._local.mean(seen) if self._local else self._mixed_mean(seen, *self._likely(part))
        return out * self._std + self.prompts[0].encoder.mean

    def mean_and_std(self) -> tuple[Array, Array]:
        """Posterior means and standard deviations, each of shape (n, d)."""
        means, variances = np.empty((2, len(self.y), len(self._std)))
        for part in self._parts():
            likely, g = self._likely(part)
            seen = self._seen(part)
            means[part] = mean = self._local.mean(seen) if self._local else self._mixed_mean(seen, likely, g)
            variances[part] = self._variance(part, likely, g, mean)
        return means * self._std + self.prompts[0].encoder.mean, np.sqrt(variances) * self._std

    def samples(self, n_samples: int, entropy: int, members: Index) -> Array:
        """Draws from the posterior, shape (n, n_samples, d).

        Parameters
        ----------
        n_samples : int
        entropy : int
        members : array of int, shape (n,)
            Number of each image, on which (and on the entropy) its draws depend.
        """
        if self.unmodelled:
            return self._modelled(n_samples, entropy, members)
        out = np.empty((len(self.y), n_samples, len(self._std)))
        for part in self._parts():
            self._draw_part(part, out, entropy, members)
        out *= self._std
        out += self.prompts[0].encoder.mean
        return out

    def _modelled(self, n_samples: int, entropy: int, members: Index) -> Array:
        """Draws of what is modelled; what was seen is noisier for them, and without noise it is put back."""
        matrix, y = self._independent
        beside = self.unmodelled * float(((matrix * matrix) @ self._std**2).sum()) / max(matrix.shape[0], 1)
        noise_std = float(np.sqrt(self.noise_std**2 + beside))
        posterior = replace(self, matrix=matrix, y=y, noise_std=noise_std, unmodelled=0.0)
        out = posterior.samples(n_samples, entropy, members)
        if self.noise_std == 0.0:
            for drawn, own in zip(out, y, strict=True):
                drawn += (matrix.T @ (own[:, None] - matrix @ drawn.T)).T
        return out

    def _parts(self) -> Iterator[slice]:
        return chunks(len(self.y), len(self._std))

    def _draw_part(self, part: slice, out: Array, entropy: int, members: Index) -> None:
        """Draws for some of the images, standardised, into their place."""
        sizes = np.cumsum([len(prompt.shares) for prompt in self.prompts])
        likely, g = self._likely(part)
        cdf = np.cumsum(np.hstack(likely), axis=1)
        for i, row in enumerate(range(len(self.y))[part]):
            rng = stream(entropy, POSTERIOR, int(members[row]))
            drawn = np.searchsorted(cdf[i], rng.random(out.shape[1]) * cdf[i, -1], side="right")
            owner = np.searchsorted(sizes, drawn, side="right")
            for c in np.unique(owner):
                here = np.flatnonzero(owner == c)
                first = sizes[c] - len(self.prompts[c].shares)
                out[row, here] = self._draw(int(c), row, drawn[here] - first, g[c][i], rng)

    def _draw(self, c: int, row: int, pieces: Index, g: Array, rng: np.random.Generator) -> Array:
        """Draws of one image from given pieces of a prompt, standardised: first w, then what is free given w."""
        given, prompt = self._given[c], self.prompts[c]
        eps = rng.standard_normal((len(pieces), g.shape[1]))
        w = np.stack(
            [
                prompt.means[j] + prompt.factors[j] @ (given.pieces.root[j] @ (g[j] + e))
                for j, e in zip(pieces, eps, strict=True)
            ]
        )
        return given.complete(w, self._seen(slice(row, row + 1))) + given.deviate(rng, len(pieces))

    @lazy
    def _independent(self) -> tuple[Any, AnyArray]:
        """The operator and what was seen, of full row rank where no noise makes up for it."""
        return (self.matrix, self.y) if self.noise_std else orthonormal_rows(self.matrix, self.y)

    @lazy
    def _reduced(self) -> tuple[Any, AnyArray, Selection | Compression | None]:
        """The same in fewer numbers, where that is possible."""
        if self.matrix is None:
            return None, self.y, None
        (matrix, y), encoder = self._independent, self.prompts[0].encoder
        if self.noise_std == 0.0 and (selection := Selection.of(matrix, encoder)):
            return matrix, selection.split(y, encoder), selection
        compression = Compression.of(matrix, encoder)
        return (matrix, y, None) if compression is None else (compression.matrix, compression.split(y), compression)

    @lazy
    def _given(self) -> list[Conditional]:
        bulk = precision(self.y).type
        return [self._condition(prompt.with_noise(self.unmodelled), bulk) for prompt in self.prompts]

    @lazy
    def _local(self) -> Local | None:
        """What gives robust means where a mask hides pixels; of what is blurred or noisy, pieces tell as well."""
        if self.temperature == 1.0 or self.noise_std or self.matrix is None or not is_mask(self._independent[0]):
            return None
        local = Local(self.prompts, self.weights, self._condition, self.unmodelled, precision(self.y).type)
        return local if local.temperature < 1 else None

    def _condition(self, prompt: PromptDensity, bulk: type[np.floating] = np.float64) -> Conditional:
        matrix, _, short = self._reduced
        if isinstance(short, Selection):
            return Masked(prompt, short, bulk)
        if short is not None:
            return Compressed(prompt, matrix, self.noise_std, bulk, short)
        return condition(prompt, matrix, self.noise_std, bulk)

    def _seen(self, part: slice) -> AnyArray:
        """What was seen of some of the images, as `Conditional`s of all prompts take it."""
        seen = self._reduced[1][part]
        alike = self.matrix is None and isinstance(self._given[0], Noised)
        return np.hstack(coordinates(self.prompts[0].encoder, seen)) if alike else seen

    @property
    def _std(self) -> Array:
        return self.prompts[0].encoder.std

    def _joint(self, part: slice) -> tuple[list[Array], list[Array]]:
        """Log-density (n, s) of images and pieces together, for each prompt, and g (n, s, r)."""
        seen = self._seen(part)
        found = in_parallel(lambda given: given.evidence(seen), self._given)
        weights = np.log(self.weights)
        return [log_density + weight for (log_density, _), weight in zip(found, weights, strict=True)], [
            g for _, g in found
        ]

    def _likely(self, part: slice) -> tuple[list[Array], list[Array]]:
        """How likely each piece (n, s) of each prompt is, and g."""
        joint, gs = self._joint(part)
        if self.temperature != 1.0:
            priors = [np.log(weight * prompt.shares) for prompt, weight in zip(self.prompts, self.weights, strict=True)]
            joint = [self.temperature * (j - prior) + prior for j, prior in zip(joint, priors, strict=True)]
        total = logsumexp(np.hstack(joint), axis=1)[:, None]
        likely = [np.exp(log_density - total) for log_density in joint]
        least = _NEGLIGIBLE if self.temperature == 1.0 else _TEMPERED
        likely = [np.where(rho > least, rho, 0.0) for rho in likely]
        total = np.sum([rho.sum(axis=1) for rho in likely], axis=0)[:, None]
        return [rho / total for rho in likely], gs

    def _mixed_mean(self, seen: AnyArray, likely: list[Array], gs: list[Array]) -> Array:
        """Standardised means (n, d): those of all pieces, as likely as they are."""

        def share(own: tuple[Conditional, Array, Array]) -> tuple[Index, Array]:
            """The images that a prompt is likely for, and what it adds to their means."""
            given, rho, g = own
            rows = np.flatnonzero(rho.sum(axis=1) > 0)
            w = np.zeros((len(rho), given.prompt.means.shape[1]))
            for j, members, found in _pieces(given, rho, g):
                w[members] += rho[members, j, None] * found
            follow = given.follow(seen[rows]) if len(rows) else np.empty((0, len(self._std)))
            return rows, given.expand(w[rows]) + rho[rows].sum(axis=1)[:, None] * follow

        mean = np.zeros((len(likely[0]), len(self._std)))
        for rows, added in in_parallel(share, zip(self._given, likely, gs, strict=True)):
            mean[rows] += added
        return mean

    def _variance(self, part: slice, likely: list[Array], gs: list[Array], mean: Array) -> Array:
        """Within pieces, and between them, shape (n, d)."""

        seen = self._seen(part)

        def share(own: tuple[Conditional, Array, Array]) -> tuple[Index, Array]:
            given, rho, g = own
            rows = np.flatnonzero(rho.sum(axis=1) > 0)
            if not len(rows):
                return rows, np.empty((0, mean.shape[1]))
            variance, center = np.zeros((len(rows), mean.shape[1])), given.follow(seen[rows]) - mean[rows]
            for j, members, w in _pieces(given, rho[rows], g[rows]):
                free = given.expand((given.prompt.factors[j] @ given.pieces.root[j]).T)
                inside = given.variance + (free**2).sum(axis=0)
                between = (given.expand(w) + center[members]) ** 2
                variance[members] += rho[rows[members], j, None] * (inside + between)
            return rows, variance

        variance = np.zeros_like(mean)
        for rows, added in in_parallel(share, zip(self._given, likely, gs, strict=True)):
            variance[rows] += added
        return variance


def _pieces(given: Conditional, rho: Array, g: Array) -> Iterator[tuple[int, Index, Array]]:
    """The pieces that are likely for some images: (piece, images, mean of w (n, k) given the piece)."""
    for j in np.flatnonzero(rho.max(axis=0) > 0):
        members = np.flatnonzero(rho[:, j] > 0)
        move = given.prompt.factors[j] @ given.pieces.root[j]
        yield int(j), members, given.prompt.means[j] + g[members, j] @ move.T


def orthonormal_rows(matrix: Any, y: AnyArray) -> tuple[Any, AnyArray]:
    """An operator that says the same without noise, but whose rows are orthonormal, and what was seen through it.

    Parameters
    ----------
    matrix : array or sparse array of shape (m, d)
    y : array of shape (n, m)
        What lies outside the operator's range is left out.
    """
    square = matrix @ matrix.T
    length2 = square.diagonal()
    beside = (square - sparse.diags_array(length2)).data if sparse.issparse(square) else square - np.diag(length2)
    least = _SINGULAR * length2.max(initial=0.0)
    if np.abs(beside).max(initial=0.0) <= least:  # disjoint rows: masks, blocks, channels
        rows = np.flatnonzero(length2 > least)
        length = np.sqrt(length2[rows])
        return sparse.csr_array(sparse.diags_array(1 / length) @ sparse.csr_array(matrix)[rows]), y[:, rows] / length
    dense = matrix.toarray() if sparse.issparse(matrix) else matrix
    u, s, v = np.linalg.svd(dense, full_matrices=False)
    single = y.dtype == np.float32  # whose rounding is noise, too
    rank = int((s > (_SINGULAR_FLOAT32 if single else _SINGULAR) * s.max(initial=0.0)).sum())
    return v[:rank], y @ (u[:, :rank] / s[:rank])


def roomy(prompts: Sequence[PromptDensity], counts: Array, beside: float) -> list[PromptDensity]:
    """Prompts for whole images that are no draws from the density: with a share of the variance of all images beside.

    A prompt without styles, of more images than pixels, knows what it does not know, and is left as it is.

    Parameters
    ----------
    prompts : sequence of p PromptDensity
    counts : array of shape (p,)
        Images that each was fitted on.
    beside : float
        See `unseen`.
    """
    return [
        prompt
        if len(prompt.shares) == 1 and n > len(prompt.encoder.mean)
        else prompt.widened(max(POPULATION, min(1.0, _AS_MANY / n))).with_noise(beside)
        for prompt, n in zip(prompts, counts, strict=True)
    ]


def estimate_noise(everything: PromptDensity, matrix: Any, y: AnyArray) -> float:
    """The deviation of the noise under which what was seen is most likely, in the units of y.

    By bounded search (Brent 1973) over its logarithm, on fifty of the images, under one Gaussian of all images: it has
    their second moments, so that it takes nothing for noise which images have themselves, as narrow pieces would.

    Parameters
    ----------
    everything : PromptDensity
        With what new images have beside it.
    matrix, y
        As in `Posterior`.
    """
    some = y[np.sort(np.random.default_rng(0).permutation(len(y))[:_ESTIMATED_ON])]
    mean = everything.encoder.mean
    largest = 2 * float(np.sqrt(((some - (mean if matrix is None else matrix @ mean)) ** 2).mean()))
    if largest == 0.0:
        return 0.0

    def unlikely(log_std: float) -> float:
        return -float(Posterior([everything], np.ones(1), matrix, some, float(np.exp(log_std))).log_evidence().mean())

    found = minimize_scalar(
        unlikely, bounds=(np.log(largest) - 10, np.log(largest)), method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x))


def require_memory(prompts: Sequence[PromptDensity], m: int) -> None:
    """Refuse an operator that leaves m numbers of an image where its matrices would not fit, saying what would."""
    k, d = prompts[0].encoder.components.shape
    most = max(int(prompt.factors[:, 0].size) for prompt in prompts)

    def needed(n_prompts: int) -> int:
        return int(8 * (n_prompts * (m * m + 2 * m * (k + d) + 2 * k * d + 2 * min(m, d) * most) + 2 * m * m + m * d))

    available = available_memory()
    if available is None or needed(len(prompts)) <= available:
        return
    fitting = next((n for n in range(len(prompts) - 1, 0, -1) if needed(n) <= available), 0)
    advice = (
        f"{fitting} prompts would fit, one after the other with prompts=..."
        if fitting
        else "use a model of smaller images, or an operator that leaves less"
    )
    raise NotEnoughMemoryError(
        f"restoring images of {d} pixels from {m} numbers under {len(prompts)} prompts needs about "
        f"{readable(needed(len(prompts)))}, and {readable(available)} are available; {advice}."
    )
