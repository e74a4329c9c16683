"""What can go wrong, as a tree that a caller can catch at any height.

    LinearDiffusionError
    ├── UnknownPromptError    a prompt that the model was not trained on   (also a ValueError)
    ├── BatchError            a batch of a stream that cannot be used      (also a ValueError)
    ├── DataError             a data set that cannot be read               (also a ValueError)
    ├── ModelFileError        a saved model that is damaged or foreign     (also a ValueError)
    ├── NotEnoughMemoryError  work that would not fit, refused before it starts (also a MemoryError)
    ├── GuidanceWarning       guided samples that run away                 (also a UserWarning)
    └── MissingExtraError     an optional dependency that is not installed (also an ImportError)

Wrong values and types of arguments raise plain ValueError and TypeError, as in scikit-learn.
"""

import sys
import warnings


class LinearDiffusionError(Exception):
    """Base class of the package's own errors."""


class UnknownPromptError(LinearDiffusionError, ValueError):
    """A prompt that the model was not trained on."""


class DataError(LinearDiffusionError, ValueError):
    """A data set that cannot be read; the message names the file and the reason."""


class BatchError(LinearDiffusionError, ValueError):
    """A batch of a stream that cannot be used; ``position`` counts batches from 0, ``first_image`` the images before
    it. What was learned before stays as it was."""

    def __init__(self, position: int, first_image: int, reason: str) -> None:
        super().__init__(
            f"batch {position} (from image {first_image:,} on) cannot be used: {reason.rstrip('.')}. Mend it, or leave "
            'such batches out with on_error="skip".'
        )
        self.position, self.first_image, self.reason = position, first_image, reason

    def __reduce__(self) -> tuple[type, tuple[int, int, str]]:
        return type(self), (self.position, self.first_image, self.reason)


class ModelFileError(LinearDiffusionError, ValueError):
    """A saved model that is damaged, or was not written by this package."""


class NotEnoughMemoryError(LinearDiffusionError, MemoryError):
    """Work that would not fit in memory, refused before it starts; the message says which settings would."""


class MissingExtraError(LinearDiffusionError, ImportError):
    """An optional dependency that is not installed; the message says how to install it."""


class GuidanceWarning(LinearDiffusionError, UserWarning):  # noqa: N818
    """Guidance is so strong that samples vary far more than training images; a warning, unless it is made an error."""


def count(n: int, what: str) -> str:
    """A number and its noun, for messages.

    Examples
    --------
    >>> count(1, "image"), count(1000, "image")
    ('1 image', '1,000 images')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn where the package was called, however deep inside it this is."""
    frame, depth = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("linear_diffusion."):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth)
