"""Judges: what they are, that they learn, and that they are the same every time."""

import numpy as np
import pytest

from linear_diffusion.evaluation import features
from linear_diffusion.evaluation.features import Components, Judge, pixel_bounds, to_rows


@pytest.fixture(scope="module")
def judge(grey):
    images, target = grey
    return Judge((32, 16)).fit(images[:900], target[:900].astype(str))


def test_it_reads_digits(judge, grey):
    images, target = grey
    assert np.mean(judge.predict(images[900:]) == target[900:].astype(str)) > 0.88


def test_features_are_what_its_last_layer_sees(judge, grey):
    found = judge.features(grey[0][900:])
    assert found.shape == (897, 16)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    logits = found @ judge.network.coefs_[-1] + judge.network.intercepts_[-1]
    np.testing.assert_array_equal(judge.network.classes_[logits.argmax(axis=1)], judge.predict(grey[0][900:]))


def test_it_is_the_same_every_time_and_leaves_the_global_random_state_alone(grey):
    images, target = grey[0][:200], grey[1][:200]
    before = np.random.get_state()[1].copy()  # noqa: NPY002, to see that nobody touches it
    one, two, other = (Judge((8, 4), seed).fit(images, target).features(images) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_too_many_images_are_drawn_from_everywhere(grey, monkeypatch):
    monkeypatch.setattr(features, "MOST", 500)
    order = np.argsort(grey[1], kind="stable")  # sorted by class
    judge = Judge((32,)).fit(grey[0][order], grey[1][order])
    assert len(judge.network.classes_) == 10


def test_floats_and_bytes_of_the_same_image_are_the_same():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    floats = grey / 255
    np.testing.assert_allclose(to_rows(grey, pixel_bounds(grey)), to_rows(floats, pixel_bounds(floats)), atol=1e-7)
    assert pixel_bounds(np.array([[-2.0, 5.0]])) == (-2, 5)


def test_components_keep_distances(grey):
    images = grey[0][:300]
    found = Components(64).fit(images, None).features(images)
    rows = to_rows(images, (0, 255))
    np.testing.assert_allclose(
        np.linalg.norm(found[:100] - found[100:200], axis=1),
        np.linalg.norm(rows[:100] - rows[100:200], axis=1),
        rtol=1e-3,
    )
