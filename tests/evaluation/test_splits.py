"""Nobody judges, or is compared with, what it was fitted on."""

import numpy as np
import pytest

from linear_diffusion.evaluation import splits
from linear_diffusion.evaluation.splits import count_copies, make_panel, split


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_split_is_whole_stratified_and_by_seed(share):
    prompts = np.repeat(["a", "b", "c"], [50, 30, 20])
    rest, part = split(prompts, share, 0)
    assert sorted([*rest, *part]) == list(range(100))
    counts = np.unique(prompts[part], return_counts=True)[1]
    np.testing.assert_allclose(counts, share * np.array([50, 30, 20]), atol=1)
    np.testing.assert_array_equal(split(prompts, share, 0)[1], part)
    assert set(split(prompts, share, 1)[1]) != set(part)


@pytest.mark.parametrize(("n", "share"), [(10, 0), (10, 1), (10, -1), (10, np.nan), (2, 0.1), (1, 0.5)])
def test_splits_that_are_none(n, share):
    with pytest.raises(ValueError, match="share"):
        split(np.array(["a"] * n), share, 0)


def numbered(n):
    """Images that say which they are."""
    images = np.zeros((n, 2, 2))
    images[:, 0, 0] = np.arange(n)
    return images


class Spy:
    """A judge that keeps what it was shown."""

    seen = None

    def __init__(self, hidden, seed):
        self.seed = seed

    def fit(self, images, prompts):
        self.seen = set(images[:, 0, 0].tolist())
        return self

    def features(self, images):
        return images.reshape(len(images), -1)


@pytest.mark.parametrize("n_train", [1000, 100])
def test_judges_share_nothing_with_the_stand_ins_nor_these_with_the_target(monkeypatch, n_train):
    monkeypatch.setattr(splits, "Judge", Spy)
    images, prompts = numbered(n_train + 200), np.array(["a", "b"] * (n_train // 2 + 100))
    panel = make_panel((images[:n_train], prompts[:n_train]), (images[n_train:], prompts[n_train:]))
    features, reader = panel.features.__self__.seen, panel.reader.seen
    stand_ins, target = (set(x[:, 0, 0].tolist()) for x in (panel.stand_ins, panel.target))
    held_out = set(range(n_train, n_train + 200))
    assert panel.features.__self__.seed != panel.reader.seed
    assert not (features | reader) & (held_out | stand_ins)
    assert not stand_ins & target
    if n_train == 1000:
        assert not features & reader
        assert features | reader | stand_ins == set(range(1000))
        assert (len(features), len(reader), len(stand_ins), target) == (400, 400, 200, held_out)
    else:  # too few to share out
        assert features == reader == set(range(100))
        assert stand_ins | target == held_out
        assert len(stand_ins) == 100
    assert panel.target[:, 0, 0].tolist() != sorted(panel.target[:, 0, 0]), "the first must not be one prompt's"


def test_features_of_the_caller_and_one_prompt():
    rng = np.random.default_rng(0)
    train, test = (rng.random((40, 3)), np.array([""] * 40)), (rng.random((20, 3)), np.array([""] * 20))
    panel = make_panel(train, test)
    assert panel.reader is None
    assert panel.features(test[0]).shape == (20, 3)
    assert "principal components" in panel.note
    assert make_panel(train, test, features=np.sin).features is np.sin


def test_copies_are_counted_pixel_by_pixel():
    train = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    test = np.concatenate([train[[3, 3, 9]], train[:5] ^ 1])
    assert count_copies(train, test) == 3
    assert count_copies(train[:, ::2], test[:, ::2]) == 3  # not contiguous
