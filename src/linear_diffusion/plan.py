"""Plan: what each image of a call is drawn from.

    prompt -> component                         a style, drawn as often as in training
    {"3": .5, "8": .5} -> components            of the heaviest prompt, and the nearest ones of the others
    guidance -> away from all images pooled, or from a negative prompt

A plain prompt is a mix of one. Images that are drawn from the same are a piece, with a denoiser and a tone curve.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .denoiser.gaussian import LinearDenoiser
from .denoiser.prior import Part, Prior
from .exceptions import count
from .guidance import warn_of_runaway
from .image.decoder import Decoder
from .text.mixes import Mix, as_given, each_mix, has_mix, heaviest
from .text.prompts import listed
from .utils.groups import by_group
from .utils.streams import PROMPTS, STYLES, even_draws
from .utils.types import AnyArray, Array, Index

T = TypeVar("T", bound=Hashable)


class Piece(NamedTuple):
    """What some images are drawn from; ``negative`` is what guidance leads away from, None for all images pooled."""

    parts: tuple[Part, ...]
    negative: Mix | None = None


@dataclass(frozen=True)
class Plan:
    """The pieces of a call: which one each of n images is of, and each piece's tone curve among the decoder's.
    ``first`` is how many images of the call come before these, whole blocks of them."""

    prior: Prior
    decoder: Decoder
    pieces: Sequence[Piece]
    curves: Index
    index: Index
    scale: float = 1.0
    first: int = 0

    def part(self, index: Index, first: int) -> "Plan":
        """The plan of some images alone, of which each is of the piece that ``index`` says."""
        return replace(self, index=index, first=first)

    def denoiser(self, piece: int) -> LinearDenoiser:
        """What a piece is drawn by, without guidance."""
        return self.prior.component(self.pieces[piece].parts)

    def away(self, negative: Mix | None) -> LinearDenoiser:
        """What guidance leads away from."""
        return self.prior.pooled() if negative is None else self.prior.gaussian(negative)

    def check_draws(self, z: Array) -> None:
        """Warn where guided latents (n, k) lie far from their prompts' mean, over the variance of training."""
        if self.scale == 1.0:
            return
        ratios, mixes, means = [], [_prompts(piece) for piece in self.pieces], self.prior.means
        variances = {j: self.prior.variance_of(j) for j in {j for mix in mixes for j, _ in mix}}
        for piece, rows in by_group(self.index):
            mean = sum(w * means[j] for j, w in mixes[piece])
            training = sum(w * variances[j] for j, w in mixes[piece])
            ratios.append(float(((z[rows] - mean) ** 2).sum(axis=1).mean()) / training if training > 0 else 0.0)
        worst = int(np.where(np.isfinite(ratios), ratios, np.inf).argmax())
        labels = self.prior.text.prompts.tolist()
        named = {labels[j]: w for j, w in mixes[int(np.unique(self.index)[worst])]}
        warn_of_runaway(ratios[worst], repr(named if len(named) > 1 else next(iter(named))), self.scale)


def plan(
    prior: Prior,
    decoder: Decoder,
    mixes: Sequence[Mix],
    mix_of: Index,
    component: Index,
    negatives: Sequence[Mix | None] = (None,),
    negative_of: Index | None = None,
    scale: float = 1.0,
) -> Plan:
    """Group images into pieces, by distinct prompts (which of them each image has) and the component of its heaviest
    one: each other prompt of a mix gives the component whose mean is nearest to it. ``negatives`` are what guidance
    leads away from, and None is all images pooled; by default each image has the first."""
    if scale != 1.0 and None in negatives:
        prior.pooled()  # refused here where it is not known
    decoder, n_components = decoder.at(prior), int(component.max()) + 1
    prior.prepare(sorted({j for mix in mixes for j, _ in mix}))
    which = mix_of * n_components + component
    which = which if negative_of is None else which * len(negatives) + negative_of
    _, first, index = np.unique(which, return_index=True, return_inverse=True)
    pieces, plain = [], True
    for i in first.tolist():
        mix, own = mixes[mix_of[i]], int(component[i])
        parts = [Part(mix[0][0], own, mix[0][1])]
        if len(mix) > 1:
            plain, mean = False, prior.components(mix[0][0]).means[own]
            parts += [Part(j, prior.components(j).nearest(mean), weight) for j, weight in mix[1:]]
        pieces.append(Piece(tuple(parts), negatives[0 if negative_of is None else negative_of[i]]))
    shares = [{int(prior.curves_of(j)[c]): weight for j, c, weight in piece.parts} for piece in pieces]
    if plain:
        curves = np.array([next(iter(share)) for share in shares])
    else:
        curves, decoder = np.arange(len(pieces)), decoder.mixed([(share, 0.0) for share in shares])
    return Plan(prior, decoder, pieces, curves, index, scale)


def distinct(items: Sequence[T]) -> tuple[list[T], Index]:
    """The different ones of n items, and which each is.

    >>> distinct(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    found: dict[Any, int] = {}
    index = np.array([found.setdefault(item, len(found)) for item in items], np.intp)
    return list(found), index


def read_prompts(prior: Prior, n: int | None, prompts: Any, entropy: int) -> tuple[list[Mix], Index, AnyArray]:
    """What prompts of a call stand for: distinct mixes, which of them each of n images has (n,), and the prompts as the
    caller knows them (n,). None are drawn."""
    text = prior.text
    index = index_prompts(prior, n, heaviest(prompts, text), entropy)
    if has_mix(prompts):
        return *distinct(each_mix(prompts, len(index), text, "prompts")), as_given(prompts, text.prompts[index])
    used, mix_of = np.unique(index, return_inverse=True)
    return [((j, 1.0),) for j in used.tolist()], mix_of, text.prompts[index]


def index_prompts(prior: Prior, n: int | None, prompts: Any, entropy: int = 0) -> Index:
    """Position of each image's prompt; drawn as often as in training, where there is none."""
    if prompts is None:
        return draw_prompts(entropy, prior.weights, int(n or 1))
    index = prior.text.index(listed(prompts))
    if len(index) == 0:
        raise ValueError("prompts is empty; give one prompt, one per image, or None to draw them.")
    if n is None or n == len(index):
        return index
    if len(index) == 1:
        return np.repeat(index, n)
    raise ValueError(f"{len(index)} prompts do not go with {n} images; give one prompt, or one per image.")


def choose_components(prior: Prior, styles: Any, index: Index, entropy: int) -> Index:
    """The component of each image, within its prompt: the style that was asked for, or one that is drawn."""
    if styles is None:
        return draw_components(entropy, prior, index)
    try:
        numbers = np.asarray(styles)
    except ValueError:  # lists of unlike lengths
        numbers = np.empty(0)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (len(index),)):
        raise ValueError(f"styles={styles!r} must be a style number, one per image, or None to draw them.")
    chosen = np.broadcast_to(numbers, index.shape).astype(np.intp)
    for j in np.unique(index).tolist():
        own, most = chosen[index == j], len(prior.shares_of(j))
        if (wrong := own[(own < 0) | (own >= most)]).size:
            raise ValueError(
                f"styles={wrong[0]} is not among the {count(most, 'style')} of prompt "
                f"{prior.text.prompts.tolist()[j]!r}: 0 to {most - 1}."
            )
    return chosen


def draw_prompts(entropy: int, weights: Array, n: int) -> Index:
    """Prompt positions of n images, drawn as often as in training."""
    return choose(weights, even_draws(entropy, PROMPTS, n))


def draw_components(entropy: int, prior: Prior, index: Index) -> Index:
    """Components of images whose prompts are given, drawn as often as in training. Each prompt has even numbers of its
    own, in the order of its images: a slice of numbers that are even together need not be even, such as every tenth
    where ten prompts take turns."""
    drawn = np.empty(len(index), np.intp)
    for j, rows in by_group(index):
        shares = prior.shares_of(j)
        n = drawn[rows].size
        drawn[rows] = choose(shares, even_draws(entropy, STYLES, n, j)) if len(shares) > 1 else 0
    return drawn


def choose(shares: Array, draws: Array) -> Index:
    """Positions that uniform numbers pick from shares that sum to 1."""
    return np.minimum(np.searchsorted(np.cumsum(shares), draws, side="right"), len(shares) - 1)


def _prompts(piece: Piece) -> Mix:
    return tuple((part.prompt, part.weight) for part in piece.parts)
