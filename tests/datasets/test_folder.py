"""A folder of images: which files, which prompts, and the row or file at fault."""

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from linear_diffusion.datasets import load_images
from linear_diffusion.datasets.folder import list_folder
from linear_diffusion.exceptions import DataError


def flat(value: int) -> np.ndarray:
    """A 4x4 grey image of one level."""
    return np.full((4, 4), value, np.uint8)


def found(folder: Path, **options: object) -> dict[int, str]:
    """Level -> prompt of a folder of flat images."""
    images, prompts = load_images(folder, **options)
    return dict(zip(images[:, 0, 0].tolist(), prompts.tolist(), strict=True))


@pytest.fixture
def pets(tmp_path: Path, save: Callable) -> Path:
    """Three flat images: cat 10, dog 20, cat 30."""
    save(tmp_path / "cat" / "a.png", flat(10))
    save(tmp_path / "dog" / "a.PNG", flat(20))
    save(tmp_path / "cat" / "b.jpeg", flat(30))
    return tmp_path


def test_the_folder_around_a_file_is_its_prompt(pets: Path, save: Callable) -> None:
    save(pets / "wild" / "big cat" / "c.bmp", flat(40))
    save(pets / "root.gif", flat(50))
    assert found(pets) == {10: "cat", 20: "dog", 30: "cat", 40: "big cat", 50: ""}
    assert found(pets / "cat") == {10: "", 30: ""}


def test_hidden_and_foreign_files_are_passed_over(pets: Path, save: Callable) -> None:
    (pets / "cat" / "notes.txt").write_text("no image")
    (pets / "cat" / "._a.png").write_bytes(b"what macOS leaves")
    (pets / "__MACOSX" / "cat").mkdir(parents=True)
    (pets / "__MACOSX" / "cat" / "a.png").write_bytes(b"")
    (pets / "folder.png").mkdir()
    save(pets / ".thumbnails" / "a.png", flat(99))
    assert found(pets) == {10: "cat", 20: "dog", 30: "cat"}


def test_listing_is_sorted_and_order_fixed(pets: Path) -> None:
    paths, prompts, _ = list_folder(pets)
    assert [path.relative_to(pets).as_posix() for path in paths] == ["cat/a.png", "cat/b.jpeg", "dog/a.PNG"]
    assert prompts.tolist() == ["cat", "cat", "dog"]
    first, again = load_images(pets), load_images(str(pets))
    np.testing.assert_array_equal(first[0], again[0])
    orders = {tuple(load_images(pets, random_state=seed)[0][:, 0, 0].tolist()) for seed in range(20)}
    assert len(orders) > 2


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_names_files_and_prompts(kind: str, pets: Path) -> None:
    rows = [("cat/a.png", 'a cat, "small"'), ("dog/a.PNG", "ein Hündchen"), ("cat/a.png", "again")]
    if kind == "csv":
        text = "\ufefftext,note,file_name\n" + "".join(f'"{t.replace(chr(34), chr(34) * 2)}",x,{f}\n' for f, t in rows)
    else:
        text = "\n".join(json.dumps({"file_name": f, "text": t, "note": 1}) for f, t in rows) + "\n\n"
    (pets / f"metadata.{kind}").write_text(text, encoding="utf-8")
    images, prompts = load_images(pets)
    pairs = sorted(zip(images[:, 0, 0].tolist(), prompts.tolist(), strict=True))
    assert pairs == [(10, 'a cat, "small"'), (10, "again"), (20, "ein Hündchen")]  # cat/b.jpeg is not named


def test_a_number_is_a_prompt_in_jsonl(pets: Path) -> None:
    (pets / "metadata.jsonl").write_text('{"file_name": "cat/a.png", "text": 7}')
    assert found(pets) == {10: "7"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("cat/none.png,x", ["line 3", "'cat/none.png'", "does not exist"]),
        ("../x.png,x", ["line 3", "'../x.png'", "outside the folder"]),
        ("/etc/passwd,x", ["line 3", "'/etc/passwd'", "outside the folder"]),
        ("cat/../../x.png,x", ["line 3", "outside the folder"]),
        ("n" * 5000 + ",x", ["line 3", "does not exist"]),
        ("cat/b.jpeg", ["line 3", "cat/b.jpeg", "no text"]),
        ("cat/b.jpeg,", ["line 3", "cat/b.jpeg", "no text"]),
        ("cat/b.jpeg,  ", ["line 3", "cat/b.jpeg", "no text"]),
        (",x", ["line 3", "no file_name"]),
        ("cat,x", ["line 3", "'cat'", "does not exist"]),
    ],
)
def test_a_row_at_fault_in_csv(row: str, words: list[str], pets: Path, raises_line: Callable) -> None:
    (pets / "metadata.csv").write_text(f"file_name,text\ncat/a.png,good\n{row}\n")
    with raises_line(pets / "metadata.csv", *words):
        load_images(pets)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"file_name": "cat/a.png"}', ["line 2", "cat/a.png", "no text"]),
        ('{"file_name": "cat/a.png", "text": null}', ["line 2", "no text"]),
        ('{"file_name": "cat/a.png", "text": ["a"]}', ["line 2", "no text"]),
        ('{"text": "a"}', ["line 2", "no file_name"]),
        ('{"file_name": 3, "text": "a"}', ["line 2", "no file_name"]),
        ('{"file_name": "a\\u0000b", "text": "a"}', ["line 2", "does not exist"]),
        ('{"file_name": "a\\ud800b", "text": "a"}', ["line 2", "does not exist"]),
        ('{"file_name": "cat/a.png", "text": "\\ud800"}', ["line 2", r"'\ud800'", "not Unicode"]),
        ('{"file_name": "cat/a.png", "text": "' + "x" * 1001 + '"}', ["line 2", "1,001 characters", "1,000 at most"]),
        ('{"file_name": "cat/a.png", "text": ' + "7" * 5000 + "}", ["line 2", "not JSON"]),
        ('{"file_name": "loop.png", "text": "a"}', ["line 2", "does not exist"]),
        ('{"file_name": "away.png", "text": "a"}', ["line 2", "outside the folder"]),
        ('{"file_name": "away/a.png", "text": "a"}', ["line 2", "outside the folder"]),
        ('{"file_name": ', ["line 2", "not JSON"]),
        ("[" * 100_000, ["line 2", "not JSON"]),
        ('["cat/a.png", "a"]', ["line 2", "must be an object"]),
    ],
)
def test_a_row_at_fault_in_jsonl(
    row: str,
    words: list[str],
    pets: Path,
    tmp_path_factory: pytest.TempPathFactory,
    save: Callable,
    raises_line: Callable,
) -> None:
    away = save(tmp_path_factory.mktemp("away") / "a.png", flat(1))
    (pets / "away").symlink_to(away.parent, target_is_directory=True)
    (pets / "away.png").symlink_to(away)
    (pets / "loop.png").symlink_to("loop.png")
    (pets / "metadata.jsonl").write_text('{"file_name": "cat/a.png", "text": "good"}\n' + row + "\n")
    with raises_line(pets / "metadata.jsonl", *words):
        load_images(pets)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,text\na,b\n", ["no column 'file_name'", "['file', 'text']", "image_column=NAME"]),
        (b"file_name,title\na,b\n", ["no column 'prompts' or", "['file_name', 'title']", "text_column=NAME"]),
        (b"", ["is empty", "file_name,text"]),
        (b"file_name,text\ncat/a.png,\xff\xfe\n", ["UTF-8"]),
        (b"file_name,text\n", ["no images"]),
        (b'file_name,text\n"' + b"x" * 200_000, ["cannot be read"]),
    ],
)
def test_a_table_at_fault(content: bytes, words: list[str], pets: Path, raises_line: Callable) -> None:
    (pets / "metadata.csv").write_bytes(content)
    with raises_line(pets / "metadata.csv", *words):
        load_images(pets)


def test_two_tables_are_refused(pets: Path, raises_line: Callable) -> None:
    (pets / "metadata.csv").touch()
    (pets / "metadata.jsonl").touch()
    with raises_line(pets, "metadata.csv", "metadata.jsonl", "keep one"):
        load_images(pets)


def test_an_empty_folder_is_named(tmp_path: Path, raises_line: Callable) -> None:
    (tmp_path / "readme.txt").touch()
    with raises_line(tmp_path, "no images", ".png"):
        load_images(tmp_path)


def test_an_unreadable_image_among_many_is_named_before_any_pixels(pets: Path, raises_line: Callable) -> None:
    for i in range(50):
        Image.fromarray(flat(i)).save(pets / "dog" / f"{i}.png")
    (pets / "dog" / "33.png").write_bytes(b"no image at all")
    done = []
    with raises_line(pets / "dog" / "33.png", "PNG, JPEG"):
        load_images(pets, progress=lambda i, n: done.append(i))
    assert max(done, default=0) < 53


# Parts


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (("train", "test"), None, {0}),
        (("train", "test"), "train", {0}),
        (("train", "test"), "test", {1}),
        (("train", "test"), "all", {0, 1}),
        (("Training", "VAL", "eval"), "validation", {1}),
        (("Training", "VAL", "eval"), "dev", {1}),
        (("Training", "VAL", "eval"), "train+test", {0, 1, 2}),
        (("archive/train", "archive/test"), None, {0}),
        (("train",), None, {0}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*the part 'train' is read")
def test_parts_are_read_one_at_a_time(
    names: tuple[str, ...], split: str | None, expected: set[int], tmp_path: Path, save: Callable
) -> None:
    for i, name in enumerate(names):
        save(tmp_path / name / "cat" / "a.png", flat(i))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "readme.txt").touch()
    assert found(tmp_path, split=split) == dict.fromkeys(expected, "cat")


def test_what_is_left_out_is_said_unless_it_was_asked_for(tmp_path: Path, save: Callable, recwarn: object) -> None:
    for i, name in enumerate(("train", "test", "test", "val")):
        save(tmp_path / name / "cat" / f"{i}.png", flat(i))
    load_images(tmp_path, split="train")
    assert not list(recwarn)
    message = f"{tmp_path}: the part 'train' is read, 'test' (2 files) and 'validation' (1 file) left out."
    with pytest.warns(UserWarning) as caught:
        load_images(tmp_path)
    assert [str(warning.message) for warning in caught] == [message]
    told: list[str] = []
    load_images(tmp_path, report=told.append)
    assert told == [message]


def test_a_part_that_is_not_there(tmp_path: Path, save: Callable, raises_line: Callable) -> None:
    save(tmp_path / "validation" / "a.png", flat(1))
    save(tmp_path / "test" / "a.png", flat(1))
    with raises_line(tmp_path, "no part 'train'", "split='test'"):
        load_images(tmp_path)


@pytest.mark.parametrize("other", ["car/a.png", "a.png"])
def test_classes_that_are_called_like_parts_are_classes(other: str, tmp_path: Path, save: Callable) -> None:
    save(tmp_path / "train" / "a.png", flat(10))
    save(tmp_path / "test" / "a.png", flat(20))
    save(tmp_path / other, flat(30))
    assert found(tmp_path) == {10: "train", 20: "test", 30: "car" if "car" in other else ""}


@pytest.mark.parametrize("at_root", [False, True])
@pytest.mark.filterwarnings("ignore:.*the part 'train' is read")
def test_each_part_has_its_captions(at_root: bool, tmp_path: Path, save: Callable) -> None:
    for i, name in enumerate(("train", "test")):
        save(tmp_path / name / "a.png", flat(i))
        if not at_root:
            (tmp_path / name / "metadata.csv").write_text(f"file_name,text\na.png,of {name}\n")
    if at_root:
        (tmp_path / "metadata.csv").write_text("file_name,text\ntrain/a.png,of train\ntest/a.png,of test\n")
    assert found(tmp_path) == {0: "of train"}
    assert found(tmp_path, split="test") == {1: "of test"}
    assert found(tmp_path, split="all") == {0: "of train", 1: "of test"}


def test_a_table_in_a_subfolder_names_files_there(pets: Path) -> None:
    (pets / "cat" / "metadata.csv").write_text("file_name,text\na.png,a cat\n")
    with pytest.warns(UserWarning, match="2 images that no metadata file names"):
        assert found(pets) == {10: "a cat"}


# Columns


@pytest.mark.parametrize("column", ["text", "caption", "captions", "label", "prompt", "prompts"])
@pytest.mark.filterwarnings("ignore:.*no metadata file names")
def test_usual_names_of_the_column_of_prompts(column: str, pets: Path) -> None:
    (pets / "metadata.csv").write_text(f"file_name,id,{column}\ncat/a.png,7,a cat\n")
    assert found(pets) == {10: "a cat"}


@pytest.mark.filterwarnings("ignore:.*no metadata file names")
def test_columns_can_be_chosen(pets: Path, raises_line: Callable) -> None:
    (pets / "metadata.csv").write_text("picture,title,text\ncat/a.png,a title,a text\n")
    assert found(pets, image_column="picture") == {10: "a text"}
    assert found(pets, image_column="picture", text_column="title") == {10: "a title"}
    assert found(pets, image_column="picture", text_column="") == {10: ""}
    with raises_line("no column 'name'", "['picture', 'title', 'text']"):
        load_images(pets, image_column="picture", text_column="name")
    with raises_line("no columns to choose"):
        load_images(pets / "dog", text_column="text")


def test_metadata_in_parquet_with_class_names(pets: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    schema = pa.schema([("file_name", pa.string()), ("label", pa.int64())], {"huggingface": json.dumps(features)})
    table = pa.table({"file_name": ["cat/a.png", "dog/a.PNG", "cat/b.jpeg"], "label": [0, 1, 1]}, schema)
    pq.write_table(table, pets / "metadata.parquet")
    assert found(pets) == {10: "cat", 20: "dog", 30: "dog"}
    (pets / "metadata.csv").write_text("file_name,text\ncat/a.png,x\n")
    with pytest.raises(DataError, match=r"both metadata.csv and metadata.parquet; keep one"):
        load_images(pets)


# Names


def test_accents_in_two_forms_are_one(tmp_path: Path, save: Callable) -> None:
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    save(tmp_path / one / "1.png", flat(1))
    save(tmp_path / two / "2.png", flat(2))
    assert found(tmp_path) == {1: one, 2: one}
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{two}/1.png,{one}\n{one}/2.png,{two}\n")
    assert found(tmp_path) == {1: one, 2: one}


def test_a_folder_whose_name_is_no_text_is_refused_at_once(
    tmp_path: Path, save: Callable, raises_line: Callable
) -> None:
    save(tmp_path / "cat" / "a.png", flat(1))
    try:
        (tmp_path / "cat").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with raises_line(r"caf\udce9", "not Unicode text"):
        load_images(tmp_path)


def test_images_of_kinds_that_are_not_read_are_spoken_of(pets: Path, raises_line: Callable) -> None:
    for name in ("fox/1.HEIC", "fox/2.avif", "cat/3.heic"):
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).touch()
    with pytest.warns(UserWarning) as caught:
        assert found(pets) == {10: "cat", 20: "dog", 30: "cat"}
    assert [str(warning.message) for warning in caught] == [
        "3 files will be passed over: .avif, .heic cannot be read, convert to .png or .jpg (no images at all in fox)."
    ]
    with raises_line(pets / "fox", "holds no images", ".avif, .heic cannot be read"):
        load_images(pets / "fox")


def test_pipes_are_passed_over_or_refused(pets: Path, raises_line: Callable) -> None:
    for name in ("cat/pipe.png", "data.npz", "data.parquet", "metadata.csv"):
        os.mkfifo(pets / name)
    assert found(pets) == {10: "cat", 20: "dog", 30: "cat"}
    for name in ("data.npz", "data.parquet"):
        with raises_line(pets / name, "not a regular file"):
            load_images(pets / name)
