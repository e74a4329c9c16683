"""Composed prompts: what an image is drawn from when it is not one prompt alone.

    z | c ~ N(sum_i w_i mu_i, sum_i w_i S_i),      guided away from the pooled Gaussian or a negative prompt

Images are grouped into pieces, whatever a prompt is: one Gaussian, many styles, or a regression. A piece has a
denoiser, a law where it is compiled, and a tone curve; `walk` draws from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._lazy import lazy
from ._types import Array, Index
from .affine import AffineMap
from .denoiser import GaussianDenoiser, LinearDenoiser, mixed, pooled
from .generate import Generator, Run
from .guidance import warn_of_runaway
from .prompts import Mix
from .render import Decoder
from .sampler import SAMPLERS, compile_law, exact_law
from .styles import MixtureDenoiser, Styles
from .text import by_prompt


class Piece(NamedTuple):
    """What some images are drawn from.

    ``parts`` are prompts, or styles where there are any; ``negative`` are prompts, or None for all prompts pooled.
    """

    parts: Mix
    negative: Mix | None = None


def plan(
    mixes: Sequence[Mix], drawn: Index, styles: Styles | None, negatives: Sequence[Mix]
) -> tuple[list[Piece], Index]:
    """Group images into pieces.

    Parameters
    ----------
    mixes : sequence of n Mix
        Prompts of each image.
    drawn : array of int, shape (n,)
        Style of each image's heaviest prompt (that prompt, where there are no styles). Each other prompt of a mix
        gives its style whose mean is nearest to it.
    styles : Styles or None
    negatives : sequence of n Mix
        Empty for the pooled Gaussian.

    Returns
    -------
    pieces : list of Piece
    index : array of int, shape (n,)
        Piece of each image.
    """
    found: dict[Piece, int] = {}
    nearest = _nearest(styles) if styles and any(len(m) > 1 for m in mixes) else (lambda style, prompt: prompt)
    index = np.empty(len(mixes), np.intp)
    for i, (mix, first) in enumerate(zip(mixes, drawn.tolist(), strict=True)):
        parts = ((first, mix[0][1]), *((nearest(first, prompt), weight) for prompt, weight in mix[1:]))
        piece = Piece(parts, negatives[i] if negatives else None)
        index[i] = found.setdefault(piece, len(found))
    return list(found), index


def _nearest(styles: Styles) -> Callable[[int, int], int]:
    """``(style, prompt) -> the prompt's style whose mean is nearest``."""
    means = np.stack([styles.basis[c] @ mean for c, mean in zip(styles.owner, styles.means, strict=True)])

    def nearest(style: int, prompt: int) -> int:
        own = styles.of(prompt)
        return int(own[((means[own] - means[style]) ** 2).sum(axis=1).argmin()])

    return nearest


@dataclass(frozen=True)
class Composition:
    """The pieces of a call, and what each is.

    Parameters
    ----------
    generator : Generator
        What was learned.
    weights : array of shape (p,)
        Frequencies of the prompts, for the pooled Gaussian.
    names : sequence of p prompts
        For messages.
    pieces : sequence of Piece
    scale : float
        The guidance scale.
    mixture : bool
        Whether a part is a prompt with the denoiser of all its styles together.
    """

    generator: Generator
    weights: Array
    names: Sequence[object]
    pieces: Sequence[Piece]
    scale: float = 1.0
    mixture: bool = False

    @property
    def styles(self) -> Styles | None:
        """The styles that parts are of; None where they are prompts."""
        return None if self.mixture else self.generator.styles

    def conditional(self, piece: Piece) -> "LinearDenoiser | MixtureDenoiser":
        """The denoiser of a piece's parts, without guidance."""
        if self.mixture and self.generator.styles is not None:
            return MixtureDenoiser(self.generator.styles, piece.parts[0][0])
        return self.linear(piece.parts)

    def linear(self, parts: Mix) -> LinearDenoiser:
        """The denoiser of a mix of prompts, or of styles where there are any."""
        if self.styles is None:
            return self.of_prompts(parts)
        each = [self.styles.gaussian(style) for style, _ in parts]
        if len(each) == 1:
            return each[0]
        stack = GaussianDenoiser(*(np.stack([getattr(g, a) for g in each]) for a in ("means", "variances", "basis")))
        return mixed(stack, np.array([weight for _, weight in parts]))

    def of_prompts(self, parts: Mix) -> LinearDenoiser:
        """The denoiser of a mix of prompts, each as one Gaussian whatever its styles."""
        source = self.generator.regression or self.generator.prior
        positions, weights = zip(*parts, strict=True)
        return source[positions[0]] if len(parts) == 1 else mixed(source[list(positions)], np.array(weights))

    def away(self, negative: Mix | None) -> LinearDenoiser:
        """What a piece is guided away from: all prompts pooled, or a negative prompt as one Gaussian."""
        return self._pooled if negative is None else self.of_prompts(negative)

    def law(self, run: Run, piece: Piece) -> AffineMap:
        """A piece's run without guidance as one map, ``eps -> z_0``, full matrix."""
        denoiser = self.linear(piece.parts)
        if isinstance(denoiser, GaussianDenoiser) and run.sampler == "exact":
            return exact_law(denoiser)
        return compile_law(SAMPLERS[run.sampler], run.levels, denoiser, run.eta)

    def decoder(self) -> Decoder:
        """The decoder with one curve per piece, mixed as its parts are."""
        if self.mixture:
            return self.generator.decoder
        group = range(len(self.generator.prior.means)) if self.styles is None else self.styles.group.tolist()
        # No two parts share a curve: they are of different prompts.
        return self.generator.decoder.mixed([({group[j]: w for j, w in piece.parts}, 0.0) for piece in self.pieces])

    def curve_of(self, index: Index, z: Array) -> Index:
        """Which curve of `decoder` each image goes through, by its piece; with a mixture, by its latent (n, k)."""
        if not self.mixture or self.generator.styles is None:
            return index
        curve = np.empty(len(z), np.intp)
        for j, rows in by_prompt(index):
            curve[rows] = MixtureDenoiser(self.generator.styles, self.pieces[j].parts[0][0]).group(z[rows])
        return curve

    def centers(self) -> Array:
        """Mean latent of each piece's prompts in training, shape (m, k)."""
        return np.stack([sum(w * self.generator.prior.means[j] for j, w in m) for m in self._prompts])

    @lazy
    def _pooled(self) -> LinearDenoiser:
        return pooled(self.generator.regression or self.generator.prior, self.weights)

    @property
    def _prompts(self) -> list[Mix]:
        """Each piece's parts as prompts."""
        if self.styles is None:
            return [piece.parts for piece in self.pieces]
        owner = self.styles.owner.tolist()
        return [tuple((owner[s], w) for s, w in piece.parts) for piece in self.pieces]

    def check_draws(self, index: Index, squared: Array) -> None:
        """Warn where guided latents lie far from their prompt's mean, by their squared distances from it, shape (n,).

        The piece that is told of is the one whose mean squared distance is largest, over the total variance of its
        prompts in training.
        """
        if self.scale == 1.0:
            return
        counts = np.bincount(index, minlength=len(self.pieces)).clip(1)
        variances = np.bincount(index, squared, len(self.pieces)) / counts
        training = [sum(w * self.generator.prior[j].variances.sum() for j, w in mix) for mix in self._prompts]
        ratios = np.divide(variances, training, out=np.zeros(len(variances)), where=np.array(training) > 0)
        worst = int(np.where(np.isfinite(ratios), ratios, np.inf).argmax())
        named = {self.names[j]: w for j, w in self._prompts[worst]}
        name = repr(named if len(named) > 1 else next(iter(named)))
        warn_of_runaway(float(ratios[worst]), name, self.scale)
