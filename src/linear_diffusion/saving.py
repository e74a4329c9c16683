"""A model as a folder: config.json, model-<digest>.safetensors and README.md, as on the Hugging Face Hub.

A model from elsewhere is data: no code runs, and every shape, dtype and number is checked before use. ``config.json``
says what kind of model it is, and the weights hold every number that was learned. It names the weights by their digest,
and is replaced after they are there: who reads meanwhile, or after a writer was killed, finds the old model or the new
one, whole.
"""

import hashlib
import json
import re
import textwrap
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from math import prod
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .utils.types import AnyArray
from .denoiser.gaussian import GaussianDenoiser
from .denoiser.regression import RegressionDenoiser
from .image.detail import N_DIFFERENCES, N_FILTERS, N_LEVELS, REACH, DetailCurves, has_details
from .exceptions import ModelFileError
from .utils.files import check_shapes, labels_from_json, labels_to_json, pack, read_file, refusing, unpack, write_files
from .image.format import ImageFormat, limits
from .image.pca import PCAEncoder
from .utils.memory import readable
from .streams import entropy_of
from .denoiser.law import Calibration, Styles
from .denoiser.prior import pack_factors, unpack_factors
from .tasks.classify import Confidence
from .text.words import BagOfWords
from .image.tone import N_ENTRIES, ToneCurves
from .wordsfile import reach, restored, words_arrays, words_axes

if TYPE_CHECKING:
    from .model import LinearDiffusion

Model = TypeVar("Model", bound="LinearDiffusion")

FORMAT = 3
"""Version of the folder's layout."""
_CONFIG, _CARD = "config.json", "README.md"
_OTHERS = f"model-{'[0-9a-f]' * 16}.safetensors"
"""What weights are called, as a pattern."""
_MOST_CONFIG = 2**26
"""Bytes of a configuration at most."""
_TRIES = 20
"""How often a model is looked for that others replace meanwhile."""
_WIDE = 50.0
"""Standard deviations that no noise reaches."""
_IMAGE = {name: name for name in ("shape", "dtype", "span", "origin", "unit")} | {"range": "pixel_range"}
_PIXELS = ("bool", *(np.dtype(code).name for code in np.typecodes["AllInteger"]), "float32", "float64")
"""What is told of images, and dtypes that they may have."""
_FARTHEST = 1e307
"""Pixels beyond this are further apart than a float can say."""
_LARGEST = 1e30
"""Numbers beyond this may overflow in single precision on their way to a pixel."""

_AXES = {
    "prompts.weights": "p",
    "prompts.residual": "p",
    "encoder.mean": "d",
    "encoder.std": "d",
    "encoder.components": "k d",
    "encoder.variances": "k",
    "encoder.total_variance": "",
    "encoder.scale": "",
    "prior.means": "p k",
    "prior.variances": "p k",
    "prior.basis": "p k k",
    "regression.means": "p 2k",
    "regression.covariances": "p 2k 2k",
    "styles.owner": "styles",
    "styles.group": "styles",
    "styles.shares": "styles",
    "styles.means": "styles k",
    "styles.factors": "styles k rank",
    "styles.unit": "styles",
    "styles.basis": "p k k",
    "styles.variances": "p k",
    "calibration.gain": "p k",
    "calibration.means": "styles k",
    "tone.low": "curves c",
    "tone.step": "curves c",
    "tone.table": "curves c entries",
    "detail.shift": "p c filters differences",
    "detail.table": "p c levels",
    "confidence.noise_variance": "",
    "confidence.temperature": "",
}
"""The arrays of each part of a model, by the names of their axes."""
_GOES_WITH = {
    "regression": {"prior"},
    "styles": {"prior"},
    "tone": {"prior"},
    "calibration": {"styles", "prior"},
    "detail": {"styles", "tone", "prior"},
}
_SIZES = {
    "entries": N_ENTRIES,
    "filters": N_FILTERS,
    "differences": N_DIFFERENCES,
    "levels": N_LEVELS,
}
_DTYPES = {
    "tone.table": "float32",
    "detail.shift": "int16",
    "detail.table": "float32",
    "styles.owner": "int64",
    "styles.group": "int64",
    "styles.factors": "float16",
}
_SINGLE = ("prior.basis", "styles.basis", "styles.means", "calibration.means")
"""What a model with styles holds in single precision, to stay small; it was rounded so when it was fitted."""


def _positive(a: AnyArray) -> bool:
    return bool((a > 0).all())


def _not_negative(a: AnyArray) -> bool:
    return bool((a >= 0).all())


def _orthonormal(a: AnyArray) -> bool:
    """Rows, or the columns of square matrices, seen by what they make of one random vector."""
    rows = a if a.ndim == 2 else a.swapaxes(-1, -2)
    probe = np.random.default_rng(0).standard_normal((rows.shape[-2], 1))
    with np.errstate(all="ignore"):
        return bool(np.allclose(rows @ (rows.swapaxes(-1, -2) @ probe), probe, rtol=0, atol=1e-4))


_HOLDS: dict[str, Callable[[AnyArray], bool]] = {
    "prompts.weights": lambda a: _positive(a) and abs(a.sum() - 1) < 1e-6,
    "prompts.residual": _not_negative,
    "encoder.std": _positive,
    "encoder.components": _orthonormal,
    "encoder.variances": _not_negative,
    "encoder.total_variance": _not_negative,
    "encoder.scale": _positive,
    "prior.variances": _not_negative,
    "prior.basis": _orthonormal,
    "styles.shares": _positive,
    "styles.unit": _positive,
    "styles.basis": _orthonormal,
    "styles.variances": _positive,
    "calibration.gain": _positive,
    "tone.step": _positive,
    "detail.shift": lambda a: bool((np.abs(a.astype(np.int32)) <= REACH).all()),
    "confidence.noise_variance": _not_negative,
    "confidence.temperature": lambda a: bool(0 < a <= 1),
    "correlations": lambda a: bool((np.abs(a) <= 1).all()),
    "ridge": _not_negative,
}
"""What the numbers of an array must be, beside finite; by its name, or the last part of it."""


def save_model(model: "LinearDiffusion", folder: Path) -> None:
    """Write a fitted model; see `LinearDiffusion.save_pretrained`."""
    if not isinstance(model.text_encoder, str):
        raise ValueError(
            f"text_encoder={model.text_encoder!r} is code of your own, which is not saved: reading it would run it. "
            'Pickle the model if you trust the file, or fit with text_encoder="words".'
        )
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"{folder} is a file; a model is a folder, choose another name.")
    arrays = _arrays(model)
    params = model.get_params(deep=False)
    del params["verbose"]  # how a session is told, not what a model is
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None  # a generator is the state of a process, not of a model
    config = {
        "format": FORMAT,
        "model": type(model).__name__,
        "linear_diffusion": version("linear-diffusion"),
        "params": params,
        "image": {key: getattr(model._image, name) for key, name in _IMAGE.items()},
        "prompts": labels_to_json(model.classes_),
        "n_images": model.n_images_,
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    try:  # what could not be read back is not written
        text = json.dumps(config, default=lambda value: value.item())
        if len(text) > _MOST_CONFIG // 4:
            raise ValueError(f"its prompts and names take {readable(len(text))}; give shorter ones")
        _fill(*_described(type(model), json.loads(text)), dict(arrays))
    except Exception as error:
        raise ValueError(f"this model is not saved, since it could not be read back: {error}.") from error
    weights = pack(arrays)
    config |= {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest(), "digest": ""}
    text = json.dumps(config, indent=2, default=lambda value: value.item())
    text = text.replace('"digest": ""', f'"digest": "{_digest(text)}"')
    card = _card(model).encode(errors="backslashreplace")
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {_weights(config["sha256"]): weights, _CONFIG: text.encode(), _CARD: card}, replaces=_OTHERS)


def load_model(cls: type[Model], folder: Path) -> Model:
    """Read a model; see `LinearDiffusion.from_pretrained`."""
    path = folder / _CONFIG
    with refusing(path):
        for _ in range(_TRIES):
            try:
                content = read_file(path, _MOST_CONFIG)
            except FileNotFoundError:
                raise ModelFileError(f"{folder} holds no model: {path} does not exist.") from None
            try:
                return _read(cls, folder, content.decode())
            except FileNotFoundError as error:  # another model was saved here meanwhile, or the weights are lost
                lost = error
        raise lost


def _read(cls: type[Model], folder: Path, text: str) -> Model:
    """The model of a configuration's text."""
    path, text = folder / _CONFIG, text.replace("\r\n", "\n")  # as version control may write it
    config = json.loads(text)
    found = config.get("format") if isinstance(config, dict) else None
    if type(found) is not int or found != FORMAT:
        raise ModelFileError(f"{path} has format {found!r}; this version reads {FORMAT}. Is the package up to date?")
    if config["digest"] != _digest(text):
        raise ModelFileError(f"{path} was changed after it was written (its SHA-256 differs).")
    described = _described(cls, config)
    weights = folder / _weights(config["sha256"])
    content = read_file(weights, config["bytes"])
    with refusing(weights):
        if hashlib.sha256(content).hexdigest() != config["sha256"]:
            raise ModelFileError(f"{weights} is not the file that {_CONFIG} was written with (its SHA-256 differs).")
        return _fill(*described, unpack(content))


def _digest(text: str) -> str:
    """Of a configuration, but for the digest that it holds."""
    return hashlib.sha256(re.sub(r'"digest": "\w*"', "", text).encode()).hexdigest()


def _weights(digest: str) -> str:
    """The file of weights that have a digest."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"sha256={digest!r} is no SHA-256")
    return f"model-{digest[:16]}.safetensors"


def _arrays(model: "LinearDiffusion") -> dict[str, AnyArray]:
    """All numbers that sampling, encoding and the tasks read."""
    parts: dict[str, Any] = {
        "encoder": model._encoder,
        "prior": None if model._words else model._prior,
        "regression": model._regression,
        "styles": model._mixture,
        "calibration": model._calibration,
        "tone": model._curves,
        "detail": model._details,
        "confidence": model._confidence,
    }
    found: dict[str, Any] = {"prompts.weights": model.weights_, "prompts.residual": model._residual}
    for part, holder in parts.items():
        found |= {} if holder is None else {f"{part}.{name}": value for name, value in vars(holder).items()}
    if model._mixture:
        found["styles.factors"], found["styles.unit"] = pack_factors(model._mixture.factors)
        found |= {name: found[name].astype(np.float32) for name in _SINGLE if name in found}
    arrays = {name: np.asarray(found[name]) for name in _AXES if name in found}
    return arrays | ({n: np.asarray(a) for n, a in words_arrays(model._words).items()} if model._words else {})


def _described(cls: type[Model], config: dict[str, Any]) -> tuple[Model, ImageFormat, AnyArray]:
    """A model without numbers, what its images look like, and its prompts."""
    if config["model"] != cls.__name__:
        raise ValueError(f"it is a {config['model']!r}, not a {cls.__name__}")
    model = cls(**config["params"])
    model._validate_params()
    entropy_of(model.random_state)
    shape, dtype, span, origin, unit, pixel_range = (config["image"][key] for key in _IMAGE)
    shape = tuple(_whole(n) for n in shape)
    if dtype not in _PIXELS or not 1 <= len(shape) <= 3 or prod(shape) > 2**31:
        raise ValueError(f"images of dtype {dtype} and shape {shape} are none that a model makes")
    most = limits(np.dtype(dtype)) if np.dtype(dtype).kind in "biu" else (-_FARTHEST, _FARTHEST)
    if pixel_range is not None:
        low, high = (_number(v, *most) for v in pixel_range)
        if not low < high:
            raise ValueError(f"range={pixel_range} is none of pixels of dtype {dtype}")
        pixel_range = low, high
    first, last = (_number(v, *most) for v in span)
    origin, unit = _number(origin, -_FARTHEST, _FARTHEST), _number(unit, 1 / _FARTHEST, _FARTHEST)
    if first > last or (origin and not first <= origin <= last):
        raise ValueError(f"span={span} and origin={origin} are none of pixels")
    classes = labels_from_json(config["prompts"])
    if len(classes) == 0 or len({str(c) for c in classes}) < len(classes):
        raise ValueError("prompts must be distinct, and at least one")
    names = config["feature_names"]
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names) and len(names) in (0, prod(shape))):
        raise ValueError("feature_names must be strings, one per pixel, or none")
    model.n_images_, model.n_features_in_ = _whole(config["n_images"]), prod(shape)
    if names:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model, ImageFormat(shape, dtype, pixel_range, (first, last), origin, unit), classes


def _fill(model: Model, image: ImageFormat, classes: AnyArray, arrays: dict[str, AnyArray]) -> Model:
    """Give a model its numbers, each of the shape, dtype and size that it must have."""
    text = BagOfWords([str(c) for c in classes.tolist()]) if model.text_encoder == "words" else None
    _check_arrays(arrays, image, len(classes), text)
    words = restored(text, arrays) if text else None
    _check_reach(arrays, reach(words) if words else _reach(arrays))
    if "styles.means" in arrays:
        arrays |= {name: arrays[name].astype(np.float64) for name in _SINGLE if name in arrays}
        arrays["styles.factors"] = unpack_factors(arrays["styles.factors"], arrays.pop("styles.unit"))

    def part(name: str) -> dict[str, Any]:
        own = {n.removeprefix(name + "."): a for n, a in arrays.items() if n.startswith(name + ".")}
        return {n: float(a) if a.ndim == 0 else a for n, a in own.items()}

    def made(kind: Callable[..., Any], name: str) -> Any:
        return kind(**part(name)) if part(name) else None

    prompts = part("prompts")
    learned = classes, prompts["weights"], model.n_images_, image, PCAEncoder(**part("encoder"))
    if words:
        model._set_words(words, *learned, prompts["residual"])
    else:
        model._set_learned(*learned, GaussianDenoiser(**part("prior")), prompts["residual"])
        model._regression, model._mixture = made(RegressionDenoiser, "regression"), made(Styles, "styles")
        model._calibration, model._curves = made(Calibration, "calibration"), made(ToneCurves, "tone")
        if model._mixture:
            model._details = made(partial(DetailCurves, model._mixture.group_owner), "detail")
    model._confidence = made(Confidence, "confidence")
    return model


def _check_arrays(arrays: dict[str, AnyArray], image: ImageFormat, p: int, text: BagOfWords | None) -> None:
    """Refuse parts that do not go together, and arrays that no fit makes."""
    present = {name.partition(".")[0] for name in arrays}
    needed = {"prompts", "encoder", "words" if text else "prior"}
    for part in present & _GOES_WITH.keys():
        needed |= _GOES_WITH[part]
    axes = {name: axes for name, axes in _AXES.items() if name.partition(".")[0] in present | needed}
    axes |= words_axes(arrays) if text else {}
    sizes = _SIZES | {"p": p, "d": image.n_pixels, "c": image.n_channels, "1+p": 1 + p}
    if text:
        sizes["v"] = len(text.words)
    styled = "styles" in present
    if "tone" in present and not styled:
        sizes["curves"] = p
    check_shapes(arrays, axes, _DTYPES | (dict.fromkeys(_SINGLE, "float32") if styled else {}), sizes)
    if (text and "prior" in present) or ("detail" in present and not has_details(image)):
        raise ValueError(f"{', '.join(sorted(present))} do not go together")
    wrong = []
    for name, array in arrays.items():
        holds = _HOLDS.get(name) or _HOLDS.get(name.rpartition(".")[2])
        wrong += [name] if holds and not holds(array) else []
    if styled and not wrong:
        owner, group = arrays["styles.owner"], arrays["styles.group"]
        n = len(arrays["tone.low"]) if "tone" in present else group[-1] + 1
        if not _covers(owner, p):
            wrong = ["styles.owner"]
        elif not _covers(group, n) or (np.diff(group) < np.diff(owner)).any():
            wrong = ["styles.group"]
        elif not np.allclose(np.bincount(owner, arrays["styles.shares"]), 1.0, rtol=0, atol=1e-6):
            wrong = ["styles.shares"]
    if wrong:
        raise ValueError(f"the numbers of array {wrong[0]!r} are none that a model has")


def _covers(a: AnyArray, n: int) -> bool:
    """Whether whole numbers increase from 0 to n - 1, each of them there."""
    return bool(len(a) and a[0] == 0 and a[-1] == n - 1 and np.isin(np.diff(a), (0, 1)).all())


def _reach(arrays: dict[str, AnyArray]) -> float:
    """How large a latent may be that is drawn of any prompt."""
    at, spread = _most(arrays["prior.means"]), np.sqrt(_most(arrays["prior.variances"]))
    if "regression.means" in arrays:
        at, spread = _most(arrays["regression.means"]), np.sqrt(_most(arrays["regression.covariances"]))
    if "styles.means" in arrays:
        own, shared, k = arrays["styles.unit"], np.sqrt(arrays["styles.variances"]), len(arrays["encoder.variances"])
        if not own.max() < _LARGEST * shared.min():
            return np.inf
        at = max(at, _most(arrays["styles.means"]), _most(arrays.get("calibration.means", np.zeros(1))))
        spread = max(spread, _most(arrays.get("calibration.gain", np.ones(1))) * (shared.max() + k * own.max()))
    return float(at + _WIDE * spread)


def _check_reach(arrays: dict[str, AnyArray], latent: float) -> None:
    """Refuse numbers that would overflow on their way from noise to pixels."""
    with np.errstate(over="ignore", divide="ignore"):
        wide = np.sqrt(len(arrays["encoder.variances"])) * arrays["encoder.std"].max() / arrays["encoder.scale"]
        pixel = _most(arrays["encoder.mean"]) + latent * wide
        if "tone.step" in arrays:
            pixel = (pixel + _most(arrays["tone.low"]) + 1) / arrays["tone.step"].min()
    if not (latent < _LARGEST and pixel < _LARGEST):
        raise ValueError(f"its latents reach {latent:.3g} and its pixels {pixel:.3g}, which are none that a model has")


def _most(a: AnyArray) -> float:
    return float(np.abs(a).max())


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{value!r} must be a number from {low:g} to {high:g}")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int or not 1 <= value < 2**53:
        raise ValueError(f"{value!r} must be a whole number >= 1")
    return value


def _card(model: "LinearDiffusion") -> str:
    """The model card: what the model is and how to use it."""
    shown = [textwrap.shorten(str(p).replace("`", "'"), 60, placeholder="...") for p in model.classes_[:50].tolist()]
    prompts = ", ".join(f"`{p}`" for p in shown) + (", ..." if len(model.classes_) > 50 else "")
    return f"""---
library_name: linear-diffusion
pipeline_tag: text-to-image
tags:
- linear-diffusion
---

# A linear diffusion model

A text-to-image diffusion model in which every learned part is a linear model, fitted in closed form.

- images: {" x ".join(map(str, model.image_shape_))}, {model._image.dtype}
- fitted on: {model.n_images_:,} images of {len(model.classes_)} prompts
- prompts: {prompts}
- latent: {model.latent_dim_} principal components, {model.explained_variance_ratio_.sum():.1%} of the variance
- training: {model.training}; schedule: {model.schedule}; tone curve: {"yes" if model._has_tone() else "no"}

```python
from linear_diffusion import LinearDiffusion

model = LinearDiffusion.from_pretrained("path/to/this/folder")
images, prompts = model.sample(n_samples=10, prompts={model.classes_.tolist()[0]!r})
```

The samples resemble the training images, and so does whatever those images show or leave out; the licence of the
training images is not part of this file.
"""
