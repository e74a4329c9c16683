"""Words: regressions on a code of prompts, from the moments of each prompt (docs/mathematics.md, "Words").

    E[z | c] = B 1c,   E[r r' | c] = S(c),  r = z - B 1c,   shares of tones

Each is least squares on the code, by first moments of the prompts and one more pass over the images. With words, all
their products are regressed on (`text.products`), shrunk as far as left-out prompts ask for.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..denoiser.conditional import ConditionalGaussian, regress, regress_products
from ..denoiser.moments import chunks_by_prompt
from ..denoiser.words import ToneRegression, Words, WordsPrior
from ..image.decoder import Decoder
from ..image.pca import PCAEncoder
from ..text.products import MOST_DIMENSIONS, choose_products
from ..text.prompts import OneHotEncoder
from ..text.words import BagOfWords, PromptEncoder, TransformedPrompts
from ..utils.progress import tell
from ..utils.types import AnyArray, Array, Index
from . import Parts
from .encoder import Learned, Settings, Work, learn
from .source import ArraySource

_SKETCH = 24
"""Random directions that residual products are seen in when the correlations of words are chosen (benchmarks/styles.py,
"residuals seen in 8 directions", "residuals seen in 96 directions")."""


def fit_words(source: ArraySource, settings: Settings, text_encoder: Any) -> Parts:
    """Prompts of words, or vectors of a transformer; see `fit.fit_classes`."""
    classes, image = source.classes, source.image
    names = [str(prompt) for prompt in classes.tolist()]
    products = isinstance(text_encoder, str)
    code: PromptEncoder = BagOfWords(names) if products else TransformedPrompts(text_encoder, names)
    codes = code.encode(names)
    length = min(len(codes), MOST_DIMENSIONS) + 1 if products else codes.shape[1] + 1
    learned = learn(source, settings, Work.of(source, code_length=length, svd_solver=settings.svd_solver))
    tell("regressions on words")
    words = regressions(code, codes, source.rows, source.index, learned, products=products, ridge=settings.ridge)
    decoder = Decoder(learned.encoder, image)
    if settings.tone and image.pixel_range:
        histogram = learned.histogram / learned.histogram.sum(axis=-1, keepdims=True)
        chosen = choose_products(codes, learned.latents.counts, _flat(histogram)) if products else None
        tones = regress(codes, learned.latents.weights, histogram, chosen)
        decoder = Decoder(learned.encoder, image, ToneRegression(tones, image))
    prior = WordsPrior(OneHotEncoder(classes), words, learned.latents.weights)
    return Parts(learned.encoder, prior, decoder)


def regressions(
    code: PromptEncoder, codes: Array, rows: AnyArray, index: Index, learned: Learned, *, products: bool, ridge: float
) -> Words:
    """The regressions of latents on codes (p, v): from first moments of the prompts, then one pass over the images.
    With products of words, correlations are chosen for each target, and there are two passes."""
    encoder, latents = learned.encoder, learned.latents

    def chosen(targets: Array) -> Any:
        return choose_products(codes, latents.counts, _flat(targets)) if products else None

    shares, of_means = latents.weights, chosen(latents.means)
    mean = regress(codes, shares, latents.means, of_means)
    fitted, k = mean(codes), latents.means.shape[1]
    sketch = latents.means
    if products:
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((k, min(_SKETCH, k))))[0]
        seen = [total for _, total in _residual_scatter(rows, index, encoder, fitted, turn)]
        sketch = np.stack(seen) / latents.counts[:, None, None]
    scatter = _residual_scatter(rows, index, encoder, fitted)
    covariance, pooled = regress_products(codes, latents.counts, scatter, k, chosen(sketch))
    gaussian = ConditionalGaussian(mean, covariance, pooled, ridge)
    return Words(code, gaussian, regress(codes, shares, learned.residual, of_means))


def _flat(targets: Array) -> Array:
    return targets.reshape(len(targets), -1)


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
