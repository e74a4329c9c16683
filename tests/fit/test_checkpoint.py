"""Checkpoints: a fit that was interrupted goes on, and gives the same model; a killed process, too."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.datasets import load_images

PARAMETERS = {"latent_dim": 20, "styles": 4, "random_state": 0}


class Batches:
    """Digits in batches, of which reading number ``stop`` is interrupted."""

    def __init__(self, stop: int | None = None, order: np.random.Generator | None = None) -> None:
        self.images, self.prompts = load_images("digits")
        self.stop, self.order, self.n_read = stop, order, 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = np.arange(len(self.images)) if self.order is None else self.order.permutation(len(self.images))
        for start in range(0, len(rows), 300):
            if self.n_read == self.stop:
                raise KeyboardInterrupt
            self.n_read += 1
            part = rows[start : start + 300]
            yield self.images[part], self.prompts[part]


def same(one: LinearDiffusion, other: LinearDiffusion) -> None:
    assert_array_equal(one.means_, other.means_)
    assert_array_equal(one.prior_.factors, other.prior_.factors)
    assert_array_equal(one.decoder_.curves.table, other.decoder_.curves.table)
    assert_array_equal(one.sample(20, random_state=1)[0], other.sample(20, random_state=1)[0])


@pytest.fixture(scope="module", autouse=True)
def small_pieces() -> Iterator[None]:
    """Digits are few, so that pieces are small here, and a pass has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linear_diffusion.fit.source._BATCH_BYTES", 64 * 250)
        yield


@pytest.fixture(scope="module")
def whole(small_pieces: None) -> LinearDiffusion:
    return LinearDiffusion(**PARAMETERS).fit_batches(Batches())


@pytest.mark.parametrize("stop", [8, 13, 20, 26, 33, 35])
def test_a_fit_that_was_stopped_goes_on_and_gives_the_same_model(
    stop: int, whole: LinearDiffusion, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(stop), checkpoint=tmp_path, checkpoint_every=0.0)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept and all(name.startswith("fit-") for name in kept)
    same(LinearDiffusion(**PARAMETERS).fit_batches(Batches(), checkpoint=tmp_path, checkpoint_every=0.0), whole)
    assert list(tmp_path.iterdir()) == []


def test_passes_that_are_done_are_not_read_again(whole: LinearDiffusion, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(32), checkpoint=tmp_path)
    batches = Batches()
    same(LinearDiffusion(**PARAMETERS).fit_batches(batches, checkpoint=tmp_path), whole)
    assert batches.n_read < 6 + 32  # the scan, and what is left


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.3, 0.999])
def test_a_checkpoint_that_was_cut_is_not_believed(share: float, whole: LinearDiffusion, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(28), checkpoint=tmp_path, checkpoint_every=0.0)
    newest = max(tmp_path.iterdir(), key=lambda path: path.name)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    same(LinearDiffusion(**PARAMETERS).fit_batches(Batches(), checkpoint=tmp_path, checkpoint_every=0.0), whole)


def test_a_byte_that_was_changed_is_seen(whole: LinearDiffusion, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(28), checkpoint=tmp_path, checkpoint_every=0.0)
    for path in tmp_path.iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    same(LinearDiffusion(**PARAMETERS).fit_batches(Batches(), checkpoint=tmp_path, checkpoint_every=0.0), whole)


def test_a_stream_that_comes_in_another_order_begins_the_pass_anew(whole: LinearDiffusion, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(28, rng), checkpoint=tmp_path, checkpoint_every=0.0)
    again = LinearDiffusion(**PARAMETERS).fit_batches(Batches(None, rng), checkpoint=tmp_path, checkpoint_every=0.0)
    assert_allclose(again.means_, whole.means_, atol=1e-9)
    assert again.n_images_ == whole.n_images_


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        LinearDiffusion(**PARAMETERS).fit_batches(Batches(28), checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"another fit: latent_dim was 20, and is 10 now"):
        LinearDiffusion(**PARAMETERS | {"latent_dim": 10}).fit_batches(Batches(), checkpoint=tmp_path)


@pytest.mark.parametrize("every", [-1.0, float("nan")])
def test_seconds_are_a_number_of_them(every: float, tmp_path: Path) -> None:
    batches = Batches()
    with pytest.raises(ValueError, match=f"checkpoint_every={every} must be a number of seconds >= 0"):
        LinearDiffusion(**PARAMETERS).fit_batches(batches, checkpoint=tmp_path / "new", checkpoint_every=every)
    assert batches.n_read == 0 and not (tmp_path / "new").exists()


SLOW = """
import sys, time
import numpy as np
from linear_diffusion import LinearDiffusion
from linear_diffusion.datasets import load_images
from linear_diffusion.fit import source
source._BATCH_BYTES = 64 * 250

class Batches:
    def __iter__(self):
        images, prompts = load_images("digits")
        for start in range(0, len(images), 300):
            time.sleep(float(sys.argv[3]))
            yield images[start : start + 300], prompts[start : start + 300]

model = LinearDiffusion(latent_dim=20, styles=4, random_state=0)
model.fit_batches(Batches(), checkpoint=sys.argv[1], checkpoint_every=0.0).save_pretrained(sys.argv[2])
"""


def test_a_killed_process_goes_on(whole: LinearDiffusion, tmp_path: Path) -> None:
    folder, model = tmp_path / "sums", tmp_path / "model"
    command = [sys.executable, "-c", SLOW, str(folder), str(model)]
    with subprocess.Popen([*command, "0.15"]) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob("fit-003-0*.sums")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert list(folder.glob("fit-003-0*.sums")) and not model.exists()
    subprocess.run([*command, "0"], check=True)
    same(LinearDiffusion.from_pretrained(model), whole)
