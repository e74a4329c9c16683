"""A model as a folder: what is saved comes back bit by bit, and is never lost, whatever happens meanwhile."""

import json
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linear_diffusion import LinearDiffusion, ModelFileError
from linear_diffusion.text.prompts import OneHotEncoder
from linear_diffusion.utils.files import labels_from_json, labels_to_json, write_files

Digits = tuple[np.ndarray, np.ndarray]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, to be killed at once")
needs_rights = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write anywhere"
)


@pytest.fixture(scope="module")
def small(grey: Digits) -> LinearDiffusion:
    """Three prompts, four components, both a tone curve and a regression."""
    images, y = grey
    few = y < 3
    return LinearDiffusion(styles=1, latent_dim=4, training="sampled", random_state=1).fit(images[few], y[few])


@pytest.fixture
def folder(small: LinearDiffusion, tmp_path: Path) -> Path:
    small.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def assert_one_model(folder: Path, *others: str) -> None:
    """Nothing lies in the folder but a model whose weights are named in its configuration, and other files."""
    digest = json.loads((folder / "config.json").read_text())["sha256"]
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        f"model-{digest[:16]}.safetensors",
        "README.md",
        *others,
    }


def assert_same_model(loaded: LinearDiffusion, saved: LinearDiffusion, X: np.ndarray) -> None:
    assert_array_equal(loaded.transform(X), saved.transform(X))
    assert_array_equal(loaded.classes_, saved.classes_)
    assert loaded.classes_.dtype == saved.classes_.dtype
    exact = saved.training == "exact"
    for name in ("ddpm", "heun", "dpmpp_2m", "exact" if exact else "ddim"):
        for trajectory in (False, True):
            arguments = {"sampler": name, "random_state": 3, "return_trajectory": trajectory}
            if name != "exact":
                arguments["n_steps"] = 1 if saved.schedule == "one-step" else 4
            for found, expected in zip(loaded.sample(7, **arguments), saved.sample(7, **arguments), strict=True):
                assert_array_equal(found, expected)
                assert found.dtype == expected.dtype
    if exact:
        assert_array_equal(loaded.score_samples(X), saved.score_samples(X))
        assert_array_equal(loaded.denoise(X, 0.3), saved.denoise(X, 0.3))
        assert_array_equal(loaded.predict_proba(X), saved.predict_proba(X))
        assert_array_equal(loaded.class_noise_std_, saved.class_noise_std_)
    for name in ("means_", "weights_", "covariances_", "components_", "explained_variance_ratio_"):
        assert_array_equal(getattr(loaded, name), getattr(saved, name))
    for name in ("latent_dim_", "scaling_factor_", "image_shape_", "n_images_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(saved, name)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (20,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"styles": 1},
        {"styles": 3, "tone": False, "standardize": True},
        {"styles": 1, "standardize": True, "tone": False, "schedule": "karras", "ridge": 0.01},
        {"training": "sampled", "n_draws": 2},
        {"schedule": "one-step", "latent_dim": 0.8},
    ],
    ids=str,
)
def test_a_saved_model_comes_back_bit_by_bit(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, parameters: dict[str, Any]
) -> None:
    X = (np.random.default_rng(0).integers(0, 256, (40, *shape)) / (1 if dtype == np.uint8 else 255)).astype(dtype)
    model = LinearDiffusion(**{"latent_dim": 6, "random_state": 4, **parameters}).fit(X, np.arange(40) % 3)
    model.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    assert_same_model(loaded, model, X)
    assert loaded.get_params() == model.get_params()
    assert_array_equal(loaded.sample(3)[0], model.sample(3)[0])


@pytest.mark.parametrize(
    "y",
    [
        np.array(["a", "b", "ü"] * 4),
        np.array(["a", "b", "c"] * 4, dtype=object),
        np.array(["\U0010ffff", "\x00b", "`c`\n# d"] * 4),
        np.arange(12),
        np.arange(12, dtype=np.uint8),
        np.linspace(0, 1, 12),
        np.linspace(0, 1, 12, dtype=np.float32),
        np.array([True, False] * 6),
        None,
    ],
)
def test_prompts_come_back_with_their_dtype(tmp_path: Path, y: Any) -> None:
    X = np.random.default_rng(0).standard_normal((12, 4))
    model = LinearDiffusion(random_state=0).fit(X, y)
    model.save_pretrained(str(tmp_path))
    assert_same_model(LinearDiffusion.from_pretrained(str(tmp_path)), model, X)


def test_wide_strings_of_short_prompts_come_back_as_wide_as_they_need(tmp_path: Path) -> None:
    LinearDiffusion().fit(np.eye(4), np.array(["a", "bb"] * 2, dtype="<U5000")).save_pretrained(tmp_path)
    assert LinearDiffusion.from_pretrained(tmp_path).classes_.dtype == "<U2"


@pytest.mark.parametrize("saved", [3, np.int64(3), None, np.random.RandomState(3), np.random.default_rng(3)])
def test_a_seed_is_saved_and_the_state_of_a_generator_is_not(tmp_path: Path, saved: Any) -> None:
    model = LinearDiffusion(styles=np.int64(2), latent_dim=np.int64(2), ridge=np.float64(0.1), random_state=saved).fit(
        np.eye(4)
    )
    model.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    assert loaded.random_state == (3 if isinstance(saved, (int, np.integer)) else None)
    assert (loaded.latent_dim, loaded.styles, loaded.ridge) == (2, 2, 0.1)
    if loaded.random_state is not None:
        assert_array_equal(loaded.sample(4)[0], model.sample(4)[0])


def test_names_of_columns_are_saved(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.eye(4), columns=list("abcd"))
    LinearDiffusion().fit(frame).save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    assert loaded.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.transform(frame[list("dcba")])


def test_a_loaded_model_saves_to_the_same_files(folder: Path, tmp_path: Path) -> None:
    LinearDiffusion.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert_one_model(tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_loaded_model_can_be_fitted_anew(folder: Path, grey: Digits) -> None:
    anew = LinearDiffusion.from_pretrained(folder).fit(*grey)
    assert_array_equal(anew.classes_, np.arange(10))


def test_ten_thousand_prompts_are_saved_and_read(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((20_000, 3))
    model = LinearDiffusion(styles=1, training="sampled", random_state=0).fit(X, np.arange(20_000) // 2)
    model.save_pretrained(tmp_path)
    assert_array_equal(LinearDiffusion.from_pretrained(tmp_path).sample(5)[0], model.sample(5)[0])


# The card


def test_the_card_names_what_the_model_is(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    for fact in (
        "8 x 8, uint8",
        "537 images of 3 prompts",
        "`0`, `1`, `2`",
        "4 principal components",
        "tone curve: yes",
    ):
        assert fact in card


def test_the_card_is_not_needed(folder: Path, small: LinearDiffusion) -> None:
    (folder / "README.md").unlink()
    assert_array_equal(LinearDiffusion.from_pretrained(folder).sample(3)[0], small.sample(3)[0])


def test_prompts_stay_prompts_in_the_card_and_its_code_runs(tmp_path: Path) -> None:
    prompts = ["`\n---\n# not a heading", "\U0010ffff", "long " * 1000, "'"]
    LinearDiffusion().fit(np.eye(4), prompts).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert len(card) < 2000
    assert card.count("\n---\n") == 1
    assert "# not a heading" in card
    assert "\n# not" not in card
    code = re.findall(r"```python\n(.*?)```", card, re.S)
    names: dict[str, Any] = {}
    exec(code[0].replace("path/to/this/folder", str(tmp_path)), names)
    assert names["images"].shape == (10, 4)


# What could not be read back is refused before anything is written


def change_prior(model: LinearDiffusion, **changes: Any) -> None:
    model.prior_ = replace(model.prior_, **changes)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.set_params(latent_dim=0), "'latent_dim' parameter"),
        (lambda m: m.set_params(styles="many"), "'styles' parameter"),
        (lambda m: m.set_params(text_encoder="words"), "words"),
        (lambda m: change_prior(m, text=OneHotEncoder(np.array([0, 1, 1]))), "distinct"),
        (lambda m: change_prior(m, text=OneHotEncoder(np.array([0.5, 1, np.nan]))), "prompts"),
        (lambda m: change_prior(m, text=OneHotEncoder(np.array([0, 1, None], object))), "prompts"),
        (lambda m: change_prior(m, weights=m.weights_ * np.nan), "prior.weights"),
        (lambda m: setattr(m, "n_images_", 10**400), "whole number"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    folder: Path, change: Callable[[LinearDiffusion], Any], message: str
) -> None:
    model = LinearDiffusion.from_pretrained(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    change(model)
    with pytest.raises(ValueError, match=f"could not be read back: .*{message}"):
        model.save_pretrained(folder)
    with pytest.raises(ValueError, match="could not be read back"):
        model.save_pretrained(folder.parent / "new")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert not (folder.parent / "new").exists()


# Writing


def test_saving_over_a_model_replaces_it_whole(folder: Path, model: LinearDiffusion, grey: Digits) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "model-00001-of-00002.safetensors").write_text("someone's")
    model.save_pretrained(folder)
    assert_same_model(LinearDiffusion.from_pretrained(folder), model, grey[0][:5])
    assert_one_model(folder, "notes.txt", "model-00001-of-00002.safetensors")


def test_folders_on_the_way_are_made(tmp_path: Path, small: LinearDiffusion) -> None:
    small.save_pretrained(tmp_path / "a" / "b")
    assert_one_model(tmp_path / "a" / "b")


def test_a_file_is_no_folder_to_save_to(folder: Path, small: LinearDiffusion) -> None:
    before = (folder / "README.md").read_bytes()
    with pytest.raises(ModelFileError, match=r"README\.md is a file; a model is a folder, choose another name"):
        small.save_pretrained(folder / "README.md")
    with pytest.raises(OSError, match=r"README\.md"):
        small.save_pretrained(folder / "README.md" / "below")
    assert (folder / "README.md").read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_a_folder_in_a_files_place_is_named_before_anything_is_written(
    folder: Path, model: LinearDiffusion, name: str
) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    before = {p.name for p in folder.iterdir()}
    with pytest.raises(IsADirectoryError, match=re.escape(str(folder / name))):
        model.save_pretrained(folder)
    assert {p.name for p in folder.iterdir()} == before


@needs_rights
def test_a_folder_that_is_read_only_is_named_and_keeps_its_model(
    folder: Path, small: LinearDiffusion, model: LinearDiffusion
) -> None:
    folder.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=re.escape(str(folder))):
            model.save_pretrained(folder)
    finally:
        folder.chmod(0o700)
    assert_array_equal(LinearDiffusion.from_pretrained(folder).sample(3)[0], small.sample(3)[0])
    assert_one_model(folder)


@needs_rights
def test_weights_that_may_not_be_read_are_not_said_to_be_missing(folder: Path) -> None:
    next(folder.glob("model-*")).chmod(0)
    with pytest.raises(ModelFileError, match=r"model-\w+\.safetensors cannot be read: Permission denied"):
        LinearDiffusion.from_pretrained(folder)


def forked(work: Callable[[], Any]) -> multiprocessing.Process:
    """A process of its own that works until it is killed."""
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    return process


@needs_fork
def test_a_disk_that_is_full_is_named_and_the_old_model_kept(
    folder: Path, small: LinearDiffusion, model: LinearDiffusion
) -> None:
    import resource

    receiver, sender = multiprocessing.Pipe()

    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # the weights are larger
        try:
            model.save_pretrained(folder)
        except OSError as error:
            sender.send((str(error), error.filename))

    forked(write).join()
    message, name = receiver.recv() if receiver.poll() else ("", "")
    assert Path(name).parent == folder
    assert re.fullmatch(r"model-\w{16}\.safetensors", Path(name).name)
    assert name in message
    assert_one_model(folder)
    assert_array_equal(LinearDiffusion.from_pretrained(folder).sample(3)[0], small.sample(3)[0])


@pytest.fixture
def pair(small: LinearDiffusion, folder: Path) -> tuple[LinearDiffusion, LinearDiffusion]:
    """Two models that differ in their prompts and weights."""
    other = LinearDiffusion(styles=1, latent_dim=2).fit(np.eye(9).reshape(9, 3, 3), list("aaabbbccc"))
    other.save_pretrained(folder.parent / "other")
    return LinearDiffusion.from_pretrained(folder), LinearDiffusion.from_pretrained(folder.parent / "other")


def which(folder: Path, pair: tuple[LinearDiffusion, LinearDiffusion]) -> int:
    """Which of two models a folder holds, whole."""
    found = LinearDiffusion.from_pretrained(folder)
    number = [m.image_shape_ for m in pair].index(found.image_shape_)
    assert_array_equal(found.sample(3, random_state=0)[0], pair[number].sample(3, random_state=0)[0])
    return number


@needs_fork
def test_a_model_is_whole_whenever_its_writers_are_killed(
    folder: Path, pair: tuple[LinearDiffusion, LinearDiffusion]
) -> None:
    def save_for_ever() -> None:
        while True:
            for model in pair:
                model.save_pretrained(folder)

    moments, found = random.Random(0), [0, 0]
    for _ in range(15):
        writers = [forked(save_for_ever), forked(save_for_ever)]
        stop = time.monotonic() + moments.uniform(0.0, 0.06)
        while time.monotonic() < stop:
            found[which(folder, pair)] += 1  # readers find a model at any time
        for writer in writers:
            writer.kill()
            writer.join()
        found[which(folder, pair)] += 1
        assert len(list(folder.glob("model-*"))) <= 2
    assert min(found) > 0
    pair[0].save_pretrained(folder)
    assert_one_model(folder)  # and nothing is left of those that were killed


@needs_fork
def test_what_a_living_writer_has_begun_is_left_alone(folder: Path, small: LinearDiffusion) -> None:
    """A second writer waits for the first, and its files are no rest of a killed one."""
    fcntl = pytest.importorskip("fcntl")
    begun = folder / ".writing-by-another"
    begun.mkdir()
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    second = forked(lambda: small.save_pretrained(folder))
    second.join(0.3)
    assert second.is_alive()
    assert begun.exists()
    fcntl.flock(held, fcntl.LOCK_UN)
    os.close(held)
    second.join(60)
    assert second.exitcode == 0
    assert_one_model(folder)


def test_a_reader_whose_weights_are_replaced_reads_the_new_ones(
    folder: Path, model: LinearDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that comes in between a reader's two files."""
    read, texts = Path.open, []

    def opened(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name.startswith("model-") and not texts:
            texts.append(self)
            model.save_pretrained(folder)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    loaded = LinearDiffusion.from_pretrained(folder)
    assert texts
    assert_array_equal(loaded.classes_, model.classes_)


def test_where_no_lock_tells_of_other_writers_only_old_files_are_removed(
    folder: Path, small: LinearDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows and some network drives."""
    monkeypatch.setattr("linear_diffusion.utils.files.fcntl", None)
    fresh, old = (folder / f"model-{digit * 16}.safetensors" for digit in "ab")
    for path in (fresh, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    small.save_pretrained(folder)
    assert_one_model(folder, fresh.name)


def test_a_configuration_too_large_to_be_read_is_not_written(tmp_path: Path) -> None:
    prompts = np.array(["a", "b" * 2**26], dtype=object)
    with pytest.raises(ValueError, match=r"could not be read back: .*67\.1 MB"):
        LinearDiffusion().fit(np.eye(4), np.tile(prompts, 2)).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_are_written_one_by_one_or_not_at_all(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"1", "b": b"2"})
    (tmp_path / "c").mkdir()
    with pytest.raises(IsADirectoryError, match="c"):
        write_files(tmp_path, {"a": b"3", "c": b"4"})
    assert (tmp_path / "a").read_bytes() == b"1"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_files(tmp_path / "nowhere", {"a": b"1"})
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "c"}


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "ü"]),
        np.array([1, 2], np.int8),
        np.array([0.1, 2.0]),
        np.array(["x"], object),
        np.array([True, False]),
    ],
)
def test_labels_come_back_from_json(labels: np.ndarray) -> None:
    back = labels_from_json(json.loads(json.dumps(labels_to_json(labels))))
    assert back.dtype == labels.dtype
    assert_array_equal(back, labels)
    assert [type(v) for v in back.tolist()] == [type(v) for v in labels.tolist()]


@pytest.mark.parametrize(
    "dtype", ["<U1", "<U100000000", "V8", "S3", "(9,9)f8", "f8,f8", "m8", "O", "<f16", "", 5, None]
)
def test_dtypes_that_are_no_labels_are_refused(dtype: Any) -> None:
    for values in (["a"], [1], [0.5]):
        with pytest.raises((ValueError, TypeError)):
            labels_from_json({"dtype": dtype, "values": values})


def test_labels_that_would_fill_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="the longest is too long"):
        labels_from_json({"dtype": "str", "values": ["x" * 10_000, *map(str, range(10_000))]})
