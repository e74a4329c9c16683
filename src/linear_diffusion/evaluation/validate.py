"""Before any work: do the model and the images go together? After it: what makes the figures doubtful?"""

from numbers import Integral
from typing import Any

import numpy as np

from ..utils.types import AnyArray
from .memorisation import Memorisation

_FEWEST = 8
"""Images that a measure can be taken from."""


def check_pairs(
    model: Any, train: tuple[Any, Any], test: tuple[Any, Any], n_samples: int
) -> tuple[tuple[AnyArray, AnyArray], tuple[AnyArray, AnyArray]]:
    """Images as arrays and prompts as strings.

    Raises
    ------
    ValueError
        Naming what does not go together.
    """
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < _FEWEST:
        raise ValueError(f"n_samples={n_samples!r} must be a whole number, at least {_FEWEST}.")
    pairs = _check_pair("train", *train), _check_pair("test", *test)
    images, held_out = pairs[0][0], pairs[1][0]
    shape = tuple(getattr(model, "image_shape_", images.shape[1:]))
    for name, found in (("train", images), ("test", held_out)):
        if found.shape[1:] != shape:
            raise ValueError(f"{name} has images of shape {found.shape[1:]}; the model makes {shape}.")
    if (images.dtype == np.uint8) != (held_out.dtype == np.uint8):
        raise ValueError(f"train has images of dtype {images.dtype}, test of {held_out.dtype}; give both alike.")
    made = getattr(getattr(model, "_image", None), "dtype", images.dtype)
    if (np.dtype(made) == np.uint8) != (images.dtype == np.uint8):
        raise ValueError(f"train has images of dtype {images.dtype}; the model makes {made}.")
    known, classes = set(pairs[0][1]), [str(p) for p in getattr(model, "classes_", ())]
    strange = [p for p in classes if p not in known]
    if strange:
        raise ValueError(
            f"the model knows prompt {strange[0]!r}, which train has no image of; give what it was fitted on."
        )
    return pairs


def data_warnings(model: Any, train: AnyArray, test: AnyArray, fitted_on: str, n_copies: int) -> list[str]:
    """Whether held-out images are really held out, as far as the model and the images tell."""
    n_train, n_test = len(train), len(test)
    fitted = getattr(model, "n_images_", n_train)
    total, total_test = (images.sum(axis=0, dtype=np.float64) for images in (train, test))
    warnings = []
    if fitted_on == "all":
        warnings.append("the model was fitted on the held-out images too: its figures are too good.")
    elif fitted == n_train + n_test and _has_mean(model, (total + total_test) / fitted, fitted):
        warnings.append(
            f"the model was fitted on all {fitted:,} images, the held-out ones among them: its figures are too good."
        )
    elif fitted != n_train or not _has_mean(model, total / n_train, n_train):
        warnings.append(
            f"the model was fitted on other images ({fitted:,}) than train ({n_train:,}): held-out images may be among "
            "them, which makes figures too good, and copies of what is not in train go unseen."
        )
    if n_copies:
        are = "is also a training image" if n_copies == 1 else "are also training images"
        warnings.append(
            f"{n_copies:,} of {n_test:,} held-out images {are}, pixel by pixel: there the model is scored on what it "
            "was fitted on."
        )
    return warnings


def memorised_warning(found: Memorisation) -> list[str]:
    """Whether the model repeats its training images."""
    if not found.memorised:
        return []
    copies = f"; {found.exact_copies:.1%} are exact copies" if found.exact_copies else ""
    return [
        f"the model memorised: {found.near_copies:.1%} of samples are near copies of a training image, where real "
        f"images have 1 %{copies}. Fidelity and usefulness are then no merit. Look at the nearest pairs."
    ]


def _check_pair(name: str, images: Any, prompts: Any) -> tuple[AnyArray, AnyArray]:
    images = np.asarray(images)
    if images.ndim < 2 or images.dtype.kind not in "fiub" or not np.isfinite(images).all():
        raise ValueError(f"{name} must have images (n, ...) of finite numbers, got {images.dtype} {images.shape}.")
    if len(images) < _FEWEST:
        raise ValueError(f"{name} has {len(images)} images; give {_FEWEST} at least.")
    prompts = np.full(len(images), "") if prompts is None else np.asarray(prompts)
    if prompts.shape != (len(images),):
        raise ValueError(f"{name} has prompts of shape {prompts.shape}; give one for each of {len(images)} images.")
    return images, prompts.astype(str)


def _has_mean(model: Any, mean: AnyArray, n: int) -> bool:
    """Whether a model's encoder is centred on the mean of some images, as it is if it was fitted on these.

    Latents have a variance of about 1, so that the mean of n other images lies about 1 / sqrt(n) off. True where the
    model does not tell.
    """
    if not hasattr(model, "transform"):
        return True
    latent = np.asarray(model.transform(mean[None]))
    return bool(np.sqrt(np.mean(latent**2)) < 0.05 / np.sqrt(n))
