"""Noise -> images of composed prompts: compiled where that is cheaper, else all pieces walk the loop in step.

    z_0 = A_piece z_T + b_piece         or         z_s = step(z_t, z0_hat_piece(z_t)) for all images at once

In step, the branch that guidance leads away from is one product for all images, and no k x k matrix is formed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from ._threads import in_parallel
from ._types import AnyArray, Array, Index
from .affine import AffineMap
from .compose import Composition
from .denoiser import Denoiser, GaussianDenoiser, LinearDenoiser, from_basis, to_basis
from .generate import Run
from .guidance import Grouped, Guided
from .noise import Level, blocks, start_noise, start_std
from .render import Noise, chosen_noise, render
from .sampler import SAMPLERS, bridge, compile_map, trajectory
from .text import by_prompt

Groups = list[tuple[Index | slice, int, Any]]
"""``(rows, piece, its denoiser without guidance)``."""
_BASES = 2**28
"""Bytes of eigenvectors that walk in step."""


def images(composition: Composition, run: Run, index: Index) -> AnyArray:
    """Images of given pieces, shape (n, ...)."""
    walk = _Walk(composition, run)
    if composition.generator.styles is not None or not walk.compiles:
        return walk.images(index)

    def laws(used: Index) -> AffineMap:
        found = [composition.law(run, composition.pieces[j]) for j in used]
        return AffineMap(np.stack([law.matrix for law in found]), np.stack([law.shift for law in found]))

    return render(laws, index, composition.decoder(), run.entropy)


def paths(composition: Composition, run: Run, index: Index) -> AnyArray:
    """All that the loops of images pass through, shape (n_steps + 1, n, ...)."""
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

    def images(self, index: Index) -> AnyArray:
        last: AnyArray = self.paths(index, n_levels=1, compiled=self.compiles)[0]
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
        composition.check_draws(index, squared)
        return out.reshape(n_levels, len(index), *image.shape)

    @property
    def compiles(self) -> bool:
        """Whether a run is compiled, one map per piece, as it is for plain prompts; guidance is not linear.

        With noise in its steps only where `bridge` can show the loop that ends there.
        """
        if self.run.sampler == "exact":
            return True
        if self.composition.mixture or self.noised is not None or self.composition.scale != 1.0:
            return False
        return not (self.run.noisy and self.composition.generator.regression)

    def _portions(self, index: Index) -> Iterator[tuple[Index, Array, Noise]]:
        """Rows of no more pieces than whose eigenvectors fit, where they start, and the noise of their steps."""
        most = max(_BASES // (8 * self._k**2), 1)
        for block, part in blocks(len(index)):
            n, used = part.stop - part.start, np.unique(index[part])
            start = start_noise(self.run.entropy, block, n, self._k) if self.noised is None else self.noised[part]
            for first in range(0, len(used), most):
                rows = np.flatnonzero(np.isin(index[part], used[first : first + most]))
                noise = partial(chosen_noise, self.run.entropy, block, n, self._k, rows)
                yield part.start + rows, start[rows].astype(np.float64), noise

    def _path(self, index: Index, start: Array, noise: Noise, compiled: bool) -> Iterator[Array]:
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
            denoiser = Guided(denoiser, Grouped(parts), composition.scale, rescaled=True)
        # Noised latents start where they are; what `trajectory` takes is noise, which it scales.
        eps = start if self.noised is None else start / start_std(run.levels[0])
        steps = noise()
        if run.noisy and self.compiles:
            eps, steps = self._bridged(groups, eps, noise)
        return trajectory(SAMPLERS[run.sampler], run.levels, denoiser, eps, steps, run.eta)

    def _bridged(self, groups: Groups, eps: Array, noise: Noise) -> tuple[Array, Iterator[Array]]:
        """Noise of a loop that ends where each group's compiled run does; see `bridge`."""
        run, start = self.run, np.empty_like(eps)
        each: list[Iterator[Array]] = []
        for rows, _, cond in groups:
            own = partial(_rows_of, noise, rows)
            start[rows], steps = bridge(SAMPLERS[run.sampler], run.levels, cond, eps[rows], own, run.eta)
            each.append(steps)

        def joined() -> Iterator[Array]:
            for parts in zip(*each, strict=True):
                step = np.empty_like(eps)
                for (rows, _, _), part in zip(groups, parts, strict=True):
                    step[rows] = part
                yield step

        return start, joined()

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
        run = self.run
        if run.sampler == "exact":
            return self._exact(run.levels[-1], j, cond, z)
        law, basis = self._compile(cond), cond.basis
        return from_basis(basis, law(to_basis(basis, z)))

    def _compile(self, denoiser: LinearDenoiser) -> AffineMap:
        levels = self.run.levels
        return compile_map(SAMPLERS[self.run.sampler], levels, denoiser, self.run.eta).from_noise(start_std(levels[0]))

    @property
    def _k(self) -> int:
        return len(self.composition.generator.decoder.encoder.components)


def _rows_of(noise: Noise, rows: Index | slice) -> Iterator[Array]:
    return (step[rows] for step in noise())


def _apply(groups: Groups, z: Array, work: Callable[[int, Any, Array], Array]) -> Array:
    """Each group's rows through ``work(piece, denoiser, rows of z)``."""
    out = np.empty_like(z)
    for rows, j, cond in groups:
        out[rows] = work(j, cond, z[rows])
    return out
