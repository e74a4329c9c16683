"""A model fitted by worker processes is the one that this process fits, also where workers are killed meanwhile."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import BatchError, LinearDiffusion
from linear_diffusion.cluster.source import open_source
from linear_diffusion.cluster.workers import Workers
from linear_diffusion.datasets import ArrayStream
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.fit.encoder import PixelSums

pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

PARAMETERS: list[dict[str, Any]] = [{"styles": 1, "latent_dim": 20}, {"styles": 10, "latent_dim": 30}]
Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=["grey", "colour"])
def data(request: pytest.FixtureRequest, grey: Data, rgb: np.ndarray) -> Data:
    images, y = (a[:600] for a in (grey if request.param == "grey" else (rgb, np.arange(len(rgb)))))
    return images, np.array(["zero", "one", "two"])[y % 3]


def require_the_same(found: LinearDiffusion, whole: LinearDiffusion) -> None:
    assert_array_equal(found.classes_, whole.classes_)
    assert found.n_images_ == whole.n_images_
    close = 1e-10 if whole.styles == 1 else 1e-6  # of styles, axes are kept in single precision, directions in half
    for name in ("components_", "means_", "covariances_"):
        mine, theirs = getattr(found, name), getattr(whole, name)
        assert_allclose(mine, theirs, rtol=close, atol=close * np.abs(theirs).max())
    drawn, expected = found.sample(200)[0], whole.sample(200)[0]
    assert (drawn != expected).mean() < 1e-3


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_a_dask_array_is_fitted_where_its_blocks_lie(client: Any, data: Data, parameters: dict[str, Any]) -> None:
    images, y = data
    model = LinearDiffusion(random_state=0, **parameters)
    blocks = da.from_array(images, chunks=(len(images) // 10, 4, *images.shape[2:]))
    with client.as_current():
        model.fit(blocks, da.from_array(y, chunks=77))
    require_the_same(model, LinearDiffusion(random_state=0, **parameters).fit(images, y))


def test_without_a_client_threads_fit_it(grey: Data) -> None:
    images, y = grey
    found = LinearDiffusion(**PARAMETERS[0], random_state=0).fit(da.from_array(images / 255, chunks=200), y.tolist())
    require_the_same(found, LinearDiffusion(**PARAMETERS[0], random_state=0).fit(images / 255, y))


def test_batches_are_read_by_workers(client: Any, data: Data) -> None:
    images, y = data
    batches = [(images[i : i + 100], y[i : i + 100]) for i in range(0, len(images), 100)]
    found = LinearDiffusion(**PARAMETERS[1], random_state=0).fit_batches(batches, client=client)
    require_the_same(found, LinearDiffusion(**PARAMETERS[1], random_state=0).fit(images, y))


def killing(images: np.ndarray, folder: Path, fatal: tuple[int, ...]) -> Any:
    """A Dask array of ten blocks; whoever reads its fifth for one of some times is killed, as by ``kill -9``."""

    def read(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info[None]["chunk-location"][0] == 4:
            n = len(list(folder.iterdir()))
            (folder / str(n)).touch()
            if n in fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return block

    return da.from_array(images, chunks=(180, -1, -1)).map_blocks(read, dtype=images.dtype)


def test_a_worker_that_is_killed_changes_nothing(client: Any, grey: Data, tmp_path: Path) -> None:
    images, y = grey
    sums = []
    for number, fatal in enumerate([(), (0, 1)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = open_source((killing(images, folder, fatal), y), Workers(client), "auto", rescale=True)
        sums.append(source.total(PixelSums.of(source, diagonal=False), "moments").moments)
        assert len(list(folder.iterdir())) == 1 + len(fatal)
    whole = Moments.of(images.reshape(len(images), -1), y, np.arange(10))
    for name in ("counts", "means", "scatter", "histogram"):
        assert_array_equal(getattr(sums[0], name), getattr(sums[1], name))
        if name != "histogram":
            expected = getattr(whole, name)
            assert_allclose(getattr(sums[0], name), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_a_model_with_styles_survives_killed_workers(client: Any, grey: Data, tmp_path: Path) -> None:
    images, y = grey
    found = LinearDiffusion(**PARAMETERS[1], random_state=0)
    with client.as_current():
        found.fit(killing(images, tmp_path, (1, 4)), y)
    require_the_same(found, LinearDiffusion(**PARAMETERS[1], random_state=0).fit(images, y))


@pytest.mark.parametrize("on_workers", [False, True])
def test_a_batch_that_cannot_be_used_is_named_or_left_out(client: Any, digits: Data, on_workers: bool) -> None:
    images, y = digits
    bad = images.copy()
    bad[410, 0, 0] = np.nan
    batches = [(bad[i : i + 200], y[i : i + 200]) for i in range(0, 800, 200)]
    batches.insert(1, (images[:50].astype(np.float32), y[:50]))
    model, how = LinearDiffusion(**PARAMETERS[0], random_state=0), client if on_workers else "threads"
    with pytest.raises(BatchError, match=r"batch 1 \(from image 200 on\) .* dtype float32, those before it"):
        model.fit_batches(batches[:3], client=how)
    with pytest.raises(BatchError, match=r"batch 2 \(from image 400 on\) .*NaN"):
        model.fit_batches([batches[i] for i in (0, 2, 3)], client=how)
    with pytest.warns(UserWarning, match=r"2 batches left out: batch 1 .*dtype float32.* batch 3 \(.*NaN"):
        model.fit_batches(batches, client=how, on_error="skip")
    kept = np.r_[0:400, 600:800]
    require_the_same(model, LinearDiffusion(**PARAMETERS[0], random_state=0).fit(images[kept], y[kept]))


def test_what_cannot_be_read_by_parts_is_refused(grey: Data) -> None:
    images, y = grey
    model = LinearDiffusion(**PARAMETERS[0])

    class Batches:
        def __iter__(self) -> Any:
            return iter([(images, y)])

    with pytest.raises(TypeError, match="batches is a Batches, of which workers cannot read parts"):
        model.fit_batches(Batches(), client="threads")
    with pytest.raises(ValueError, match=r"client='moon' must be a distributed\.Client"):
        model.fit_batches([(images, y)], client="moon")
    with pytest.raises(ValueError, match=r"y must have shape \(1797,\)"):
        model.fit(da.from_array(images, chunks=500), y[:5])
    with pytest.raises(ValueError, match="checkpoint"):
        model.fit_batches([(images, y)], client="threads", checkpoint="folder")


def test_files_are_opened_by_workers(client: Any, grey: Data, tmp_path: Path) -> None:
    images, y = np.tile(grey[0], (1, 12, 12))[:, :96, :96], grey[1]  # several batches
    np.save(tmp_path / "images.npy", images)
    stream = ArrayStream(np.load(tmp_path / "images.npy", mmap_mode="r")[100:], y[100:])
    assert len(stream.parts()) == 1 + (images[100:].nbytes // 32_000_000)
    source = open_source(stream, Workers(client), "auto", rescale=True)
    found = source.total(PixelSums.of(source, diagonal=True), "moments").moments
    assert_allclose(found.pooled()[0], images[100:].reshape(-1, 96 * 96).mean(axis=0), rtol=1e-12)
