"""Words: a prompt as a code that many prompts share, so that unseen combinations of seen words have images too.

    prompt --text--> c --conditional--> N(B 1c, S(c)),  tones of its pixels  --> what a one-hot model knows of a prompt

Everything after the denoiser is made for prompts that are one Gaussian each. So a model of words is, for the prompts at
hand, such a model: `Words.at` evaluates the regressions at their codes, and samplers, tone curves and tasks go on as
ever. No k x k matrix is kept for a prompt, but for the few that were asked for last.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._types import AnyArray, Array, Index
from .conditional import ConditionalGaussian, Regression, regress, regress_products
from .denoiser import GaussianDenoiser
from .exceptions import NotEnoughMemoryError, UnknownPromptError
from .image import ImageFormat, PCAEncoder
from .memory import available_memory, readable
from .moments import chunks_by_prompt
from .products import MOST_DIMENSIONS, choose_products
from .text import BagOfWords, OneHotEncoder, PromptEncoder, TransformedPrompts
from .tone import ToneCurves, fit_tone_curves
from .training import Learned, learn

_SKETCH = 24
"""Random directions that residual products are seen in when the correlations of words are chosen."""
_CACHED_BYTES = 2**27
NAMED = ("bag-of-words", "word-products")
"""Encoders by name, which can be saved; both read prompts as words."""


@dataclass(frozen=True)
class Evaluated:
    """What is known of some prompts: a Gaussian each, what the image encoder discards, and tone curves."""

    prior: GaussianDenoiser
    residual: Array
    curves: ToneCurves | None


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
    _cache: dict[bytes, Evaluated] = field(default_factory=dict, repr=False, compare=False)

    def at(self, prompts: Sequence[str], encoder: PCAEncoder, image: ImageFormat) -> Evaluated:
        """What is known of any prompts; those asked for last are not worked out again.

        Raises
        ------
        UnknownPromptError
            If a prompt lies outside the span of the known ones.
        NotEnoughMemoryError
            If so many different prompts at once would not fit.
        """
        codes, parts = self.text.encode(prompts), []
        _require_memory(len(codes), *encoder.components.shape)
        for code in codes[:, None]:
            key = code.tobytes()
            part = self._cache.pop(key, None) or self._evaluate(code, encoder, image)
            self._cache[key] = part  # the one used last is the last in the dict
            parts.append(part)
        k = len(encoder.components)
        while len(self._cache) * 8 * k * (k + 3) > _CACHED_BYTES and len(self._cache) > 1:
            self._cache.pop(next(iter(self._cache)), None)
        return _joined(parts)

    def _evaluate(self, code: Array, encoder: PCAEncoder, image: ImageFormat) -> Evaluated:
        prior, residual = self.gaussian.at(code), np.clip(self.residual(code), 0.0, None)
        if self.tones is None or image.pixel_range is None:
            return Evaluated(prior, residual, None)
        gain = (prior.basis[0] * np.sqrt(prior.variances[0])).T @ encoder.to_pixels
        mixture = encoder.decode(prior.means), (gain**2).sum(axis=0)[None], np.ones(1)
        shares = np.clip(self.tones(code), 0.0, None)
        return Evaluated(prior, residual, fit_tone_curves([mixture], shares, image.pixel_range))


class KnownPrompts:
    """The Gaussians of the known prompts, worked out when they are read; a stand-in for `GaussianDenoiser`.

    Parameters
    ----------
    words : Words
    """

    def __init__(self, words: Words) -> None:
        self._words, self._codes = words, words.text.encode(words.prompts)
        self.means = words.gaussian.mean(self._codes)

    def __getitem__(self, prompt: Any) -> GaussianDenoiser:
        if np.ndim(prompt) == 0 and not isinstance(prompt, slice):
            return self._words.gaussian.at(self._codes[[prompt]])[0]
        return self._words.gaussian.at(self._codes[prompt])

    @property
    def variances(self) -> Array:
        """Shape (p, k)."""
        return self[:].variances

    @property
    def basis(self) -> Array:
        """Shape (p, k, k)."""
        return self[:].basis


def prompt_encoder(text_encoder: Any, prompts: Sequence[str]) -> PromptEncoder:
    """The encoder that a name or a transformer stands for, fitted on distinct prompts."""
    if isinstance(text_encoder, str):
        return BagOfWords(prompts)
    return TransformedPrompts(text_encoder, prompts)


def asked_for(prompts: Any, known: OneHotEncoder) -> tuple[list[str], AnyArray]:
    """The distinct prompts of a call: as strings, and as an array; of the known ones' dtype where all are known."""
    if isinstance(prompts, dict | str) or np.ndim(prompts) == 0:
        prompts = [prompts]
    listed = prompts.tolist() if isinstance(prompts, np.ndarray) else list(prompts)
    if not listed:
        raise ValueError("prompts is empty; give one prompt, one an image, or None to draw them.")
    listed = [one for p in listed for one in (p if isinstance(p, dict) else [p])]
    try:
        classes = known.prompts[np.unique(known.index(listed))]
    except UnknownPromptError:
        classes = np.unique([str(p) for p in listed])
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
    text_encoder : "bag-of-words", "word-products", or a transformer
    tones : bool
        Whether there will be tone curves, where there is a pixel range.
    ridge : float
    """
    names = [str(prompt) for prompt in prompts.tolist()]
    products = isinstance(text_encoder, str) and text_encoder == "word-products"
    text = prompt_encoder(text_encoder, names)
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


def _require_memory(p: int, k: int, d: int) -> None:
    """Refuse to draw so many different prompts at once that their matrices, some k x k and some k x d, do not fit."""
    available, each = available_memory(), 8 * k * (4 * k + 2 * d)
    if available is not None and p * each > available:
        raise NotEnoughMemoryError(
            f"{p:,} different prompts at once take {readable(p * each)}, and {readable(available)} are available; ask "
            f"for at most {max(available // each, 1):,} at once."
        )


def _joined(parts: list[Evaluated]) -> Evaluated:
    priors, curves = [p.prior for p in parts], [p.curves for p in parts if p.curves is not None]
    prior = GaussianDenoiser(
        *(np.concatenate([getattr(p, n) for p in priors]) for n in ("means", "variances", "basis"))
    )
    residual = np.concatenate([p.residual for p in parts])
    if not curves:
        return Evaluated(prior, residual, None)
    joined = ToneCurves(*(np.concatenate([getattr(c, n) for c in curves]) for n in ("low", "step", "table")))
    return Evaluated(prior, residual, joined)
