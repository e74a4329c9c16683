"""Small: a model of any size as the page carries it, so that one file with all of it stays under two megabytes.

    bytes(k, s) = 4 k d + p (4 k^2 + s k (2 r + 4)) + curves        p prompts of s styles of rank r, d pixels

That is components and a basis for each prompt in single precision (components of large images in half, 2 k d), and
means and factors in half precision. As many components are kept as go with ten styles for each prompt, or with styles
as large as all else; then as many styles as go with these components. Hundreds of prompts, and very large images, make
the page larger all the same.
"""

import gzip
from typing import TYPE_CHECKING, Any

from ...fit import Parts
from ...fit.clusters import STYLES_A_CURVE
from ...fit.small import component_bytes, shrink
from ...fit.styles import RANK
from ...image.format import ImageFormat
from ...saving import contents
from .page import WEIGHTS, page_files

if TYPE_CHECKING:
    from ...model import LinearDiffusion

_ROOM = 1_120_000
"""Bytes of packed weights: base64 makes four of three, and the page itself takes some hundred thousand."""
_MOST_COMPONENTS, _LEAST_COMPONENTS = 100, 16
"""Digits look no better with more; and less shows nothing."""
_WANTED_STYLES = 10
_CURVES = {"whole": (250, 2_000), "floats": (900, 4_800)}
"""Bytes of a tone curve, and of a prompt's detail curves, for each channel, of pixels that are whole, or floats."""


def small_model(model: "LinearDiffusion") -> tuple["LinearDiffusion", dict[str, Any] | None]:
    """A model that goes on the page.

    Parameters
    ----------
    model : LinearDiffusion
        Fitted; it stays as it is.

    Returns
    -------
    small : LinearDiffusion
        The model itself, where it is small.
    shrunk_from : dict or None
        Where components or styles were dropped: how many there were, and bytes of all numbers.

    Raises
    ------
    ValueError
        Naming what of the model the page cannot show.
    """
    require_showable(model)
    parts = Parts(model.encoder_, model.prior_, model.decoder_)
    had = model.latent_dim_, max(map(len, model.style_weights_))
    k, styles = page_sizes(len(model.classes_), model.decoder_.image, *had)
    if had == (k, styles) and len(gzip.compress(page_files(model)[WEIGHTS], 1)) < _ROOM:
        return model, None
    small = type(model)(**model.get_params(deep=False)).set_params(latent_dim=k, styles=styles)
    small.n_features_in_ = model.n_features_in_
    small._take(shrink(parts, k, styles), model.n_images_, model._answers["confidence"])
    if had == (k, styles):
        return small, None
    n_bytes = sum(array.nbytes for array in contents(model, None)[1].values())
    return small, {"components": had[0], "styles": sum(map(len, model.style_weights_)), "bytes": n_bytes}


def demo_model() -> "LinearDiffusion":
    """The demo's digits at the size that the page has, which is quicker than to make a large model small."""
    from ...datasets import load_images
    from ...model import LinearDiffusion

    images, prompts = load_images("mnist-5k")
    k, styles = page_sizes(len(set(prompts)), ImageFormat.of(images))
    return LinearDiffusion(latent_dim=k, styles=styles, random_state=0).fit(images, prompts)


def page_sizes(n_prompts: int, image: ImageFormat, latent_dim: int = 500, styles: int = 165) -> tuple[int, int]:
    """How many components, and styles of a prompt at most, the page has of a model that has so many.

    >>> page_sizes(10, ImageFormat((28, 28), "uint8", (0, 255)))
    (100, 10)
    """
    tone, details = _CURVES["floats" if image.dtype.startswith("float") else "whole"]
    curves, rank = n_prompts * image.n_channels * details, RANK if styles > 1 else 0
    for k in range(min(latent_dim, _MOST_COMPONENTS), _LEAST_COMPONENTS - 1, -1):
        beside = component_bytes(k, image.n_pixels) * k * image.n_pixels + 4 * n_prompts * k**2
        style = n_prompts * (k * (2 * rank + 4) + image.n_channels * tone / STYLES_A_CURVE)
        room, wanted = int((_ROOM - curves - beside) / style), max(min(_WANTED_STYLES, int(beside / style), styles), 1)
        if room >= wanted:
            return k, min(room, styles)
    return min(latent_dim, _LEAST_COMPONENTS), 1


def require_showable(model: "LinearDiffusion") -> None:
    """Raise `ValueError` where the page cannot show a model, saying why."""
    image = model.decoder_.image
    if model.text_encoder != "one-hot":
        raise ValueError(
            f'text_encoder={model.text_encoder!r} is none that the page shows; fit with text_encoder="one-hot".'
        )
    if model.training != "exact":
        raise ValueError(
            f'training={model.training!r}, as one_shot has it, is none that the page shows; fit with training="exact".'
        )
    if len(image.shape) < 2 or image.n_channels not in (1, 3):
        raise ValueError(
            f"the model's images are of shape {image.shape}, and the page shows (height, width) or (height, width, 3) "
            "alone; fit on images of such a shape."
        )
