"""Image i in a file is the one that `sample` gives, whoever drew it, in every format."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.cluster import sample_to

N = 5000  # more than a block
FORMATS = ["zarr", "npz", "parquet"]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a file holds, in its own order."""
    pairs = list(load_images(path, stream=True))
    images, prompts = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return images, prompts


@pytest.fixture(params=FORMATS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pytest.importorskip({"zarr": "zarr", "npz": "numpy", "parquet": "pyarrow"}[request.param])
    return tmp_path / f"out.{request.param}"


def test_a_file_of_samples_is_what_sample_gives(styled_model: LinearDiffusion, path: Path) -> None:
    expected, prompts = styled_model.sample(N, random_state=3)
    assert sample_to(styled_model, path, N, random_state=3) == path
    images, named = read(path)
    assert images.dtype == np.uint8
    assert (images != expected).mean() < 1e-5  # products of other shapes may round otherwise
    assert_array_equal(named.astype(int), prompts)
    assert list(path.parent.iterdir()) == [path]
    sample_to(styled_model, path, 3, "7", random_state=1)  # in the place of the other
    assert_array_equal(read(path)[0], styled_model.sample(3, "7", random_state=1)[0])


def test_workers_draw_the_same(client: Any, styled_model: LinearDiffusion, path: Path) -> None:
    sample_to(styled_model, path, N, random_state=3, client=client)
    assert (read(path)[0] != styled_model.sample(N, random_state=3)[0]).mean() < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "ddpm", "n_steps": 3},
        {"prompts": [{"3": 0.5, "8": 0.5}] * N, "guidance_scale": 1.5, "n_steps": 2},
        {"prompts": "4", "styles": 1},
    ],
)
def test_loops_mixes_and_styles_are_the_same(
    styled_model: LinearDiffusion, tmp_path: Path, options: dict[str, Any]
) -> None:
    expected, named = styled_model.sample(N, random_state=3, **options)
    images, prompts = read(sample_to(styled_model, tmp_path / "out.npz", N, random_state=3, **options))
    assert (images != expected).mean() < 1e-5
    assert prompts[0] == "3:0.5 8:0.5" if isinstance(named[0], dict) else prompts[0] == named[0]


def test_colours_and_floats_are_kept(rgb: np.ndarray, tmp_path: Path) -> None:
    for images in (rgb, rgb / 255):
        model = LinearDiffusion(styles=1, latent_dim=10, random_state=0).fit(images)
        for kind in FORMATS:
            pytest.importorskip({"zarr": "zarr", "npz": "numpy", "parquet": "pyarrow"}[kind])
            found = read(sample_to(model, tmp_path / f"out.{kind}", 20, random_state=0))[0]
            assert found.dtype == images.dtype
            assert_allclose(found, model.sample(20, random_state=0)[0], atol=1e-6)


def test_what_goes_wrong_leaves_what_was_there(model: LinearDiffusion, path: Path) -> None:
    sample_to(model, path, 3, random_state=0)
    before = read(path)[0]
    with pytest.raises(ValueError, match="'99'"):
        sample_to(model, path, 3, "99")
    with pytest.raises(ValueError, match="client='moon' must be"):
        sample_to(model, path, 3, client="moon")
    assert_array_equal(read(path)[0], before)
    assert list(path.parent.iterdir()) == [path]


def test_a_path_that_is_something_else_is_left_alone(model: LinearDiffusion, tmp_path: Path) -> None:
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("words")
    for name in ("mine.zarr", "out.png"):
        with pytest.raises(ValueError, match=r"is no \.zarr|must end in one of \.zarr, \.npz, \.parquet"):
            sample_to(model, tmp_path / name, 3)
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "words"
