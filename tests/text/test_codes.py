import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linear_diffusion import UnknownPromptError
from linear_diffusion.text.prompts import OneHotEncoder
from linear_diffusion.text.words import BagOfWords, TransformedPrompts
from linear_diffusion.utils.groups import by_group


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


@pytest.mark.parametrize(("asked", "hint"), [("seven", ""), ("CAT", "; the nearest is 'cat'"), ("", ""), (3.5, "")])
def test_only_what_is_near_is_called_the_nearest(asked: object, hint: str) -> None:
    with pytest.raises(UnknownPromptError, match=rf"the model knows 'cat', '9', 'd'{hint}\.$"):
        OneHotEncoder(np.array(["cat", "9", "d"])).index([asked])


def test_unknown_prompt_cuts_a_long_list_of_known_ones_short() -> None:
    with pytest.raises(UnknownPromptError, match=r"'119', \.\.\. \(200 in all\); the nearest is '2\d7'"):
        OneHotEncoder(np.arange(100, 300)).index(["27"])


@pytest.mark.parametrize("prompt", [None, ["cat"], {"cat": 0.5}, np.nan])
def test_what_is_no_prompt_is_unknown_not_a_crash(prompt: object) -> None:
    with pytest.raises(UnknownPromptError):
        OneHotEncoder(np.array(["cat", "dog"])).index([prompt])


def test_a_bag_has_a_one_for_each_word_whatever_their_order_and_number() -> None:
    text = BagOfWords(["3", "3 bold", "8", "8 thin"])
    assert text.words == ["3", "8", "bold", "thin"]
    assert_array_equal(text.encode(["bold 3", " 3  bold ", "3 bold bold"]), np.tile([1.0, 0, 1, 0], (3, 1)))


def test_a_bag_knows_what_is_a_linear_combination_of_known_prompts() -> None:
    """ "8 bold" is "3 bold" + "8" - "3"; no combination of these has two digits or none."""
    text = BagOfWords(["3", "3 bold", "8"])
    assert_array_equal(text.encode(["8 bold"]), [[0, 1, 1]])
    for prompt, nearest in (("3 8", "; the nearest is '3'"), ("bold", "; the nearest is '3 bold'"), ("", "")):
        with pytest.raises(UnknownPromptError, match=rf"but not together.* known prompts has them{nearest}\.$"):
            text.encode(["3", prompt])
    with pytest.raises(UnknownPromptError, match=r"unknown word 'bald' in prompt '8 bald': .* the nearest is 'bold'\."):
        text.encode(["8 bald"])


def test_vectors_keep_their_distances_where_nothing_is_reduced() -> None:
    vectors = np.random.default_rng(0).standard_normal((9, 5))
    text = TransformedPrompts(lambda prompts: vectors[[int(p) for p in prompts]], [str(i) for i in range(9)])
    codes = text.encode([str(i) for i in range(9)])
    for i in range(9):
        np.testing.assert_allclose(
            np.linalg.norm(codes - codes[i], axis=1), np.linalg.norm(vectors - vectors[i], axis=1), rtol=1e-10
        )


def test_groups_by_prompt_partition_the_rows() -> None:
    index = np.array([2, 0, 2, 2, 0])
    groups = {j: np.arange(5)[rows].tolist() for j, rows in by_group(index)}
    assert groups == {0: [1, 4], 2: [0, 2, 3]}
    assert [(j, np.arange(3)[rows].tolist()) for j, rows in by_group(np.array([7, 7, 7]))] == [(7, [0, 1, 2])]
