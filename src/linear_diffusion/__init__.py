"""Linear Diffusion: a text-to-image diffusion model in which every learned part is a linear model.

    prompt   --text/----> c                      one-hot, or words
    image    --image/---> z                      principal components
    z        --noise.py-> z_t = alpha_t z + sigma_t eps
    (z_t, c) --denoiser/> z0_hat, eps_hat        linear regression, exact at every level from moments alone
    noise    --sampler.py-> z_0                  one step or many, each an affine map
    z_0      --image/---> image                  inverse principal components, then curves for tones and details

`model/` wires them: `fit/` learns, `plan.py` says what each image is drawn from, `draw.py` draws it, and `tasks/` are
what else a fitted model can do.

>>> from linear_diffusion import LinearDiffusion
>>> LinearDiffusion().styles, LinearDiffusion(styles=1, latent_dim=144).styles
(165, 1)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import load_images
    from .denoiser.moments import Moments
    from .evaluation.run import evaluate
    from .exceptions import (
        BatchError,
        DataError,
        GuidanceWarning,
        LinearDiffusionError,
        MissingExtraError,
        ModelFileError,
        NotEnoughMemoryError,
        UnknownPromptError,
    )
    from .model import LinearDiffusion

__all__ = [
    "BatchError",
    "DataError",
    "GuidanceWarning",
    "LinearDiffusion",
    "LinearDiffusionError",
    "MissingExtraError",
    "ModelFileError",
    "Moments",
    "NotEnoughMemoryError",
    "UnknownPromptError",
    "evaluate",
    "load_images",
]

# Imported at first use, so that the command answers --help without scikit-learn.
_HOMES = dict.fromkeys(__all__, ".exceptions") | {
    "LinearDiffusion": ".model",
    "Moments": ".denoiser.moments",
    "evaluate": ".evaluation",
    "load_images": ".datasets",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("linear-diffusion")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
