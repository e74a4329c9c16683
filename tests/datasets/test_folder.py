"""A folder of images: which files, which prompts, and the row or file at fault."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linear_diffusion.datasets import load_images
from linear_diffusion.datasets.folder import list_folder


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
    paths, prompts = list_folder(pets)
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
        ('{"file_name": ', ["line 2", "not JSON"]),
        ("[" * 100_000, ["line 2", "not JSON"]),
        ('["cat/a.png", "a"]', ["line 2", "must be an object"]),
    ],
)
def test_a_row_at_fault_in_jsonl(row: str, words: list[str], pets: Path, raises_line: Callable) -> None:
    (pets / "metadata.jsonl").write_text('{"file_name": "cat/a.png", "text": "good"}\n' + row + "\n")
    with raises_line(pets / "metadata.jsonl", *words):
        load_images(pets)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,text\na,b\n", ["lacks the column file_name"]),
        (b"", ["lacks the column file_name and text"]),
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
