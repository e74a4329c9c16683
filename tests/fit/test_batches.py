"""Batches: any partition of the data, in any order, gives the model of the array; what is no batch is named."""

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import BatchError, LinearDiffusion, load_images

ONE: dict[str, Any] = {"styles": 1, "latent_dim": 20, "random_state": 0}
STYLES: dict[str, Any] = {"styles": 6, "latent_dim": 20, "random_state": 0}
Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    images, prompts = load_images("digits")
    return images[:600], prompts[:600]


def require_the_same(found: LinearDiffusion, whole: LinearDiffusion) -> None:
    """As laws of pixels and latents, and in what is drawn."""
    assert found.classes_.dtype == whole.classes_.dtype
    assert_array_equal(found.classes_, whole.classes_)
    assert (found.n_images_, found.n_features_in_) == (whole.n_images_, whole.n_features_in_)
    assert found.decoder_.image == whole.decoder_.image
    assert_allclose(found.weights_, whole.weights_, rtol=1e-12)
    assert_allclose(found.components_, whole.components_, atol=1e-9)
    assert_allclose(found.means_, whole.means_, atol=1e-6)
    assert_allclose(found.covariances_, whole.covariances_, atol=1e-6)
    assert [len(w) for w in found.style_weights_] == [len(w) for w in whole.style_weights_]
    ours, theirs = (model.sample(100, random_state=1)[0].astype(float) for model in (found, whole))
    low, high = whole.decoder_.image.pixel_range or (0.0, 1.0)
    assert np.abs(ours - theirs).mean() < 1e-3 * (high - low)
    assert_allclose(found.class_noise_std_, whole.class_noise_std_, rtol=1e-6)


def cut_at(X: np.ndarray, y: Any, cuts: list[int]) -> list[tuple[Any, Any]]:
    ends = [0, *sorted(cuts), len(X)]
    return [(X[a:b], y[a:b]) for a, b in pairwise(ends)]


@given(st.lists(st.integers(0, 600), max_size=9), st.integers(0, 99), st.booleans())
@settings(max_examples=8)
def test_any_partition_and_any_order_give_the_same_model(cuts: list[int], seed: int, styled: bool) -> None:
    images, prompts = (a[:600] for a in load_images("digits"))
    order = np.random.default_rng(seed).permutation(600)
    parameters = STYLES if styled else ONE
    found = LinearDiffusion(**parameters).fit_batches(cut_at(images[order], prompts[order], cuts))
    require_the_same(found, LinearDiffusion(**parameters).fit(images, prompts))


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bytes": lambda X: X,
    "floats up to 1": lambda X: X / 16,
    "floats around 0": lambda X: X / 8 - 1,
    "single precision": lambda X: (X / 16).astype(np.float32),
    "whole floats": lambda X: X * 15.9375,
    "16 bits": lambda X: X.astype(np.uint16) * 4000,
    "32 bits, large in some images alone": lambda X: (
        X.astype(np.int32) * np.where(np.arange(len(X)) < 30, 50, 1)[:, None, None]
    ),
    "two tones": lambda X: X > 7,
    "colour": lambda X: np.stack([X, X[:, ::-1], X.swapaxes(1, 2)], axis=-1),
    "rows": lambda X: X.reshape(len(X), -1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_kind_are_seen_as_the_array_is(kind: str, digits: Data) -> None:
    images, prompts = KINDS[kind](digits[0]), digits[1].astype(int)
    batches = cut_at(images, prompts, [40, 41, 350])
    require_the_same(LinearDiffusion(**STYLES).fit_batches(batches), LinearDiffusion(**STYLES).fit(images, prompts))


def test_batches_of_one_image_and_of_none(digits: Data) -> None:
    images, prompts = (a[:120] for a in digits)
    batches = cut_at(images, prompts, [*range(120), 50, 50])
    require_the_same(LinearDiffusion(**ONE).fit_batches(batches), LinearDiffusion(**ONE).fit(images, prompts))


def test_prompts_may_come_late_and_be_left_out(digits: Data) -> None:
    images, prompts = digits
    order = np.argsort(prompts, kind="stable")
    batches = cut_at(images[order], prompts[order], list(range(0, 600, 37)))
    require_the_same(LinearDiffusion(**STYLES).fit_batches(batches), LinearDiffusion(**STYLES).fit(images, prompts))
    assert LinearDiffusion(**ONE).fit_batches([images[:50], images[50:90]]).classes_.tolist() == [""]


def test_what_is_not_in_memory_is_streamed(digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, prompts = digits
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    read = []
    original = LinearDiffusion.fit_batches
    monkeypatch.setattr(
        LinearDiffusion, "fit_batches", lambda self, given, **how: read.append(given) or original(self, given, **how)
    )
    found = LinearDiffusion(**STYLES).fit(mapped, prompts)
    assert len(read) == 1
    require_the_same(found, LinearDiffusion(**STYLES).fit(images, prompts))


@pytest.mark.parametrize("library", ["zarr", "h5py"])
def test_arrays_of_other_libraries_are_streamed(library: str, digits: Data, tmp_path: Path) -> None:
    images, prompts = digits
    module = pytest.importorskip(library)
    if library == "zarr":
        stored = module.create_array(str(tmp_path / "a.zarr"), shape=images.shape, chunks=(100, 8, 8), dtype="uint8")
        stored[:] = images
    else:
        stored = module.File(tmp_path / "a.h5", "w").create_dataset("images", data=images, chunks=(100, 8, 8))
    found = LinearDiffusion(**STYLES).fit(stored, prompts)
    require_the_same(found, LinearDiffusion(**STYLES).fit(images, prompts))


# What is no batch


def spoiled(images: np.ndarray, how: str) -> Any:
    if how == "NaN":
        images = images.copy()
        images[3, 0, 0] = np.nan
        return images
    return {"shape": images[:, :7], "dtype": images.astype(np.float32), "axes": images[0, 0]}[how]


@pytest.mark.parametrize("how", ["NaN", "shape", "dtype", "axes"])
def test_a_bad_batch_is_named_by_its_position_or_left_out(how: str, digits: Data) -> None:
    images, prompts = digits[0] / 16, digits[1]
    batches = cut_at(images, prompts, [200, 400])
    batches[1] = spoiled(images[200:400], how), prompts[200:400]
    model = LinearDiffusion(**STYLES).fit(images[:50], prompts[:50])
    before = model.means_
    with pytest.raises(
        BatchError, match=r"(?s)^batch 1 \(from image 200 on\) cannot be used: .*on_error=\"skip\""
    ) as caught:
        model.fit_batches(batches)
    assert (caught.value.position, caught.value.first_image) == (1, 200)
    assert model.means_ is before or np.array_equal(model.means_, before)  # what was there stays
    with pytest.warns(UserWarning, match=r"1 batch left out: batch 1 \("):
        model.fit_batches(batches, on_error="skip")
    kept = np.r_[0:200, 400:600]
    require_the_same(model, LinearDiffusion(**STYLES).fit(images[kept], prompts[kept]))


def test_batches_before_a_bad_one_stay_with_partial_fit(digits: Data) -> None:
    images, prompts = digits[0] / 16, digits[1]
    model = LinearDiffusion(**ONE).partial_fit(images[:300], prompts[:300])
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(spoiled(images[300:400], "NaN"), prompts[300:400])
    model.partial_fit(images[400:], prompts[400:])
    kept = np.r_[0:300, 400:600]
    whole = LinearDiffusion(**ONE).fit(images[kept], prompts[kept])
    assert_allclose(model.means_, whole.means_, atol=1e-9)


def test_an_error_of_the_stream_itself_says_where_it_was_met(digits: Data) -> None:
    class Broken:
        def __iter__(self) -> Iterator[Any]:
            yield digits[0][:100], digits[1][:100]
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        LinearDiffusion(**ONE).fit_batches(Broken())
    assert "batch 1" in "".join(caught.value.__notes__)


def test_what_can_be_read_only_once_is_refused(digits: Data) -> None:
    with pytest.raises(TypeError, match=r"generator, which cannot be read more than once.*partial_fit"):
        LinearDiffusion(**ONE).fit_batches(digits for _ in range(3))
    with pytest.raises(TypeError, match="int, which cannot"):
        LinearDiffusion(**ONE).fit_batches(3)


def test_a_stream_that_changes_is_found_out(digits: Data) -> None:
    class Shrinking:
        n = 600

        def __iter__(self) -> Iterator[Any]:
            self.n -= 100
            yield digits[0][: self.n], digits[1][: self.n]

    with pytest.raises(ValueError, match="gave 400 images when it was read again, and 500 before"):
        LinearDiffusion(**ONE).fit_batches(Shrinking())


@pytest.mark.parametrize("batches", [[], [(np.empty((0, 8, 8), np.uint8), [])]])
def test_no_images_at_all(batches: list[Any]) -> None:
    with pytest.raises(ValueError, match="batches holds no images"):
        LinearDiffusion(**ONE).fit_batches(batches)


def test_prompts_of_strings_and_numbers_do_not_mix(digits: Data) -> None:
    batches = [(digits[0][:100], digits[1][:100]), (digits[0][100:200], digits[1][100:200].astype(int))]
    with pytest.raises(BatchError, match=r"batch 1 .*its prompts are int64, those before it <U1"):
        LinearDiffusion(**ONE).fit_batches(batches)


@pytest.mark.parametrize("parameters", [{"text_encoder": "words"}, {"training": "sampled"}])
def test_what_is_no_sum_is_refused_by_name(parameters: dict[str, Any], digits: Data) -> None:
    (name,) = parameters
    with pytest.raises(AttributeError) as caught:
        LinearDiffusion(**parameters).fit_batches([digits])
    assert f"fit_batches goes with {name}=" in str(caught.value.__cause__ or caught.value)


def test_memory_does_not_grow_with_the_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more images take as much at the peak, but for a few batches, as far as numpy tells."""

    class Many:
        def __init__(self, n: int) -> None:
            self.n = n

        def __iter__(self) -> Iterator[Any]:
            for seed in range(self.n):
                rng = np.random.default_rng(seed)
                yield rng.integers(0, 256, (1000, 12, 12), np.uint8), rng.integers(0, 3, 1000)

    peaks = []
    monkeypatch.setattr("linear_diffusion.fit.batches.batch_length", lambda dtype, d: 2000)
    for n in (8, 108):
        tracemalloc.start()
        LinearDiffusion(styles=1, latent_dim=10).fit_batches(Many(n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = 100 * 1000 * 144  # bytes; how many batches are there at a time is a matter of threads
    assert peaks[1] - peaks[0] < more / 5
