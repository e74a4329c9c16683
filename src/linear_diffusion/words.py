"""Words: a prompt as a code that many prompts share, so that unseen combinations of seen words have images too.

    prompt --text--> c --conditional--> N(B 1c, S(c)),  tones of its pixels  --> what a one-hot model knows of a prompt

Everything after the denoiser is made for prompts that are one Gaussian each. So a model of words is, for the prompts at
hand, such a model: `WordsPrior` and `WordsCurves` evaluate the regressions at their codes when they are read, and
samplers, tone curves and tasks go on as ever. k x k matrices are kept for the prompts that were asked for last alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ._types import AnyArray, Array, Index
from .conditional import TOGETHER, ConditionalGaussian, Regression, regress, regress_products
from .denoiser import GaussianDenoiser
from .exceptions import UnknownPromptError
from .image import ImageFormat, PCAEncoder
from .moments import chunks_by_prompt
from .products import MOST_DIMENSIONS, choose_products
from .text import BagOfWords, OneHotEncoder, PromptEncoder, TransformedPrompts, compose, listed
from .tone import ToneCurves, fit_tone_curves
from .training import Learned, learn

_SKETCH = 24
"""Random directions that residual products are seen in when the correlations of words are chosen."""
_CACHED_BYTES, _CACHED_CURVES = 2**27, 1024
"""Of Gaussians, and how many curves, that are kept from one call to the next."""
_GAUSSIAN = ("means", "variances", "basis")


@dataclass(frozen=True)
class Words:
    """Regressions on the code of a prompt.

    Parameters
    ----------
    text : PromptEncoder
    prompts : sequence of p strings
        The known ones.
    gaussian : ConditionalGaussian
        Of latents.
    residual : Regression
        Of the mean squared length of what the image encoder discards.
    tones : Regression or None
        Of the shares of pixels that have each tone, weights (r, channels, 256); a histogram is a mean over images, so
        it is linear in the code as the mean is. Negative shares are cut off. What it cannot say is that a word shifts
        the brightness of the same pixels: two histograms add up side by side.
    """

    text: PromptEncoder
    prompts: list[str]
    gaussian: ConditionalGaussian
    residual: Regression
    tones: Regression | None
    _priors: dict[bytes, GaussianDenoiser] = field(default_factory=dict, repr=False, compare=False)
    _curves: dict[bytes, ToneCurves] = field(default_factory=dict, repr=False, compare=False)

    def priors(self, codes: Array) -> list[GaussianDenoiser]:
        """The Gaussian of each code (n, v). Those worked out before are kept while there is room for them."""
        keys = [code.tobytes() for code in codes]
        found = {key: self._priors[key] for key in keys if key in self._priors}
        missing = [j for j, key in enumerate(keys) if key not in found]
        for first in range(0, len(missing), TOGETHER):  # S(c) of many codes is one product
            block = missing[first : first + TOGETHER]
            made = self.gaussian.at(codes[block])
            found |= {keys[j]: made[[i]] for i, j in enumerate(block)}
        k = len(self.gaussian.pooled)
        _keep(self._priors, found, max(_CACHED_BYTES // (8 * k * (k + 2)), 1))
        return [found[key] for key in keys]

    def curves(self, codes: Array, encoder: PCAEncoder, tone_range: tuple[float, float]) -> ToneCurves:
        """The tone curves of codes (n, v): from the pixels of each code's Gaussian to its histogram."""
        tones = cast(Regression, self.tones)
        keys = [code.tobytes() for code in codes]
        found = {key: self._curves[key] for key in keys if key in self._curves}
        missing = [j for j, key in enumerate(keys) if key not in found]
        for j, prior in zip(missing, self.priors(codes[missing]), strict=True):
            gain = (prior.basis[0] * np.sqrt(prior.variances[0])).T @ encoder.to_pixels
            mixture = encoder.decode(prior.means), (gain**2).sum(axis=0)[None], np.ones(1)
            shares = np.clip(tones(codes[[j]]), 0.0, None)
            found[keys[j]] = fit_tone_curves([mixture], shares, tone_range)
        _keep(self._curves, found, _CACHED_CURVES)
        return ToneCurves.joined([found[key] for key in keys])


class WordsPrior:
    """The Gaussians of some prompts of words, worked out when they are read; a stand-in for `GaussianDenoiser`.

    Parameters
    ----------
    words : Words
    prompts : sequence of p strings

    Raises
    ------
    UnknownPromptError
        If a prompt lies outside the span of the known ones.
    """

    def __init__(self, words: Words, prompts: Sequence[str]) -> None:
        self.words, self.codes = words, words.text.encode(prompts)
        self.means = words.gaussian.mean(self.codes)

    def __getitem__(self, prompt: Any) -> GaussianDenoiser:
        if np.ndim(prompt) == 0 and not isinstance(prompt, slice):
            return self.words.priors(self.codes[[prompt]])[0][0]
        parts = self.words.priors(self.codes[prompt])
        return GaussianDenoiser(*(np.concatenate([getattr(p, n) for p in parts]) for n in _GAUSSIAN))


class WordsCurves:
    """The tone curves of some prompts of words, worked out when they are read; a stand-in for `ToneCurves`.

    Parameters
    ----------
    prior : WordsPrior
    encoder : PCAEncoder
    tone_range : (low, high)
    """

    def __init__(self, prior: WordsPrior, encoder: PCAEncoder, tone_range: tuple[float, float]) -> None:
        self._prior, self._encoder, self._range = prior, encoder, tone_range

    def __getitem__(self, prompts: Index) -> ToneCurves:
        return self._prior.words.curves(self._prior.codes[prompts], self._encoder, self._range)

    def mixed(self, weights: dict[int, float], plain: float = 0.0) -> ToneCurves:
        """See `ToneCurves.mixed`."""
        return self[np.fromiter(weights, np.intp)].mixed(dict(enumerate(weights.values())), plain)


def asked_for(prompts: Any, known: OneHotEncoder) -> tuple[list[str], AnyArray]:
    """The distinct prompts of a call: as strings, and as an array; of the known ones' dtype where all are known."""
    asked = [one for p in listed(prompts) for one in (p if isinstance(p, dict) else [p])]
    if not asked:
        raise ValueError("prompts is empty; give one prompt, one per image, or None to draw them.")
    try:
        classes = known.prompts[np.unique(known.index(asked))]
    except UnknownPromptError:
        classes = np.unique([compose(p) for p in asked])
    return [str(p) for p in classes.tolist()], classes


def learn_words(
    text_encoder: Any,
    rows: AnyArray,
    index: Index,
    prompts: AnyArray,
    image: ImageFormat,
    latent_dim: int | float,
    *,
    standardize: bool,
    rescale: bool,
    tones: bool,
    ridge: float,
) -> tuple[Words, Learned]:
    """Find the image encoder and the regressions; as `training.learn`, with a code of prompts.

    Parameters
    ----------
    text_encoder : "words", or a transformer
        Words are regressed on by their products, vectors as they are.
    tones : bool
        Whether there will be tone curves, where there is a pixel range.
    ridge : float
    """
    names = [str(prompt) for prompt in prompts.tolist()]
    products = isinstance(text_encoder, str)
    text: PromptEncoder = BagOfWords(names) if products else TransformedPrompts(text_encoder, names)
    codes = text.encode(names)
    length = min(len(codes), MOST_DIMENSIONS) + 1 if products else codes.shape[1] + 1
    learned = learn(
        rows, index, prompts, image, latent_dim, standardize=standardize, rescale=rescale, code_length=length
    )
    histogram = learned.histogram if tones and image.pixel_range else None
    words = fit_words(text, names, rows, index, learned, histogram, products=products, ridge=ridge)
    return words, learned


def fit_words(
    text: PromptEncoder,
    prompts: Sequence[str],
    rows: AnyArray,
    index: Index,
    learned: Learned,
    histogram: Array | None,
    *,
    products: bool,
    ridge: float,
) -> Words:
    """Fit the regressions: from first moments of the prompts, then one pass over the images (two with products).

    Parameters
    ----------
    text : PromptEncoder
    prompts : sequence of p strings
    rows : array of shape (n, d)
    index : array of int, shape (n,)
        Position of each image's prompt.
    learned : Learned
        Of whose latents no second moment is read.
    histogram : array of shape (p, channels, 256), or None
        Of pixels, where there will be tone curves.
    products : bool
        Whether to regress on products of words, with correlations chosen for each target.
    ridge : float
    """
    codes, encoder, latents = text.encode(prompts), learned.encoder, learned.latents

    def chosen(targets: Array) -> Any:
        return choose_products(codes, latents.counts, targets.reshape(len(targets), -1)) if products else None

    shares, of_means = latents.weights, chosen(latents.means)
    mean = regress(codes, shares, latents.means, of_means)
    fitted, k = mean(codes), latents.means.shape[1]
    sketch = latents.means
    if products:
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((k, min(_SKETCH, k))))[0]
        seen = [total for _, total in _residual_scatter(rows, index, encoder, fitted, turn)]
        sketch = np.stack(seen) / latents.counts[:, None, None]
    covariance, pooled = regress_products(
        codes,
        latents.counts,
        _residual_scatter(rows, index, encoder, fitted),
        k,
        chosen(sketch),
    )
    tones = None
    if histogram is not None:
        histogram = histogram / histogram.sum(axis=-1, keepdims=True)
        tones = regress(codes, shares, histogram, chosen(histogram))
    return Words(
        text,
        list(prompts),
        ConditionalGaussian(mean, covariance, pooled, ridge),
        regress(codes, shares, learned.residual, of_means),
        tones,
    )


def _residual_scatter(
    rows: AnyArray, index: Index, encoder: PCAEncoder, fitted: Array, turn: Array | None = None
) -> Iterator[tuple[int, Array]]:
    """Sum of ``r r'`` over each prompt's images, ``r = z - B 1c``; in turned coordinates where some are given."""
    view: Callable[[Array], Array] = (lambda r: r) if turn is None else (lambda r: r @ turn.astype(r.dtype))
    last, total = -1, np.empty(0)
    for j, chunk in chunks_by_prompt(rows, index, len(fitted)):
        z = encoder.encode(chunk)
        r = view(z - fitted[j].astype(z.dtype))
        if j != last and last >= 0:
            yield last, total
        scatter = (r.T @ r).astype(np.float64)
        total = scatter if j != last else total + scatter
        last = j
    yield last, total


def _keep(kept: dict[bytes, Any], found: dict[bytes, Any], most: int) -> None:
    """Put what was found last, drop what was asked for longest ago; of more than there is room for, keep the first."""
    for key in list(found)[:most]:
        kept.pop(key, None)
        kept[key] = found[key]
    while len(kept) > most:
        kept.pop(next(iter(kept)), None)
