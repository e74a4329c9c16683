"""A model as a folder: config.json, model.safetensors and README.md, as on the Hugging Face Hub.

A model from elsewhere is data: no code runs, and every shape, dtype and number is checked before use. ``config.json``,
which is written last, holds the digest of the weights, so that a mixture of two models cannot be loaded.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._types import AnyArray
from .checks import check_range
from .denoiser import GaussianDenoiser, RegressionDenoiser
from .detail import N_DIFFERENCES, N_FILTERS, N_LEVELS, REACH, DetailCurves, has_details
from .exceptions import ModelFileError
from .files import labels_from_json, labels_to_json, pack, unpack, write_files
from .image import ImageFormat, PCAEncoder
from .styles import Calibration, Styles, pack_factors, unpack_factors
from .tasks.confidence import N_QUANTILES, Confidence
from .tone import N_ENTRIES, ToneCurves
from .words import NAMED
from .wordsfile import describe, restored, words_arrays, words_shapes

if TYPE_CHECKING:
    from .model import LinearDiffusion

Model = TypeVar("Model", bound="LinearDiffusion")

FORMAT = 2
"""Version of the folder's layout."""
_CONFIG, _WEIGHTS, _CARD = "config.json", "model.safetensors", "README.md"


def save_model(model: "LinearDiffusion", folder: Path) -> None:
    """Write a fitted model; see `LinearDiffusion.save_pretrained`."""
    if not isinstance(model.text_encoder, str):
        raise ValueError(
            f"text_encoder={model.text_encoder!r} is code of your own, which is not saved: reading it would run it. "
            f"Pickle the model if you trust the file, or fit with text_encoder={' or '.join(map(repr, NAMED))}."
        )
    weights = pack(_arrays(model))
    params = model.get_params(deep=False)
    del params["verbose"]  # how a session is told, not what a model is
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None  # a generator is the state of a process, not of a model
    config = {
        "format": FORMAT,
        "model": type(model).__name__,
        "linear_diffusion": version("linear-diffusion"),
        "params": params,
        "image": {
            "shape": model.image_shape_,
            "dtype": model._image.dtype,
            "range": model._image.pixel_range,
        },
        "prompts": labels_to_json(model.classes_),
        "latent_dim": model.latent_dim_,
        "n_images": model.n_images_,
        "total_variance": model._encoder.total_variance,
        "scaling_factor": model.scaling_factor_,
        "tone": model._has_tone(),
        "details": model._details is not None,
        "sampled": model._regression is not None,
        "calibrated": model._calibration is not None,
        "n_styles": 0 if model._mixture is None else len(model._mixture.owner),
        "rank": 0 if model._mixture is None else model._mixture.factors.shape[2],
        "n_groups": 0 if model._mixture is None else int(model._mixture.group[-1]) + 1,
        "words": model._words and describe(model._words),
        "confidence": _confidence(model),
        "feature_names": list(getattr(model, "feature_names_in_", [])),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(config, indent=2, default=lambda value: value.item())
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"{folder} is a file; a model is a folder, choose another name.")
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {_WEIGHTS: weights, _CARD: _card(model).encode(), _CONFIG: text.encode()})


def load_model(cls: type[Model], folder: Path) -> Model:
    """Read a model; see `LinearDiffusion.from_pretrained`."""
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{folder} holds no model: {path} does not exist.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise ModelFileError(f"{path} has format {found!r}; this version reads {FORMAT}. Is the package up to date?")
    try:
        return _build(cls, config, folder / _WEIGHTS)
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path} is not a valid model: {type(error).__name__}: {error}.") from error


def _build(cls: type[Model], config: dict[str, Any], weights: Path) -> Model:
    """A model from a configuration and the file of its arrays."""
    if config["model"] != cls.__name__:
        raise ValueError(f"it is a {config['model']!r}, not a {cls.__name__}")
    model = cls(**config["params"])
    model._validate_params()
    pixel_range = check_range(config["image"]["range"])
    image = ImageFormat(
        tuple(_whole(n) for n in config["image"]["shape"]),
        str(np.dtype(config["image"]["dtype"])),
        None if pixel_range is None else (float(pixel_range[0]), float(pixel_range[1])),
    )
    if image.dtype not in ("uint8", "float32", "float64") or not 1 <= len(image.shape) <= 3:
        raise ValueError(f"images of dtype {image.dtype} and shape {image.shape} are none that a model makes")
    classes = labels_from_json(config["prompts"])
    if len(classes) == 0 or len({str(c) for c in classes}) < len(classes):
        raise ValueError("prompts must be distinct, and at least one")
    k, total, scale = (
        _whole(config["latent_dim"]),
        float(config["total_variance"]),
        float(config["scaling_factor"]),
    )
    if not (0 <= total < np.inf and 0 < scale < np.inf):
        raise ValueError(f"total_variance={total} and scaling_factor={scale} must be finite and positive")
    config.setdefault("details", False)  # models that were saved before there were any
    if not all(isinstance(config[name], bool) for name in ("tone", "details", "sampled", "calibrated")):
        raise ValueError("tone, details, sampled and calibrated must be true or false")
    if config["details"] and not (config["tone"] and config["n_styles"] and has_details(image)):
        raise ValueError("details go with tone curves and styles, and with images")
    if not all(
        isinstance(config[name], int) and 0 <= config[name] <= 10**9 for name in ("n_styles", "n_groups", "rank")
    ):
        raise ValueError("n_styles, n_groups and rank must be whole numbers >= 0")
    read = config.get("confidence")  # models that were saved before it have none
    if read is not None and not (
        set(read) == set(_CONFIDENCE) and 0 <= read["level2"] < np.inf and 0 < read["prompt_temperature"] <= 1
    ):
        raise ValueError(f"confidence={read} must hold a variance >= 0 and a temperature in (0, 1]")
    names = config["feature_names"]
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names) and len(names) in (0, image.n_pixels)):
        raise ValueError("feature_names must be strings, one a pixel, or none")
    if (config.get("words") is not None) != (model.text_encoder in NAMED):
        raise ValueError(f"text_encoder={model.text_encoder!r} does not go with words={config.get('words')!r}")
    arrays = _checked(weights, config, classes, image, k)
    encoder = PCAEncoder(**{name: arrays[f"encoder.{name}"] for name in _ENCODER}, total_variance=total, scale=scale)
    learned = classes, arrays["weights"], _whole(config["n_images"]), image, encoder
    if config.get("words"):
        words = restored(classes, config["words"], arrays, float(model.ridge))
        model._set_words(words, *learned, arrays["residual"])
    else:
        prior = GaussianDenoiser(*(arrays[f"prior.{name}"] for name in ("means", "variances", "basis")))
        model._set_learned(*learned, prior, arrays["residual"])
        model._curves = model._details = model._regression = model._mixture = model._calibration = None
    if config["tone"] and model._words is None:
        model._curves = ToneCurves(*(arrays[f"tone.{name}"] for name in ("low", "step", "table")))
    if config["sampled"]:
        model._regression = RegressionDenoiser(arrays["regression.means"], arrays["regression.covariances"])
    if "confidence.scores" in arrays:
        read = config["confidence"]
        model._confidence = Confidence(**read, scores=arrays["confidence.scores"])
    if config["n_styles"]:
        arrays["styles.factors"] = unpack_factors(arrays["styles.factors"], arrays["styles.unit"])
        model._mixture = Styles(**{f.name: arrays[f"styles.{f.name}"] for f in fields(Styles)})
    if config["details"] and model._mixture:
        model._details = DetailCurves(model._mixture.group_owner, arrays["detail.shift"], arrays["detail.table"])
    if config["calibrated"]:
        model._calibration = Calibration(arrays["calibration.gain"], arrays["calibration.means"])
    model.n_features_in_ = image.n_pixels
    if names:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model


_DTYPES = {
    "tone.table": "float32",
    "detail.shift": "int16",
    "detail.table": "float32",
    "styles.owner": "int64",
    "styles.group": "int64",
    "styles.factors": "float16",
}
_CONFIDENCE = ("level2", "prompt_temperature")
_SINGLE = ("prior.basis", "styles.basis", "styles.means", "calibration.means")
"""What a model with styles holds in single precision, to stay small; it was rounded so when it was fitted."""
_ENCODER = ("mean", "std", "components", "variances")


def _arrays(model: "LinearDiffusion") -> dict[str, AnyArray]:
    """All that sampling, encoding and the tasks read."""
    arrays = {f"encoder.{name}": getattr(model._encoder, name) for name in _ENCODER}
    if model._words:
        arrays |= words_arrays(model._words)
    else:
        arrays |= {f"prior.{name}": getattr(model._prior, name) for name in ("means", "variances", "basis")}
    arrays |= {"weights": model.weights_, "residual": model._residual}
    if model._curves:
        arrays |= {f"tone.{name}": getattr(model._curves, name) for name in ("low", "step", "table")}
    if model._details:
        arrays |= {f"detail.{name}": getattr(model._details, name) for name in ("shift", "table")}
    if model._regression:
        arrays |= {f"regression.{name}": getattr(model._regression, name) for name in ("means", "covariances")}
    if model._confidence:
        arrays |= {"confidence.scores": model._confidence.scores}
    if model._mixture:
        arrays |= {f"styles.{f.name}": getattr(model._mixture, f.name) for f in fields(Styles)}
        arrays["styles.factors"], arrays["styles.unit"] = pack_factors(model._mixture.factors)
        if model._calibration:
            arrays |= {f"calibration.{name}": getattr(model._calibration, name) for name in ("gain", "means")}
        arrays |= {name: arrays[name].astype(np.float32) for name in _SINGLE if name in arrays}
    return arrays


def _checked(path: Path, config: dict[str, Any], classes: AnyArray, image: ImageFormat, k: int) -> dict[str, AnyArray]:
    """The arrays of a model's file, each of the shape, dtype and sign that the configuration calls for."""
    arrays = unpack(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != config["sha256"]:
        raise ModelFileError(f"{path} is not the file that {_CONFIG} was written with (its SHA-256 differs).")
    p, d, c = len(classes), image.n_pixels, image.n_channels
    positive: Callable[[AnyArray], bool] = lambda a: bool((a > 0).all())  # noqa: E731
    not_negative: Callable[[AnyArray], bool] = lambda a: bool((a >= 0).all())  # noqa: E731
    covers: Callable[[AnyArray, int], bool] = lambda a, n: bool(  # noqa: E731
        a[0] == 0 and a[-1] == n - 1 and np.isin(np.diff(a), (0, 1)).all()
    )
    shares: Callable[[AnyArray], bool] = lambda a: positive(a) and abs(a.sum() - 1) < 1e-6  # noqa: E731
    orthonormal: Callable[[AnyArray], bool] = lambda a: np.allclose(  # noqa: E731
        a @ a.swapaxes(-1, -2), np.eye(k), atol=1e-5
    )
    expected: dict[str, tuple[tuple[int, ...], Callable[[AnyArray], bool] | None]] = {
        "encoder.mean": ((d,), None),
        "encoder.std": ((d,), positive),
        "encoder.components": ((k, d), orthonormal),
        "encoder.variances": ((k,), not_negative),
        "weights": ((p,), shares),
        "residual": ((p,), not_negative),
    }
    if config.get("words"):
        expected |= {
            name: (shape, (lambda a: bool((np.abs(a) <= 1).all())) if name.endswith(".correlations") else None)
            for name, shape in words_shapes(classes, config["words"], k, c, tone=config["tone"]).items()
        }
    else:
        expected |= {
            "prior.means": ((p, k), None),
            "prior.variances": ((p, k), not_negative),
            "prior.basis": ((p, k, k), orthonormal),
        }
    m = config["n_styles"]
    n_curves = config["n_groups"] if m else p
    if m:
        expected |= {
            "styles.owner": ((m,), lambda a: covers(a, p)),
            "styles.group": ((m,), lambda a: covers(a, n_curves)),
            "styles.shares": (
                (m,),
                lambda a: positive(a) and np.allclose(np.bincount(arrays["styles.owner"], a), 1.0, rtol=0, atol=1e-6),
            ),
            "styles.means": ((m, k), None),
            "styles.factors": ((m, k, config["rank"]), None),
            "styles.unit": ((m,), positive),
            "styles.basis": ((p, k, k), orthonormal),
            "styles.variances": ((p, k), positive),
        }
    if config["calibrated"]:
        expected |= {"calibration.gain": ((p, k), positive), "calibration.means": ((m, k), None)}
    if config["tone"] and not config.get("words"):
        expected |= {"tone.low": ((n_curves, c), None), "tone.step": ((n_curves, c), positive)}
        expected |= {"tone.table": ((n_curves, c, N_ENTRIES), None)}
    if config["details"]:
        reached: Callable[[AnyArray], bool] = lambda a: bool((np.abs(a.astype(np.int32)) <= REACH).all())  # noqa: E731
        expected |= {"detail.shift": ((p, c, N_FILTERS, N_DIFFERENCES), reached)}
        expected |= {"detail.table": ((p, c, N_LEVELS), None)}
    if config.get("confidence") is not None:
        expected |= {"confidence.scores": ((N_QUANTILES,), lambda a: bool((np.diff(a) >= 0).all()))}
    if config["sampled"]:
        expected |= {
            "regression.means": ((p, 2 * k), None),
            "regression.covariances": ((p, 2 * k, 2 * k), None),
        }
    if set(arrays) != set(expected):
        raise ModelFileError(f"{path} holds arrays {sorted(arrays)}; the model needs {sorted(expected)}.")
    for name, (shape, holds) in expected.items():
        array, dtype = arrays[name], _DTYPES.get(name, "float32" if m and name in _SINGLE else "float64")
        if array.shape != shape or array.dtype != dtype:
            raise ModelFileError(
                f"{path}: array {name!r} is {array.dtype} of shape {array.shape}; the model needs {dtype} of {shape}."
            )
        if holds and not holds(array):
            raise ModelFileError(f"{path}: the numbers of array {name!r} are none that a model has.")
    return arrays | {name: arrays[name].astype(np.float64) for name in _SINGLE if m and name in arrays}


def _confidence(model: "LinearDiffusion") -> dict[str, float] | None:
    found = model._confidence
    return {name: float(getattr(found, name)) for name in _CONFIDENCE} if found else None


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} must be a whole number >= 1")
    return value


def _card(model: "LinearDiffusion") -> str:
    """The model card: what the model is and how to use it."""
    prompts = ", ".join(f"`{p}`" for p in model.classes_[:50]) + (", ..." if len(model.classes_) > 50 else "")
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
images, prompts = model.sample(n_samples=10, prompts={str(model.classes_[0])!r})
```

The samples resemble the training images, and so does whatever those images show or leave out; the licence of the
training images is not part of this file.
"""
