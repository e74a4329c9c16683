import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linear_diffusion import UnknownPromptError
from linear_diffusion.text import OneHotEncoder, by_prompt


def test_code_is_the_row_of_the_identity_at_the_prompts_position() -> None:
    text = OneHotEncoder(np.array(["cat", "dog", "eel"]))
    assert_array_equal(text.encode(["eel", "cat", "eel"]), np.eye(3)[[2, 0, 2]])


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (np.array([3, 8]), ["8", 3, np.int64(8), 8.0, "3"]),
        (np.array(["3", "8"]), [8, "3", np.str_("8"), 8, 3]),
        (np.array([3.0, 8.0]), [8, 3.0, "8.0", np.float32(8), "3.0"]),
        (np.array(["3", "8"], dtype=object), [8, "3", "8", 8, 3]),
        (np.array([3, 8]), np.array([8, 3, 8, 8, 3])),
    ],
)
def test_prompts_match_by_equality_then_as_strings(known: np.ndarray, asked: list) -> None:
    assert_array_equal(OneHotEncoder(known).index(asked), [1, 0, 1, 1, 0])


def test_equality_goes_before_the_string() -> None:
    """True == 1 and 1.0 == 1, though str(True) is "True"."""
    assert_array_equal(OneHotEncoder(np.array([0, 1])).index([True, False, 1.0]), [1, 0, 1])


def test_boolean_labels_match_their_names() -> None:
    assert_array_equal(OneHotEncoder(np.array([False, True])).index(["True", "False", True, 0]), [1, 0, 1, 0])


def test_unknown_prompt_lists_the_known_ones_and_the_nearest() -> None:
    text = OneHotEncoder(np.array(["cat", "dog"]))
    with pytest.raises(UnknownPromptError, match=r"unknown prompt 'dgo': the model knows 'cat', 'dog'; .* 'dog'\."):
        text.index(["cat", "dgo"])


def test_unknown_prompt_cuts_a_long_list_of_known_ones_short() -> None:
    with pytest.raises(UnknownPromptError, match=r"'119', \.\.\. \(200 in all\); the nearest is '2\d7'"):
        OneHotEncoder(np.arange(100, 300)).index(["27"])


@pytest.mark.parametrize("prompt", [None, ["cat"], {"cat": 0.5}, np.nan])
def test_what_is_no_prompt_is_unknown_not_a_crash(prompt: object) -> None:
    with pytest.raises(UnknownPromptError):
        OneHotEncoder(np.array(["cat", "dog"])).index([prompt])


def test_groups_by_prompt_partition_the_rows() -> None:
    index = np.array([2, 0, 2, 2, 0])
    groups = {j: np.arange(5)[rows].tolist() for j, rows in by_prompt(index)}
    assert groups == {0: [1, 4], 2: [0, 2, 3]}
    assert [(j, np.arange(3)[rows].tolist()) for j, rows in by_prompt(np.array([7, 7, 7]))] == [(7, [0, 1, 2])]
