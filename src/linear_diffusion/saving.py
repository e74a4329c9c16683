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
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .denoiser.prior import ClassPrior, Prior
from .denoiser.regression import RegressionPrior
from .denoiser.words import ToneRegression, WordsPrior, read_regression
from .exceptions import ModelFileError
from .fit import Parts
from .image.decoder import Decoder
from .image.detail import N_DIFFERENCES, N_FILTERS, N_LEVELS, DetailCurves, has_details
from .image.format import ImageFormat, whole_in_file
from .image.pca import PCAEncoder
from .image.tone import N_ENTRIES, N_TONES, ToneCurves
from .tasks.classify import Confidence
from .text.prompts import OneHotEncoder
from .utils.arrays import require_none_left
from .utils.files import labels_from_json, labels_to_json, pack, read_file, refusing, unpack, write_files
from .utils.memory import readable
from .utils.streams import entropy_of
from .utils.types import AnyArray

if TYPE_CHECKING:
    from .model.fitted import FittedModel

Model = TypeVar("Model", bound="FittedModel")

FORMAT = 4
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
_LARGEST = 1e30
"""Numbers beyond this may overflow in single precision on their way to a pixel."""


def save_model(model: "FittedModel", confidence: Confidence | None, folder: Path) -> None:
    """Write a fitted model, and how it reads prompts; see `LinearDiffusion.save_pretrained`."""
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"{folder} is a file; a model is a folder, choose another name.")
    config, weights = files_of(*contents(model, confidence))
    name = _weights(json.loads(config)["sha256"])
    card = _card(model).encode(errors="backslashreplace")
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {name: weights, _CONFIG: config, _CARD: card}, replaces=_OTHERS)


def contents(model: "FittedModel", confidence: Confidence | None) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """The configuration of a model, as JSON has it, and its arrays. Raises `ValueError`: if the model could not be read
    back from them."""
    if not isinstance(model.text_encoder, str):
        raise ValueError(
            f"text_encoder={model.text_encoder!r} is code of your own, which is not saved: reading it would run it. "
            'Pickle the model if you trust the file, or fit with text_encoder="words".'
        )
    if not isinstance(model.schedule, str):
        raise ValueError(
            f"schedule={model.schedule!r} is code of your own, which is not saved. Set a schedule by name, save, and "
            "set yours again after reading: model.set_params(schedule=...)."
        )
    parts: dict[str, Any] = {"encoder": model.encoder_, "prior": model.prior_, "confidence": confidence}
    parts |= {"tone": model.decoder_.curves, "detail": model.decoder_.details}
    arrays = {name: a for part, kept in parts.items() if kept is not None for name, a in kept.arrays(part).items()}
    params = model.get_params(deep=False)
    del params["verbose"]  # how a session shows progress, not what a model is
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None  # a generator is the state of a process, not of a model
    config = {
        "format": FORMAT,
        "model": type(model).__name__,
        "linear_diffusion": version("linear-diffusion"),
        "params": params,
        "image": model.decoder_.image.to_json(),
        "prompts": labels_to_json(model.classes_),
        "n_images": model.n_images_,
        "feature_names": list(getattr(model, "feature_names_in_", [])),
    }
    try:  # what could not be read back is not written
        text = json.dumps(config, default=lambda value: value.item())
        if len(text) > _MOST_CONFIG // 4:
            raise ValueError(f"its prompts and names take {readable(len(text))}; give shorter ones")
        _parts(*_described(type(model), json.loads(text)), dict(arrays))
    except Exception as error:
        raise ValueError(f"this model is not saved, since it could not be read back: {error}.") from error
    return json.loads(text), arrays


def files_of(config: dict[str, Any], arrays: dict[str, AnyArray]) -> tuple[bytes, bytes]:
    """The bytes of the configuration, which names the weights by their digest, and of the weights."""
    weights = pack(arrays)
    config = config | {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest(), "digest": ""}
    text = json.dumps(config, indent=2)
    return text.replace('"digest": ""', f'"digest": "{_digest(text)}"').encode(), weights


def load_model(cls: type[Model], folder: Path) -> tuple[Model, Parts, Confidence | None]:
    """Read a model without its parts, these, and how it reads prompts; see `LinearDiffusion.from_pretrained`."""
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


def _read(cls: type[Model], folder: Path, text: str) -> tuple[Model, Parts, Confidence | None]:
    """What a configuration's text says, and the weights beside it."""
    path, text = folder / _CONFIG, text.replace("\r\n", "\n")  # as version control may write it
    config = json.loads(text)
    found = config.get("format") if isinstance(config, dict) else None
    if type(found) is not int or found != FORMAT:
        raise ModelFileError(f"{path} has format {found!r}; this version reads {FORMAT}. Is the package up to date?")
    if config["digest"] != _digest(text):
        raise ModelFileError(f"{path} was changed after it was written (its SHA-256 differs).")
    model, image, classes = _described(cls, config)
    weights = folder / _weights(config["sha256"])
    content = read_file(weights, config["bytes"])
    with refusing(weights):
        if hashlib.sha256(content).hexdigest() != config["sha256"]:
            raise ModelFileError(f"{weights} is not the file that {_CONFIG} was written with (its SHA-256 differs).")
        return model, *_parts(model, image, classes, unpack(content))


def _digest(text: str) -> str:
    """Of a configuration, but for the digest that it holds."""
    return hashlib.sha256(re.sub(r'"digest": "\w*"', "", text).encode()).hexdigest()


def _weights(digest: str) -> str:
    """The file of weights that have a digest."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"sha256={digest!r} is no SHA-256")
    return f"model-{digest[:16]}.safetensors"


def _described(cls: type[Model], config: dict[str, Any]) -> tuple[Model, ImageFormat, AnyArray]:
    """A model without numbers, what its images look like, and its prompts."""
    if config["model"] != cls.__name__:
        raise ValueError(f"it is a {config['model']!r}, not a {cls.__name__}")
    model = cls(**config["params"])
    model._validate_params()
    entropy_of(model.random_state)
    image = ImageFormat.from_json(config["image"])
    classes = labels_from_json(config["prompts"])
    if len(classes) == 0 or len({str(c) for c in classes}) < len(classes):
        raise ValueError("prompts must be distinct, and at least one")
    names = config["feature_names"]
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names) and len(names) in (0, image.n_pixels)):
        raise ValueError("feature_names must be strings, one per pixel, or none")
    model.n_images_, model.n_features_in_ = whole_in_file(config["n_images"]), image.n_pixels
    if names:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model, image, classes


def _parts(
    model: "FittedModel", image: ImageFormat, classes: AnyArray, arrays: dict[str, AnyArray]
) -> tuple[Parts, Confidence | None]:
    """The parts of a model; each reads its own arrays, and refuses what no fit makes."""
    present = {name.partition(".")[0] for name in arrays}
    sizes = {"d": image.n_pixels, "c": image.n_channels, "p": len(classes), "1+p": len(classes) + 1}
    sizes |= {"entries": N_ENTRIES, "filters": N_FILTERS, "differences": N_DIFFERENCES, "levels": N_LEVELS}
    text, encoder = OneHotEncoder(classes), PCAEncoder.read(arrays, "encoder", sizes)
    sizes["2k"] = 2 * sizes["k"]
    kinds = {"words": WordsPrior} if model.text_encoder == "words" else {"sampled": RegressionPrior}
    kind: Any = kinds.get(model.text_encoder, kinds.get(model.training, ClassPrior))
    prior: Prior = kind.read(arrays, "prior", sizes, text=text)
    decoder = Decoder(encoder, image)
    if "tone" in present and isinstance(prior, WordsPrior):
        regression = read_regression(arrays, "tone", prior.codes, (image.n_channels, N_TONES))
        if not np.allclose(regression(prior.codes).sum(axis=-1), 1.0, rtol=0, atol=1e-3):
            raise ValueError("the numbers of array 'tone.weights' are none that a model has")
        decoder = Decoder(encoder, image, ToneRegression(regression, image))
    elif "tone" in present:
        sizes["curves"] = prior.n_curves
        decoder = Decoder(encoder, image, ToneCurves.read(arrays, "tone", sizes))
    if "detail" in present:
        if not (has_details(image) and decoder.curves is not None and isinstance(prior, ClassPrior)):
            raise ValueError(f"{', '.join(sorted(present))} do not go together")
        details = DetailCurves.read(arrays, "detail", sizes, owner=prior.curve_owner)
        decoder = Decoder(encoder, image, decoder.curves, details)
    confidence = Confidence.read(arrays, "confidence", sizes) if "confidence" in present else None
    require_none_left(arrays)
    _check_reach(encoder, prior.reach(_WIDE), decoder.curves)
    return Parts(encoder, prior, decoder), confidence


def _check_reach(encoder: PCAEncoder, latent: float, curves: Any) -> None:
    """Refuse numbers that would overflow on their way from noise to pixels, through latents of a size at most."""
    with np.errstate(over="ignore", divide="ignore"):
        wide = np.sqrt(encoder.latent_dim) * encoder.std.max() / encoder.scale
        pixel = np.abs(encoder.mean).max() + latent * wide
        if isinstance(curves, ToneCurves):
            pixel = (pixel + np.abs(curves.low).max() + 1) / curves.step.min()
    if not (latent < _LARGEST and pixel < _LARGEST):
        raise ValueError(f"its latents reach {latent:.3g} and its pixels {pixel:.3g}, which are none that a model has")


def _card(model: "FittedModel") -> str:
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

- images: {" x ".join(map(str, model.image_shape_))}, {model.decoder_.image.dtype}
- fitted on: {model.n_images_:,} images of {len(model.classes_)} prompts
- prompts: {prompts}
- latent: {model.latent_dim_} principal components, {model.explained_variance_ratio_.sum():.1%} of the variance
- training: {model.training}; schedule: {model.schedule}; tone curve: {"no" if model.decoder_.curves is None else "yes"}

```python
from linear_diffusion import LinearDiffusion

model = LinearDiffusion.from_pretrained("path/to/this/folder")
images, prompts = model.sample(n_samples=10, prompts={model.classes_.tolist()[0]!r})
```

The samples resemble the training images, and so does whatever those images show or leave out; the licence of the
training images is not part of this file.
"""
