"""Words: a prompt as a code that many prompts share, so that unseen combinations of seen words have images too.

    prompt --text--> c --conditional--> z | c ~ N(B 1c, S(c)),      tones of its pixels --> a tone curve

A prompt's law is worked out from its code when it is asked for. k x k matrices are kept for the prompts that were asked
for last alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from ..image.format import ImageFormat
from ..image.pca import PCAEncoder
from ..image.tone import ToneCurves, fit_tone_curves
from ..text.products import ProductCode
from ..text.prompts import OneHotEncoder, listed
from ..text.words import BagOfWords, PromptEncoder
from ..utils.arrays import Kept, kept, sums_to_one
from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array, Index
from .conditional import TOGETHER, ConditionalGaussian, Regression
from .gaussian import GaussianDenoiser
from .law import Law
from .prior import Prior

_CACHED_BYTES, _CACHED_CURVES = 2**27, 1024
"""Of laws (128 MB), and how many curves (16 MB), that are kept from one call to the next."""


@dataclass(frozen=True)
class Words:
    """Regressions on the code of a prompt: of latents, and of the mean squared length of what the encoder discards."""

    code: PromptEncoder
    gaussian: ConditionalGaussian
    residual: Regression
    _laws: dict[bytes, Law] = field(default_factory=dict, repr=False, compare=False)

    def laws(self, codes: Array) -> list[Law]:
        """The law of each code (n, v). Those worked out before are kept while there is room for them."""
        keys = [code.tobytes() for code in codes]
        found = {key: self._laws[key] for key in keys if key in self._laws}
        missing = [j for j, key in enumerate(keys) if key not in found]
        k = len(self.gaussian.pooled)
        for first in range(0, len(missing), TOGETHER):  # S(c) of many codes is one product
            block = missing[first : first + TOGETHER]
            for j, mean, variances, basis in zip(block, *self.gaussian.at(codes[block]), strict=True):
                found[keys[j]] = Law(np.ones(1), mean[None], np.zeros((1, k, 0), np.float32), basis, variances)
        _keep(self._laws, found, max(_CACHED_BYTES // (8 * k * (k + 2)), 1))
        return [found[key] for key in keys]


@dataclass(frozen=True)
class WordsPrior(Kept, Prior):
    """The laws of some prompts of words, seen in training or not; a prompt outside the span of those is refused."""

    text: OneHotEncoder
    words: Words
    weights: Array = kept("p", sums_to_one)

    def __post_init__(self) -> None:
        _ = self.codes  # raises where a prompt is unknown

    @lazy
    def codes(self) -> Array:
        """Codes of the prompts, shape (p, v)."""
        return self.words.code.encode([str(p) for p in self.text.prompts.tolist()])

    def asked(self, prompts: Any, negative_prompts: Any = None) -> "WordsPrior":
        """The prior of given prompts, and of those that are led away from; None is those of training."""
        if prompts is None:
            return self
        asked = [one for p in listed(prompts) for one in (p if isinstance(p, Mapping) else [p])]
        if not asked:
            raise ValueError("prompts is empty; give one prompt, one per image, or None to draw them.")
        if negative_prompts is not None:
            asked += [one for p in listed(negative_prompts) for one in (p if isinstance(p, Mapping) else [p])]
        text = OneHotEncoder.of_strings(asked)
        if self.text.knows(asked):  # labels keep their dtype
            text = OneHotEncoder(self.text.prompts[np.unique(self.text.index(asked))])
        p = len(text.prompts)
        return replace(self, text=text, weights=np.full(p, 1 / p))

    def law(self, prompt: int) -> Law:
        """See `Prior`: worked out with the prompts beside it."""
        first = prompt - prompt % TOGETHER
        return self.words.laws(self.codes[first : first + TOGETHER])[prompt - first]

    @lazy
    def means(self) -> Array:
        return self.words.gaussian.mean(self.codes)

    @lazy
    def residual(self) -> Array:
        """Mean squared length of what the image encoder discards of a prompt's images, shape (p,)."""
        return np.clip(self.words.residual(self.codes), 0.0, None)

    def reach(self, deviations: float) -> float:
        """See `prior.Prior`; for codes whose entries are between -1 and 1."""
        gaussian, k = self.words.gaussian, len(self.words.gaussian.pooled)
        covariance = _largest(gaussian.covariance) + np.abs(gaussian.pooled).max()
        return _largest(gaussian.mean) + deviations * float(np.sqrt(k * covariance + gaussian.ridge))

    def pooled(self) -> GaussianDenoiser:
        """Not known: only prompts that are asked for have a law."""
        raise ValueError(
            "negative_prompts=None: guidance with a text_encoder of words needs the prompts that samples are led away "
            "from; give one, or one per image."
        )

    def arrays(self, name: str) -> dict[str, AnyArray]:
        """All that is kept; see `Kept`."""
        found = super().arrays(name)
        for part, regression in self._regressions(self.words).items():
            found |= regression.arrays(part)
            found |= regression.products.arrays(part) if regression.products else {}
        return found | self.words.gaussian.arrays("words")

    @classmethod
    def read(cls, arrays: dict[str, AnyArray], name: str, sizes: dict[str, int], **others: Any) -> Self:
        """Take what is kept out of the arrays of a file; see `Kept`."""
        text: OneHotEncoder = others["text"]
        code = BagOfWords([str(p) for p in text.prompts.tolist()])
        known = code.encode(code.prompts)
        k = sizes["k"]
        shapes = {"words.mean": (k,), "words.covariance": (k, k), "words.residual": ()}
        mean, covariance, residual = (read_regression(arrays, part, known, shape) for part, shape in shapes.items())
        gaussian = ConditionalGaussian.read(arrays, "words", sizes, mean=mean, covariance=covariance)
        return super().read(arrays, name, sizes, text=text, words=Words(code, gaussian, residual))

    @staticmethod
    def _regressions(words: Words) -> dict[str, Regression]:
        return {
            "words.mean": words.gaussian.mean,
            "words.covariance": words.gaussian.covariance,
            "words.residual": words.residual,
        }


@dataclass(frozen=True)
class ToneRegression:
    """Tone curves by a regression on the code of a prompt; see `image.decoder.Curves`. A histogram is a mean over
    images, so it is linear in the code as the mean is; negative shares are cut off. What it cannot say is that a word
    shifts the brightness of the same pixels: two histograms add up side by side."""

    tones: Regression
    image: ImageFormat
    _curves: dict[bytes, ToneCurves] = field(default_factory=dict, repr=False, compare=False)

    def at(self, prior: WordsPrior, encoder: PCAEncoder) -> "WordsCurves":
        """The curves of a prior's prompts."""
        return WordsCurves(self, prior, encoder)

    def arrays(self, name: str) -> dict[str, AnyArray]:
        """All that is kept."""
        return self.tones.arrays(name) | (self.tones.products.arrays(name) if self.tones.products else {})

    def of(self, prior: WordsPrior, prompts: Index, encoder: PCAEncoder) -> ToneCurves:
        """The curves of some prompts: from the pixels of each one's Gaussian to its histogram."""
        keys = [prior.codes[j].tobytes() for j in prompts]
        found = {key: self._curves[key] for key in keys if key in self._curves}
        for j, key in zip(prompts.tolist(), keys, strict=True):
            if key not in found:
                means, variances = prior.law(j).mixture.pixel_moments(encoder.to_pixels)
                shares = np.clip(self.tones(prior.codes[[j]]), 0.0, None)
                mixture = means + encoder.mean, variances, np.ones(1)
                found[key] = fit_tone_curves([mixture], shares, self.image.tone_range)
        _keep(self._curves, found, _CACHED_CURVES)
        return ToneCurves.joined([found[key] for key in keys])


@dataclass(frozen=True)
class WordsCurves:
    """The tone curves of some prompts of words, worked out when they are read; see `image.decoder.Curves`."""

    regression: ToneRegression
    prior: WordsPrior
    encoder: PCAEncoder

    def at(self, prior: WordsPrior, encoder: PCAEncoder) -> "WordsCurves":
        """The curves of a prior's prompts."""
        return replace(self, prior=prior)

    def __getitem__(self, curves: Index) -> ToneCurves:
        return self.regression.of(self.prior, curves, self.encoder)

    def mixed(self, weights: dict[int, float], plain: float = 0.0) -> ToneCurves:
        return self[np.fromiter(weights, np.intp)].mixed(dict(enumerate(weights.values())), plain)


def read_regression(arrays: dict[str, AnyArray], name: str, known: Array, shape: tuple[int, ...]) -> Regression:
    """A regression on products of words, which says numbers of a shape, out of the arrays of a file; ``known`` (p, v)
    are the codes of the prompts of training."""
    sizes = {"v": known.shape[1], "1+q": len(known) + 1}
    products = ProductCode.read(arrays, name, sizes, known=known)
    regression = Regression.read(arrays, name, sizes, products=products)
    if regression.weights.shape[1:] != shape:
        found, wanted = regression.weights, (len(regression.weights), *shape)
        raise ValueError(
            f"array '{name}.weights' is {found.dtype} of shape {found.shape}; it must be of shape {wanted}"
        )
    return regression


def _largest(regression: Regression) -> float:
    """A bound of what a regression says of any code, whose entries are between -1 and 1."""
    weights = np.abs(regression.weights).reshape(len(regression.weights), -1).max(axis=1, initial=0.0)
    return float(np.abs(regression.whitening).sum(axis=0) @ weights)


def _keep(kept_before: dict[bytes, Any], found: dict[bytes, Any], most: int) -> None:
    """Put what was found last, drop what was asked for longest ago; of more than there is room for, keep the first."""
    for key in list(found)[:most]:
        kept_before.pop(key, None)
        kept_before[key] = found[key]
    while len(kept_before) > most:
        kept_before.pop(next(iter(kept_before)), None)
