"""Labels: what comes in as y comes out of fit, predict and sample, or is refused; one word is one prompt."""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linear_diffusion import LinearDiffusion, Moments

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([3, 8, 3], dtype=object), np.array([3, 8])),
        ([np.int64(3), 8, np.int32(3)], np.array([3, 8])),
        (np.array([1, 1.0, 2.5], dtype=object), np.array([1.0, 2.5])),
        ([True, False, np.True_], np.array([False, True])),
        (np.array([True, False, True], dtype=object), np.array([False, True])),
        ([np.str_("b"), "a", "b"], np.array(["a", "b"])),
        (np.array([np.str_("b"), "a", "b"], dtype=object), np.array(["a", "b"], dtype=object)),
        (pd.Series([3, 8, 3]), np.array([3, 8])),
        (pd.Series([3, 8, 3], dtype="Int64"), np.array([3, 8])),
        (pd.Series(["b", "a", "b"], dtype="category"), np.array(["a", "b"], dtype=object)),
        (pd.Categorical([8, 3, 8]), np.array([3, 8])),
        ((3, 8, 3), np.array([3, 8])),
        (["caf\u00e9", "cafe\u0301", "a"], np.array(["a", "caf\u00e9"])),
        (np.array(["cafe\u0301", "caf\u00e9", "a"], dtype=object), np.array(["a", "caf\u00e9"], dtype=object)),
        (["a", "b" * 2000, "a"], np.array(["a", "b" * 2000], dtype=object)),
    ],
)
def test_labels_of_any_container_come_back_as_they_were(y: Any, classes: np.ndarray, tmp_path: Path) -> None:
    """From fit, predict and sample, and of a saved model: numbers as numbers, strings as strings, composed (NFC)."""
    X = 10.0 * np.eye(3)
    fitted = LinearDiffusion(random_state=0).fit(X, y)
    fitted.save_pretrained(tmp_path)
    for model in (fitted, LinearDiffusion.from_pretrained(tmp_path)):
        assert model.classes_.dtype.kind == classes.dtype.kind
        assert model.classes_.tolist() == classes.tolist()
        assert [type(p) for p in model.classes_.tolist()] == [type(p) for p in classes.tolist()]
        assert set(model.predict(X).tolist()) <= set(classes.tolist())
        assert set(model.sample(9)[1].tolist()) <= set(classes.tolist())
        assert np.isfinite(model.score_samples(X, y)).all()
        assert len(model.sample(prompts=list(y))[0]) == 3


def test_one_word_in_two_spellings_of_unicode_is_one_prompt() -> None:
    X = np.random.default_rng(0).random((8, 3))
    for encoder in ("one-hot", "words"):
        model = LinearDiffusion(text_encoder=encoder, random_state=0).fit(X, ["cafe\u0301", "th\u00e9"] * 4)
        assert model.classes_.tolist() == ["caf\u00e9", "th\u00e9"]
        for ask in ("cafe\u0301", "the\u0301"):
            assert model.sample(1, ask)[1].tolist() == [unicodedata.normalize("NFC", ask)]
            assert np.isfinite(model.score_samples(X[:1], [ask])).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b", "a", "b", "a", np.nan], "y contains NaN"),
        (["a", 1, "a", 1, "a", 1], "y mixes strings and numbers"),
        (np.array([7, "cat", 2.5] * 2, dtype=object), "y mixes strings and numbers"),
        ([b"a", b"b"] * 3, "y has prompts of type bytes"),
        (pd.Series([1, 2, None] * 2, dtype="Int64"), "y (contains NaN|has prompts of type NAType)"),
        ([10**400, 1.5] * 3, "y has numbers that no dtype of numpy holds exactly"),
        ([2**53 + 1, 0.5] * 3, "y has numbers that no dtype of numpy holds exactly"),
        ([["a"], ["a", "b"]] * 3, "y has prompts of type list"),
    ],
)
def test_labels_that_are_none_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearDiffusion().fit(np.eye(6), y)


def test_batches_of_numbers_and_of_strings_are_not_one_model() -> None:
    X = np.random.default_rng(0).random((6, 3))
    model = LinearDiffusion(styles=1).partial_fit(X, [1, 2] * 3)
    with pytest.raises(ValueError, match="prompts are int64 here and <U1 there"):
        model.partial_fit(X, ["1", "2"] * 3)
    assert model.classes_.tolist() == [1, 2]
    one, other = (Moments.of(X, np.zeros(6, int), np.array([label])) for label in (1, "1"))
    with pytest.raises(ValueError, match="prompts are"):
        one + other
