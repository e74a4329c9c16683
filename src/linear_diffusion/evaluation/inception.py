"""The field's FID, where the network's weights are at hand: the Fréchet distance in Inception's features.

    image --three channels, 0..255--> Inception-v3 of 2015 --> pool_3 = 2,048 features --> d^2 of fidelity.py

Nothing is downloaded. The file is the TorchScript translation of the network that the field's code shares, known as
``inception-2015-12-05.pt`` (published with NVIDIA's StyleGAN); it takes uint8 images and resizes them itself.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError, MissingExtraError
from ..utils.types import AnyArray, Array
from .features import pixel_bounds, to_rows
from .fidelity import frechet_distance
from .report import Figure
from .splits import Features, Panel

_BATCH = 100


def inception_features(path: str | Path) -> Features:
    """The features of an Inception network in a file, as `make_panel` and `evaluate` take them.

    Parameters
    ----------
    path : str or Path
        TorchScript whose ``forward(images, return_features=True)`` maps uint8 (n, 3, h, w) to (n, k). It is run: take
        it from a source that you trust.

    Returns
    -------
    callable
        Images (n, h, w) or (n, h, w, 3), uint8 or floating, to features (n, k), float32.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    DataError
        If there is no such file, or it is no TorchScript.

    References
    ----------
    Szegedy et al. (2016), "Rethinking the Inception architecture"; Heusel et al. (2017), eq. 6, for its use.
    """
    hint = "give the file inception-2015-12-05.pt, which StyleGAN's code downloads"
    if not Path(path).is_file():
        raise DataError(f"inception={str(path)!r}: there is no such file; {hint}.")
    try:
        torch: Any = import_module("torch")
    except ImportError as error:
        raise MissingExtraError(f"inception={str(path)!r} needs torch: pip install 'linear-diffusion[fid]'") from error
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:
        raise DataError(f"inception={str(path)!r} is no TorchScript; {hint}.") from error

    def features(images: AnyArray) -> Array:
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
            raise ValueError(f"Inception reads images (n, h, w) or (n, h, w, 3), got {images.shape}.")
        pixels = np.rint(255 * to_rows(images, pixel_bounds(images))).clip(0, 255).astype(np.uint8)
        colour = np.broadcast_to(pixels.reshape(*images.shape[:3], -1), (*images.shape[:3], 3)).transpose(0, 3, 1, 2)
        with torch.no_grad():
            parts = (torch.from_numpy(colour[i : i + _BATCH].copy()) for i in range(0, len(colour), _BATCH))
            return np.concatenate([network(part, return_features=True).float().numpy() for part in parts])

    return features


def inception_figures(features: Features, panel: Panel, samples: AnyArray) -> dict[str, Figure]:
    """FID of samples and of stand-ins against the held-out images, of equal numbers."""
    n = min(len(samples), len(panel.stand_ins))
    target = features(panel.target)
    ours, real = (frechet_distance(features(images[:n]), target) for images in (samples, panel.stand_ins))
    about = "The Fréchet distance in the features of the field's Inception network."
    return {"fid": Figure("Fidelity", "FID (Inception)", ours, real, "lower", n, about)}
