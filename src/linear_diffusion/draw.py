"""Draw: noise -> images, of whatever a plan says.

    compiled    x = curves(U law(U' eps) W + offset)          the whole run is one map, noise to pixels
    looped      z_s = step(z_t, z0_hat(z_t)), ...             where its way is wanted, or guidance, which is not linear

Both ways lead from the same noise to the same images. With noise in its steps, a loop is given noise that adds up to
what the compiled run draws at once (`sampler.bridge`).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from .denoiser.affine import AffineMap
from .denoiser.gaussian import Denoiser, LinearDenoiser, side_by_side
from .guidance import Grouped, Guided
from .image.decoder import Decoder
from .noise import Level, start_std
from .plan import Plan, distinct
from .sampler import Sampler, adds_noise, bridge, compile_law, trajectory
from .utils.groups import by_group, cut
from .utils.lazy import lazy
from .utils.streams import BLOCK, blocks, start_noise, step_noise
from .utils.threads import blas_threads, in_parallel
from .utils.types import AnyArray, Array, Index

_SUPERBLOCK = 16 * BLOCK
_PIXELS = 2**20
"""Pixels that a thread works on at once."""
_BASES = 2**28
"""Bytes of eigenvectors that a loop holds at once."""


@dataclass(frozen=True)
class Run:
    """How a sampler runs down the levels, from the noise of all random streams that grow from the entropy; None is
    "exact"."""

    sampler: Sampler | None
    levels: list[Level]
    eta: float
    entropy: int

    @lazy
    def noisy(self) -> bool:
        """Whether steps add noise."""
        return adds_noise(self.sampler, self.levels, self.eta)

    def laws(self, denoisers: Sequence[LinearDenoiser]) -> list[AffineMap]:
        """From noise to z_0, in the coordinates of each denoiser; those of Gaussians are compiled side by side."""
        if self.sampler is None or denoisers[0].basis is None:
            return in_parallel(lambda one: compile_law(self.sampler, self.levels, one, self.eta), denoisers)
        law = compile_law(self.sampler, self.levels, side_by_side(denoisers), self.eta)  # type: ignore[arg-type]
        ends = np.cumsum([denoiser.basis.shape[1] for denoiser in denoisers[:-1]])  # type: ignore[union-attr]
        return list(map(AffineMap, np.split(law.matrix, ends), np.split(law.shift, ends)))


def draw(plan: Plan, run: Run) -> AnyArray:
    """Images (n, \\*image.shape) of a plan, of the data's dtype."""
    if plan.scale != 1.0 or (run.noisy and not plan.prior.has_density):  # no loop could show how the law was reached
        return _loop(plan, run, 1)[0]
    image, k = plan.decoder.image, plan.decoder.encoder.latent_dim
    out = np.empty((len(plan.index), image.n_pixels), image.dtype)
    for here in cut(len(out), _SUPERBLOCK):
        order = np.argsort(plan.index[here], kind="stable")
        noise = _ordered_noise(run.entropy, slice(plan.first + here.start, plan.first + here.stop), order, k)
        used = np.unique(plan.index[here]).tolist()
        denoisers = [plan.denoiser(piece) for piece in used]
        laws = dict(zip(used, zip(denoisers, run.laws(denoisers), strict=True), strict=True))
        part = _Part(plan, laws, plan.index[here][order], noise, order, out[here])
        in_parallel(part.fill, list(cut(len(order), max(BLOCK // 4, -(-len(order) // (4 * blas_threads()))))))
    return image.images(out)


def draw_paths(plan: Plan, run: Run) -> AnyArray:
    """All that the loops of images pass through, shape (n_steps + 1, n, \\*image.shape)."""
    return _loop(plan, run, len(run.levels))


def draw_from(plan: Plan, run: Run, z: Array, beside: Array) -> AnyArray:
    """What a run makes of latents (n, k) that are noised to its first level, shape (n, \\*image.shape); what no
    component draws of them is added in the end."""
    return _loop(plan, run, 1, z, beside)[0]


@dataclass(frozen=True)
class _Part:
    """Images in the order of their pieces: rows of noise become pixels, in their place."""

    plan: Plan
    laws: dict[int, tuple[LinearDenoiser, AffineMap]]
    piece: Index
    noise: Array
    order: Index
    out: AnyArray

    def fill(self, rows: slice) -> None:
        """Draw some of the images."""
        decoder = self.plan.decoder
        w: Array = decoder.encoder.to_pixels_float32  # (k, d)
        pieces = np.unique(self.piece[rows])
        first, maps, shift, in_pixels = self._maps(pieces.tolist(), rows.stop - rows.start)
        for part in cut(rows.stop - rows.start, max(_PIXELS // decoder.image.n_pixels, 1)):
            here = slice(rows.start + part.start, rows.start + part.stop)
            out: AnyArray = np.empty((here.stop - here.start, w.shape[in_pixels]), np.float32)
            place = np.searchsorted(pieces, self.piece[here])
            for j, own in by_group(first[place]):
                *matrices, last = maps[j]
                out[own] = reduce(np.matmul, matrices, self.noise[here][own]) @ last
            out += shift[place]
            if not in_pixels:
                out = out @ w
                out += decoder.encoder.mean.astype(np.float32)
            self.out[self.order[here]] = decoder.finish(out, self.plan.curves[self.piece[here]], on_grid=in_pixels)

    def _maps(self, pieces: list[int], n: int) -> tuple[Index, list[list[AnyArray]], Array, bool]:
        """Maps that take noise to latents, or to positions in the tone curves' tables, and what is added for each
        piece; float32. Pieces that vary alike have one map: which, comes first. Straight to pixels, by fewer numbers an
        image, where the n images are more than the maps' directions."""
        decoder, encoder = self.plan.decoder, self.plan.decoder.encoder
        maps: list[list[AnyArray]] = []
        shifts, which, made = [], [], dict[Any, int]()
        for piece in pieces:
            denoiser, law = self.laws[piece]
            basis = denoiser.basis
            at = len(maps)
            if basis is None:
                maps.append([law.matrix.T.astype(np.float32)])
                shifts.append(law.shift)
            else:
                alike = basis.ctypes.data, law.matrix.tobytes(), int(self.plan.curves[piece])
                at = made.setdefault(alike, at)
                if at == len(maps):
                    single = basis.astype(np.float32, copy=False)
                    maps.append([single * law.matrix.astype(np.float32), single.T])
                shifts.append(basis @ law.shift + denoiser.beside)
            which.append(at)
        first, ranks = np.array(which), [len(own[-1]) for own in maps]
        in_pixels = sum(ranks) < n
        shift = np.stack(shifts)
        if in_pixels:
            curves, own_curve = np.unique(self.plan.curves[pieces], return_inverse=True)
            low, step = np.stack([decoder.grid(curve) for curve in curves.tolist()], axis=1)[:, own_curve]
            shift = (shift @ encoder.to_pixels + encoder.mean - low) / step
            stacked = np.concatenate([own[-1] for own in maps]) @ encoder.to_pixels_float32
            lasts = np.split(stacked, np.cumsum(ranks[:-1]))
            units = step[np.unique(first, return_index=True)[1]].astype(np.float32)
            for own, last, unit in zip(maps, lasts, units, strict=True):
                last /= unit
                own[-1] = last
                if len(own) == 2 and len(own[0]) == len(last):  # of full rank: one product for each image, not two
                    own[:] = [own[0] @ last]
        return first, maps, shift.astype(np.float32), in_pixels


def _ordered_noise(entropy: int, rows: slice, order: Index, k: int) -> Array:
    """Noise (n, k) of images in a row of blocks, put in order."""
    place, z = np.empty_like(order), np.empty((len(order), k), np.float32)
    place[order] = np.arange(len(order))

    def fill(block: int) -> None:
        first = block * BLOCK
        to = place[first - rows.start : min(first + BLOCK, rows.stop) - rows.start]
        z[to] = start_noise(entropy, block, len(to), k)

    in_parallel(fill, list(range(rows.start // BLOCK, -(-rows.stop // BLOCK))))
    return z


def _loop(plan: Plan, run: Run, n_levels: int, z: Array | None = None, beside: Array | None = None) -> AnyArray:
    """Images (n_levels, n, ...): at each level, or at the last one alone; from noise, or from noised latents."""
    decoder, k = plan.decoder, plan.decoder.encoder.latent_dim
    out = np.empty((n_levels, len(plan.index), decoder.image.n_pixels), decoder.image.dtype)
    ends = np.empty((len(plan.index), k))
    most = max(_BASES // (8 * k**2), 1)
    for block, part in blocks(len(plan.index)):
        n, used = part.stop - part.start, np.unique(plan.index[part])
        block += plan.first // BLOCK
        start = start_noise(run.entropy, block, n, k) if z is None else z[part]
        for first in range(0, len(used), most):
            own = np.flatnonzero(np.isin(plan.index[part], used[first : first + most]))
            rows, loop = part.start + own, _Loop(plan, run, block, n, own, z is not None)
            path = loop.path(plan.index[rows], start[own].astype(np.float64))
            for level, at_level in enumerate(path if n_levels > 1 else deque(path, maxlen=1)):
                at_level = at_level if beside is None else at_level + beside[rows]
                curve = plan.curves[plan.index[rows]] if level == n_levels - 1 else None
                out[level, rows] = decoder.decode(at_level, curve)
            ends[rows] = at_level
    plan.check_draws(ends)
    return out.reshape(n_levels, len(plan.index), *decoder.image.shape)


@dataclass(frozen=True)
class _Loop:
    """The loop of some rows of a block of n images."""

    plan: Plan
    run: Run
    block: int
    n: int
    rows: Index
    from_latents: bool

    def path(self, pieces: Index, z: Array) -> Iterator[Array]:
        """z of the images at each level, from noise or from noised latents (n, k)."""
        groups = [(rows, self.plan.denoiser(piece)) for piece, rows in by_group(pieces)]
        if self.plan.scale != 1.0:
            guided = Guided(Grouped(groups), self._away(pieces), self.plan.scale, rescaled=True)
            return self._one(guided, slice(None), z)
        return _joined([(rows, self._one(denoiser, rows, z[rows])) for rows, denoiser in groups], z.shape)

    def _one(self, denoiser: Denoiser, rows: Index | slice, z: Array) -> Iterator[Array]:
        run, noise = self.run, partial(self._noise, rows)
        if self.from_latents:
            return trajectory(run.sampler, run.levels, denoiser, z, noise(), run.eta, first=run.levels[0])
        steps = noise()
        if run.sampler is not None:
            if run.noisy and self.plan.scale == 1.0 and self.plan.prior.has_density:
                z, steps = bridge(run.sampler, run.levels, denoiser, z, noise, run.eta)  # type: ignore[arg-type]
            z = start_std(run.levels[0]) * z
        return trajectory(run.sampler, run.levels, denoiser, z, steps, run.eta)

    def _away(self, pieces: Index) -> Denoiser:
        negatives, which = distinct([self.plan.pieces[piece].negative for piece in pieces.tolist()])
        return Grouped([(rows, self.plan.away(negatives[i])) for i, rows in by_group(which)])

    def _noise(self, rows: Index | slice) -> Iterator[Array]:
        """The noise of each step; from the first step on whenever it is asked for."""
        k = self.plan.decoder.encoder.latent_dim
        return (step[self.rows][rows] for step in step_noise(self.run.entropy, self.block, self.n, k))


def _joined(paths: list[tuple[Index | slice, Iterator[Array]]], shape: tuple[int, ...]) -> Iterator[Array]:
    """The paths of groups as one of all images."""
    for parts in zip(*(path for _, path in paths), strict=True):
        z = np.empty(shape)
        for (rows, _), part in zip(paths, parts, strict=True):
            z[rows] = part
        yield z


def bytes_to_draw(n: int, n_pictures: int, decoder: Decoder, rank: int, n_components: int) -> int:
    """Bytes that drawing n images takes at its peak, with so many pictures of each, beside the model: the images, what
    numbers each (its prompt, component and place), noise, each thread's pixels, and the directions of components, so
    many and of such a rank at most."""
    k, d = decoder.encoder.components.shape
    each = 70 + n_pictures * d * np.dtype(decoder.image.dtype).itemsize
    rows = min(n, _SUPERBLOCK if n_pictures == 1 else BLOCK)
    maps = 8 * min(n, n_components) * rank * (k + d) if rank < k else 4 * blas_threads() * k * (4 * k + 2 * d)
    return int(n * each + 8 * rows * k + blas_threads() * 12 * min(n * d, max(_PIXELS, d)) + maps)
