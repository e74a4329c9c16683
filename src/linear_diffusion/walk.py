"""Noise -> images of composed prompts: compiled where that is cheaper, else all pieces walk the loop in step.

    z_0 = A_piece z_T + b_piece         or         z_s = step(z_t, z0_hat_piece(z_t)) for all images at once

In step, the branch that guidance leads away from is one product for all images, and no k x k matrix is formed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from ._threads import in_parallel
from ._types import AnyArray, Array, Index
from .affine import AffineMap
from .compose import Composition
from .denoiser import Denoiser, GaussianDenoiser, LinearDenoiser, from_basis, to_basis
from .generate import Run
from .guidance import Grouped, Guided, GuidedDenoiser
from .noise import Level, blocks, start_noise, start_std, step_noise
from .render import render
from .sampler import SAMPLERS, compile_map, trajectory
from .text import by_prompt

Groups = list[tuple[Index | slice, int, Any]]
"""``(rows, piece, its denoiser without guidance)``."""
_BASES = 2**28
"""Bytes of eigenvectors that walk in step."""


def images(composition: Composition, run: Run, index: Index) -> AnyArray:
    """Images of given pieces, shape (n, ...)."""
    if composition.generator.styles is not None:
        return _Walk(composition, run).images(index)
    variances = np.zeros(len(composition.pieces))

    def laws(used: Index) -> AffineMap:
        found = [composition.law(run, composition.pieces[j]) for j in used]
        variances[used] = [(law.matrix**2).sum() for law in found]
        return AffineMap(np.stack([law.matrix for law in found]), np.stack([law.shift for law in found]))

    drawn = render(laws, index, composition.decoder(), run.entropy)
    composition.check_variances(variances)
    return drawn


def paths(composition: Composition, run: Run, index: Index) -> AnyArray:
    """All that the loops of images pass through, shape (n_steps + 1, n, ...)."""
    if composition.generator.styles is None and composition.scale != 1.0:
        totals = [(composition.law(run, piece).matrix ** 2).sum() for piece in composition.pieces]
        composition.check_variances(np.array(totals))
    return _Walk(composition, run).paths(index, n_levels=len(run.levels))


def edited(composition: Composition, run: Run, index: Index, z: Array) -> AnyArray:
    """What a run makes of latents that are noised to its first level.

    Parameters
    ----------
    composition : Composition
    run : Run
        Of the last levels of a schedule.
    index : array of int, shape (n,)
        Piece of each image.
    z : array of shape (n, k)

    Returns
    -------
    array of shape (n, ...)
    """
    return _Walk(composition, run, z).images(index)


@dataclass(frozen=True)
class _Walk:
    """A run of many pieces; from ``noised`` latents at the first level, or from noise."""

    composition: Composition
    run: Run
    noised: Array | None = None
    laws: dict[int, AffineMap] = field(default_factory=dict)

    def images(self, index: Index) -> AnyArray:
        last: AnyArray = self.paths(index, n_levels=1, compiled=self._compiles(len(index)))[0]
        return last

    def paths(self, index: Index, n_levels: int, compiled: bool = False) -> AnyArray:
        """Images (n_levels, n, ...): at each level, or at the last one alone."""
        composition, image = self.composition, self.composition.generator.decoder.image
        decoder = composition.decoder()
        centers, squared = composition.centers(), np.empty(len(index))
        out = np.empty((n_levels, len(index), image.n_pixels), image.dtype)
        for rows, start, noise in self._portions(index):
            path = self._path(index[rows], start, noise, compiled)
            for level, z in enumerate(path if n_levels > 1 else deque(path, maxlen=1)):
                curve = composition.curve_of(index[rows], z) if level == n_levels - 1 else None
                out[level, rows] = decoder.draw(z, curve)
            squared[rows] = ((z - centers[index[rows]]) ** 2).sum(axis=1)
        if composition.generator.styles is not None or self.noised is not None:
            composition.check_draws(index, squared)
        return out.reshape(n_levels, len(index), *image.shape)

    def _compiles(self, n: int) -> bool:
        """Whether n images are compiled, one map per piece, which costs as much as about k images in a loop.

        An image must not depend on how many others there are. What a sampler without noise makes of it is the same
        either way, so n may choose; one with noise compiles where there is no guidance, as it does for plain prompts.
        """
        if self.run.sampler == "exact":
            return True
        if self.composition.mixture or self.noised is not None:
            return False
        noisy = self.run.sampler == "ddpm" or self.run.eta > 0
        return self.composition.scale == 1.0 or (not noisy and n >= self._k * len(self.composition.pieces))

    def _portions(self, index: Index) -> Iterator[tuple[Index, Array, Iterator[Array]]]:
        """Rows of no more pieces than whose eigenvectors fit, where they start, and the noise of their steps."""
        most = max(_BASES // (8 * self._k**2), 1)
        for block, part in blocks(len(index)):
            n, used = part.stop - part.start, np.unique(index[part])
            start = start_noise(self.run.entropy, block, n, self._k) if self.noised is None else self.noised[part]
            for first in range(0, len(used), most):
                rows = np.flatnonzero(np.isin(index[part], used[first : first + most]))
                noise = (step[rows] for step in step_noise(self.run.entropy, block, n, self._k))
                yield part.start + rows, start[rows].astype(np.float64), noise

    def _path(self, index: Index, start: Array, noise: Iterator[Array], compiled: bool) -> Iterator[Array]:
        """z of some images at each level, from where they start; the last one alone, if compiled."""
        composition, run = self.composition, self.run
        each = list(by_prompt(index))
        conditional = in_parallel(lambda own: composition.conditional(composition.pieces[own[0]]), each)
        groups = [(rows, j, cond) for (j, rows), cond in zip(each, conditional, strict=True)]
        if self.noised is None:
            start = self._turned(groups, start)
        if compiled:
            return iter([_apply(groups, start, self._end)])
        if run.sampler == "exact":
            return (_apply(groups, start, partial(self._exact, level)) for level in run.levels)
        denoiser: Denoiser = Grouped([(rows, cond) for rows, _, cond in groups])
        if composition.scale != 1.0:
            away = np.empty(len(index), np.intp)
            negatives = list({composition.pieces[j].negative: None for _, j, _ in groups})
            for rows, j, _ in groups:
                away[rows] = negatives.index(composition.pieces[j].negative)
            parts = [(rows, composition.away(negatives[a])) for a, rows in by_prompt(away)]
            denoiser = Guided(denoiser, Grouped(parts), composition.scale)
        # Noised latents start where they are; what `trajectory` takes is noise, which it scales.
        eps = start if self.noised is None else start / start_std(run.levels[0])
        return trajectory(SAMPLERS[run.sampler], run.levels, denoiser, eps, noise, run.eta)

    def _turned(self, groups: Groups, eps: Array) -> Array:
        """Noise turned for each heaviest style as `Styles.start` does, so that mixes begin where plain prompts do."""
        styles = self.composition.styles
        if styles is None:
            return eps
        out = np.empty_like(eps)
        for rows, j, cond in groups:
            parts = self.composition.pieces[j].parts
            prior = cond if len(parts) == 1 else styles.gaussian(parts[0][0])
            out[rows] = styles.start(parts[0][0], eps[rows], cast(GaussianDenoiser, prior))
        return out

    def _exact(self, level: Level, j: int, cond: Any, z: Array) -> Array:
        """The exact flow to a level: of the true marginal from noise, or of noised latents from their level."""
        prior = cast(GaussianDenoiser, cond)
        flow = prior.marginal(level) if self.noised is None else prior.flow_map(self.run.levels[0], level)
        return from_basis(prior.basis, flow(to_basis(prior.basis, z)))

    def _end(self, j: int, cond: Any, z: Array) -> Array:
        """z_0 of one piece's images, by one map."""
        composition, run = self.composition, self.run
        if run.sampler == "exact":
            return self._exact(run.levels[-1], j, cond, z)
        if composition.scale == 1.0:
            law, basis = self._compile(cond), cond.basis
            return from_basis(basis, law(to_basis(basis, z)))
        if j not in self.laws:
            away = composition.away(composition.pieces[j].negative)
            self.laws[j] = self._compile(GuidedDenoiser(cond, away, composition.scale))
        return self.laws[j](z)

    def _compile(self, denoiser: LinearDenoiser) -> AffineMap:
        levels = self.run.levels
        return compile_map(SAMPLERS[self.run.sampler], levels, denoiser, self.run.eta).from_noise(start_std(levels[0]))

    @property
    def _k(self) -> int:
        return len(self.composition.generator.decoder.encoder.components)


def _apply(groups: Groups, z: Array, work: Callable[[int, Any, Array], Array]) -> Array:
    """Each group's rows through ``work(piece, denoiser, rows of z)``."""
    out = np.empty_like(z)
    for rows, j, cond in groups:
        out[rows] = work(j, cond, z[rows])
    return out
