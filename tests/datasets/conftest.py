"""What the tests of the loaders share: real files, and errors held to one line that names the path."""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linear_diffusion.datasets import memory
from linear_diffusion.exceptions import DataError


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No data set of whoever runs the tests is found by chance."""
    monkeypatch.delenv("LINEAR_DIFFUSION_DATA", raising=False)
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def raises_line() -> Callable[..., AbstractContextManager[None]]:
    """``with raises_line(words, ..., error=DataError)``: the message is one line that holds all the words."""

    @contextmanager
    def check(*words: object, error: type[Exception] = DataError) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert [w for w in map(str, words) if w not in message] == [], message
        # Nothing of Python's inner life shows.
        assert not re.search(r"object at 0x|Traceback", message)

    return check


@pytest.fixture
def memory_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``memory_of(n)``: from here on n bytes are available."""
    return lambda n: monkeypatch.setattr(memory, "available_memory", lambda: n)


@pytest.fixture(scope="session")
def save() -> Callable[..., Path]:
    """``save(path, pixels or image, **options)``: write an image file, its folders included."""

    def write(path: Path, image: np.ndarray | Image.Image, **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
        return path

    return write


@pytest.fixture(scope="session")
def write_idx() -> Callable[..., Path]:
    """``write_idx(path, array)``: an IDX file, from the format's description; gzipped if named so."""

    def write(path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write
