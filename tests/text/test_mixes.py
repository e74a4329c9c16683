"""Prompts as asked for: plain ones and mixes, and every mix that is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear_diffusion import UnknownPromptError
from linear_diffusion.text.mixes import as_given, each_mix, has_mix, heaviest, read_mix
from linear_diffusion.text.prompts import OneHotEncoder

TEXT = OneHotEncoder(np.array([3, 8, 11]))


@given(
    st.dictionaries(st.sampled_from([3, 8, 11, "8"]), st.integers(0, 9), min_size=1).filter(lambda d: any(d.values()))
)
def test_a_mix_has_the_weights_of_its_dict_the_heaviest_first(counts: dict) -> None:
    total = sum(counts.values())
    mix = read_mix({p: n / total for p, n in counts.items()}, TEXT)
    code = np.zeros(3)
    for prompt, n in counts.items():
        code += n / total * TEXT.encode([prompt])[0]
    np.testing.assert_allclose(sum(w * np.eye(3)[j] for j, w in mix), code, atol=1e-12)
    weights = [w for _, w in mix]
    assert weights == sorted(weights, reverse=True)
    assert all(w > 0 for w in weights)
    assert mix == read_mix({p: counts[p] / total for p in reversed(list(counts))}, TEXT) or len(set(weights)) > 1


def test_a_weight_of_one_is_the_prompt_alone() -> None:
    assert read_mix({3: 0, "8": 1 + 5e-7}, TEXT) == read_mix({8: 1}, TEXT) == ((1, 1.0),)


def test_equal_weights_are_in_the_order_of_the_prompts() -> None:
    assert read_mix({8: 0.5, 3: 0.5}, TEXT) == read_mix({3: 0.5, 8: 0.5}, TEXT) == ((0, 0.5), (1, 0.5))


def test_mixes_and_plain_prompts_go_together() -> None:
    prompts = [{8: 0.75, 3: 0.25}, "11", 3]
    assert has_mix(prompts)
    assert not has_mix(["11", 3])
    assert each_mix(prompts, 3, TEXT, "prompts") == [((1, 0.75), (0, 0.25)), ((2, 1.0),), ((0, 1.0),)]
    assert heaviest(prompts, TEXT) == [8, "11", 3]
    assert as_given(prompts, np.array([8, 11, 3])).tolist() == [prompts[0], 11, 3]
    assert as_given(prompts[0], np.array([8, 8])).tolist() == [prompts[0]] * 2
    assert each_mix({8: 1}, 2, TEXT, "prompts") == [((1, 1.0),)] * 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "mixed prompt {} is empty"),
        ({3: 0.5, 8: 0.6}, r"sum to 1.1, not to 1; divide each by the sum: \{3: 0.454545, 8: 0.545455\}"),
        ({3: 0.5, 8: 0.5 - 2e-6}, "not to 1; divide each"),
        ({3: 0.0}, "sum to 0, not to 1; give at least one that is above 0"),
        ({3: -0.5, 8: 1.5}, "weight -0.5 of prompt 3 must be a finite number >= 0"),
        ({3: float("nan"), 8: 1}, "weight nan of prompt 3 must be"),
        ({3: float("inf")}, "weight inf of prompt 3 must be"),
        ({3: True}, "weight True of prompt 3 must be"),
        ({3: "1"}, "weight '1' of prompt 3 must be"),
        ({"x": 1.0}, "unknown prompt 'x': the model knows '3', '8', '11'"),
    ],
)
def test_a_mix_that_is_refused(weights: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_mix(weights, TEXT)


def test_an_unknown_prompt_in_a_mix_has_a_class_of_its_own() -> None:
    with pytest.raises(UnknownPromptError):
        read_mix({3: 0.5, "4": 0.5}, TEXT)


def test_any_real_number_is_a_weight() -> None:
    assert read_mix({3: Fraction(1, 4), 8: np.float32(0.75)}, TEXT) == ((1, 0.75), (0, 0.25))


@pytest.mark.parametrize("prompts", [[], [3, 8]])
def test_prompts_are_one_or_one_an_image(prompts: list) -> None:
    with pytest.raises(ValueError, match=f"negative_prompts lists {len(prompts)} prompts for 3 images; give one"):
        each_mix(prompts, 3, TEXT, "negative_prompts")
