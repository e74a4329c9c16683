"""A model's folder from elsewhere: damaged or crafted, it is refused by name, quickly, or it is a model that works."""

import copy
import hashlib
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save

from linear_diffusion import LinearDiffusion, ModelFileError, Moments

Digits = tuple[np.ndarray, np.ndarray]
Arrays = dict[str, np.ndarray]
OF_EITHER_PRECISION = {"prior.basis", "prior.component_means", "prior.matched_means"}
"""What may be float32 or float64."""
KINDS = ("plain", "sampled", "styles", "colour", "standardised", "rows", "words", "family")
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name")


@pytest.fixture(scope="module")
def models(grey: Digits, rgb: np.ndarray) -> dict[str, LinearDiffusion]:
    """A small model of each kind."""
    images, y = grey
    few, texts = y < 3, np.array([f"{size} {place}" for size in ("big", "small") for place in ("left", "right")] * 50)
    noisy = np.tile(images[y < 2], (3, 1, 1)) // 2 + np.random.default_rng(0).integers(0, 99, (1080, 8, 8), np.uint8)
    return {
        "plain": LinearDiffusion(styles=1, latent_dim=4).fit(images[few], y[few]),
        "sampled": LinearDiffusion.one_shot(latent_dim=4, random_state=1).fit(images[few], y[few].astype(str)),
        "styles": LinearDiffusion(styles=8, latent_dim=4, random_state=1).fit(noisy, np.tile(y[y < 2], 3)),
        "colour": LinearDiffusion(styles=2, latent_dim=5).fit(rgb, np.arange(200) % 2),
        "standardised": LinearDiffusion(styles=1, latent_dim=4, standardize=True).fit(images[few] / 255, y[few]),
        "rows": LinearDiffusion(styles=3, latent_dim=4).fit(images[few].reshape(-1, 64)[:, 9:29].astype(np.float32)),
        "family": LinearDiffusion(styles=3, latent_dim=20).fit(images[:90], np.repeat(list("abcd"), [18, 40, 16, 16])),
        "words": LinearDiffusion(text_encoder="words", latent_dim=4).fit(images[:200], texts),
    }


@pytest.fixture(scope="module")
def saved(
    models: dict[str, LinearDiffusion], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Any, Arrays]]:
    """The configuration and the arrays of each."""
    root, found = tmp_path_factory.mktemp("models"), {}
    for kind, model in models.items():
        model.save_pretrained(root / kind)
        content = next((root / kind).glob("model-*.safetensors")).read_bytes()
        found[kind] = json.loads((root / kind / "config.json").read_text()), load(content)
    return found


@pytest.fixture
def folder(request: pytest.FixtureRequest, models: dict[str, LinearDiffusion], tmp_path: Path) -> Path:
    """A saved model, to be damaged: a plain one, or the kind that a test's parameter names."""
    models[getattr(request, "param", "plain")].save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def weights_of(folder: Path) -> Path:
    return next(folder.glob("model-*.safetensors"))


def craft(folder: Path, config: Any, arrays: Arrays, replace: tuple[str, str] = ("", "")) -> None:
    """Write a folder whose checksums fit, with the text of its configuration changed before the last of them."""
    content = save({name: np.array(a, order="C") for name, a in arrays.items()})
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    (folder / f"model-{digest[:16]}.safetensors").write_bytes(content)
    if isinstance(config, dict):
        config = config | {"sha256": digest, "bytes": len(content), "digest": ""}
    text = json.dumps(config, indent=2).replace(*replace)
    sealed = hashlib.sha256(text.replace('"digest": ""', "").encode()).hexdigest()
    (folder / "config.json").write_text(text.replace('"digest": ""', f'"digest": "{sealed}"'))


def assert_refused(folder: Path, message: str = "refused|.") -> str:
    """By an error that names the folder, within a second and with little memory."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(ModelFileError, match=message) as caught:
            LinearDiffusion.from_pretrained(folder)
        assert time.process_time() - started < 1
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 2000
    return str(caught.value)


# Damage


@pytest.mark.parametrize("folder", ["plain", "words"], indirect=True)
def test_every_flipped_bit_of_the_configuration_is_noticed(folder: Path) -> None:
    path = folder / "config.json"
    content = path.read_bytes()
    for i in range(len(content)):
        for bit in np.random.default_rng(i).permutation(8)[:1]:
            path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
            with pytest.raises(ModelFileError, match=r"config\.json|safetensors"):
                LinearDiffusion.from_pretrained(folder)


@pytest.mark.parametrize("folder", ["plain", "styles", "words"], indirect=True)
def test_a_flipped_bit_of_the_weights_is_noticed(folder: Path) -> None:
    path = weights_of(folder)
    content = path.read_bytes()
    for i in (*range(0, 200, 5), *np.random.default_rng(0).integers(0, len(content), 40)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        with pytest.raises(ModelFileError, match=rf"{path.name} is not the file .* \(its SHA-256 differs\)"):
            LinearDiffusion.from_pretrained(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["config.json", "model-*"])
def test_a_truncated_or_grown_file_is_named(folder: Path, name: str, share: float) -> None:
    path = next(folder.glob(name))
    whole = path.read_bytes()
    for content in (whole[: int(share * len(whole))], whole + whole[: 1 + int(share * len(whole))]):
        path.write_bytes(content)
        assert_refused(folder, path.name)


@pytest.mark.parametrize("name", ["config.json", "model-*"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    path = next(folder.glob(name))
    path.unlink()
    assert_refused(folder, f"{path.name} does not exist")
    path.symlink_to(folder / "nowhere")
    assert_refused(folder, f"{path.name} does not exist")


def test_an_empty_folder_a_file_and_nothing_at_all_are_no_models(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", r"empty holds no model: .*config\.json does not exist")
    assert_refused(tmp_path / "nowhere", r"nowhere holds no model")
    assert_refused(folder / "config.json", "config.json")
    assert_refused(tmp_path / ("long" * 100), "name too long")
    with pytest.raises(ModelFileError, match="null"):
        LinearDiffusion.from_pretrained("a\0b")


@pytest.mark.parametrize("name", ["config.json", "model-*"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "50 GB"])
def test_what_is_no_file_of_the_right_size_is_not_read(folder: Path, name: str, kind: str) -> None:
    path = next(folder.glob(name))
    if kind == "50 GB":
        os.truncate(path, 50 * 10**9)
        assert_refused(folder, rf"{path.name} has 50,000,000,000 bytes; it should have at most")
        return
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "zero" and Path("/dev/zero").exists():
        path.symlink_to("/dev/zero")
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        pytest.skip("this system has none")
    assert_refused(folder, rf"{path.name} is not a regular file")


@needs_fifo
def test_moments_are_read_from_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="pipe is not a regular file"):
        Moments.load(tmp_path / "pipe")


def test_weights_of_another_model_are_noticed_by_their_digest(folder: Path, saved: Any, tmp_path: Path) -> None:
    config, arrays = saved["plain"]
    craft(tmp_path / "other", config, arrays | {"prior.component_means": arrays["prior.component_means"] + 1.0})
    weights_of(tmp_path / "other").replace(weights_of(folder))
    assert_refused(folder, r"is not the file that config\.json was written with")


@pytest.mark.parametrize("version", [0, 1, 3, 5, 4.0, "4", None, [4], True])
def test_an_unknown_version_of_the_format_is_named(saved: Any, tmp_path: Path, version: Any) -> None:
    config, arrays = saved["plain"]
    craft(tmp_path, config | {"format": version}, arrays)
    assert_refused(tmp_path, r"config\.json has format .*; this version reads 4")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"not json", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 5000],
)
def test_a_configuration_that_is_none_is_named(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert_refused(folder, "config.json")


@pytest.mark.parametrize("value", ["[" * 10**5, "9" * 5000, '"\\ud800"', "NaN", "1e999", "-Infinity", "{}, {"])
@pytest.mark.parametrize("key", ["n_images", "model", "params", "image", "prompts", "feature_names"])
def test_values_that_json_cannot_hold_are_refused(saved: Any, tmp_path: Path, key: str, value: str) -> None:
    config, arrays = saved["plain"]
    craft(tmp_path, config | {key: "HERE"}, arrays, ('"HERE"', value))
    assert_refused(tmp_path, r"config\.json")


# Crafted folders, with checksums that fit


def test_a_crafted_folder_is_a_model_where_nothing_was_changed(
    models: dict[str, LinearDiffusion], saved: Any, tmp_path: Path
) -> None:
    for kind, (config, arrays) in saved.items():
        turned = {key: config[key] for key in sorted(config)}
        craft(tmp_path, turned, arrays)
        path = tmp_path / "config.json"
        for text in (path.read_text(), path.read_text().replace("\n", "\r\n")):
            path.write_bytes(text.encode())
            loaded = LinearDiffusion.from_pretrained(tmp_path)
            assert_array_equal(loaded.sample(5, random_state=0)[0], models[kind].sample(5, random_state=0)[0])


def alike(name: str, array: np.ndarray) -> tuple[Any, ...]:
    """What arrays have in common that are checked alike."""
    return name, array.dtype, array.ndim, array.size > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_has_its_name_shape_dtype_and_finite_numbers(saved: Any, tmp_path: Path, kind: str) -> None:
    config, arrays = saved[kind]
    earlier = {alike(name, a) for other in KINDS[: KINDS.index(kind)] for name, a in saved[other][1].items()}
    for name, array in arrays.items():
        if alike(name, array) in earlier:
            continue
        without = {n: a for n, a in arrays.items() if n != name}
        craft(tmp_path, config, without)
        assert_refused(tmp_path, rf"safetensors .*(array '{name}' is missing|too many|go together)")
        shapes = [array[..., None], array.reshape(1, -1) if array.ndim != 2 else array.ravel()]
        shapes += [np.concatenate([array, array[:1]]), array[:-1], array[:0]] if array.ndim else []
        for changed in shapes:
            craft(tmp_path, config, arrays | {name: changed})
            assert_refused(tmp_path, r"safetensors .*array '.*' (is \w+ of shape .*; it must be|are none that)")
        allowed = {np.float32, np.float64} if name in OF_EITHER_PRECISION else {array.dtype.type}
        if array.dtype.kind == "f":  # smaller floats hold the same numbers, or others that are checked as these are
            allowed |= {t for t in (np.float16, np.float32) if np.can_cast(t, array.dtype)}
        for dtype in {np.float16, np.float32, np.float64, np.int64, np.bool_} - allowed:
            craft(tmp_path, config, arrays | {name: np.ones_like(array, dtype=dtype)})
            assert_refused(tmp_path, rf"safetensors .*array '{name}' is {np.dtype(dtype)} .*; it must be")
        for value in (np.nan, np.inf, -np.inf) if array.dtype.kind == "f" and array.size else ():
            changed = array.copy().reshape(-1)
            changed[-1] = value
            craft(tmp_path, config, arrays | {name: changed.reshape(array.shape)})
            assert_refused(tmp_path, rf"safetensors .*array '{name}' holds NaN or infinity")
    craft(tmp_path, config, arrays | {"extra": np.zeros(3)})
    assert_refused(tmp_path, "'extra'. are too many")


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("plain", "encoder.std", lambda a: a * 0),
        ("plain", "encoder.scale", lambda a: a * 0),
        ("plain", "encoder.scale", lambda a: -a),
        ("plain", "encoder.variances", lambda a: a - a.max() - 1e-9),
        ("plain", "encoder.components", lambda a: 1.001 * a),
        ("plain", "encoder.components", lambda a: a[:0]),
        ("plain", "encoder.mean", lambda a: a + 1e300),
        ("plain", "prior.component_means", lambda a: a + 1e300),
        ("plain", "prior.variances", lambda a: a - a.max() - 1e-9),
        ("plain", "prior.variances", lambda a: a + 1e300),
        ("plain", "prior.basis", lambda a: a * 0),
        ("plain", "prior.residual", lambda a: -a - 1e-9),
        ("plain", "prior.weights", lambda a: 2 * a),
        ("plain", "prior.weights", lambda a: a - a),
        ("plain", "tone.step", lambda a: a * 0),
        ("plain", "tone.step", lambda a: a * 1e-300),
        ("plain", "confidence.noise_variance", lambda a: -a - 1),
        ("plain", "confidence.temperature", lambda a: a * 0),
        ("plain", "confidence.temperature", lambda a: a + 1),
        ("styles", "prior.owner", lambda a: a[::-1]),
        ("styles", "prior.owner", lambda a: a * 0),
        ("styles", "prior.owner", lambda a: a + 1),
        ("styles", "prior.owner", lambda a: a - 1),
        ("styles", "prior.owner", lambda a: np.where(np.arange(len(a)) < len(a) - 1, a, 10**15)),
        ("styles", "prior.curves", lambda a: a[::-1]),
        ("styles", "prior.curves", lambda a: a * 0),
        ("styles", "prior.curves", lambda a: np.where(a == 1, 0, a)),
        ("styles", "prior.curves", lambda a: a + 1),
        ("styles", "prior.curves", lambda a: np.r_[a[:-1], 0]),
        ("styles", "prior.basis", lambda a: np.float32(1.001) * a),
        ("styles", "prior.basis", lambda a: a * 0),
        ("styles", "prior.shares", lambda a: -a),
        ("styles", "prior.shares", lambda a: 2 * a),
        ("styles", "prior.shares", lambda a: np.r_[0.0, a[1:]]),
        ("styles", "prior.shares", lambda a: np.roll(a, 1)),
        ("styles", "prior.unit", lambda a: a * 0),
        ("styles", "prior.unit", lambda a: a + 1e300),
        ("styles", "prior.variances", lambda a: a * 0),
        ("styles", "prior.gain", lambda a: a * 0),
        ("styles", "prior.gain", lambda a: a + 1e300),
        ("styles", "detail.shift", lambda a: np.full_like(a, 511)),
        ("styles", "detail.shift", lambda a: np.full_like(a, -(2**15))),
        ("family", "prior.family", lambda a: a + 1),
        ("family", "prior.family", lambda a: a - 1),
        ("family", "prior.family", lambda a: a * 10**15),
        ("family", "prior.family", lambda a: a * 0),
        ("family", "prior.family", lambda a: np.arange(len(a))),
        ("family", "prior.curves", lambda a: a[::-1]),
        ("family", "prior.leaning", lambda a: a - 1e-9),
        ("family", "prior.leaning", lambda a: a + 1.0),
        ("words", "words.mean.correlations", lambda a: a + 2.0),
        ("words", "words.residual.ridge", lambda a: -a - 1),
        ("words", "words.ridge", lambda a: a + 1e300),
        ("words", "words.ridge", lambda a: a - 1.0),
        ("words", "words.covariance.weights", lambda a: a * 1e200),
        ("words", "tone.weights", lambda a: a * 0),
        ("words", "words.mean.whitening", lambda a: a * 1e200),
        ("words", "words.pooled", lambda a: a * 1e200),
    ],
)
def test_numbers_that_no_fit_makes_are_named(
    saved: Any, tmp_path: Path, kind: str, name: str, change: Callable[[np.ndarray], Any]
) -> None:
    config, arrays = saved[kind]
    craft(tmp_path, config, arrays | {name: np.asarray(change(arrays[name]), arrays[name].dtype)})
    assert_refused(tmp_path, f"array '{name}|latents reach")


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("plain", "prior.gain"),
        ("plain", "prior.matched_means"),
        ("plain", "detail."),
        ("rows", "detail."),
        ("words", "tone."),
        ("words", "prior."),
        ("sampled", "prior.gain"),
        ("sampled", "prior."),
        ("plain", "prior.family"),
        ("styles", "prior.leaning"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(saved: Any, tmp_path: Path, kind: str, part: str) -> None:
    config, arrays = saved[kind]
    more = {name: a for other in ("family", "styles") for name, a in saved[other][1].items() if name.startswith(part)}
    craft(tmp_path, config, arrays | more)
    assert_refused(tmp_path, "safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("model"),
        lambda c: c.update(model="GaussianMixture"),
        lambda c: c["params"].update(colour=1),
        lambda c: c["params"].update(latent_dim=0),
        lambda c: c["params"].update(latent_dim="many"),
        lambda c: c["params"].update(schedule="cosin"),
        lambda c: c["params"].update(training=None),
        lambda c: c["params"].update(random_state="x"),
        lambda c: c["params"].update(text_encoder="words"),
        lambda c: c.update(params=None),
        lambda c: c["image"].update(shape=[]),
        lambda c: c["image"].update(shape=[8, -8]),
        lambda c: c["image"].update(shape=[0, 8]),
        lambda c: c["image"].update(shape=[8, 8.0]),
        lambda c: c["image"].update(shape=[8, 4, 2]),
        lambda c: c["image"].update(shape=[2, 2, 4, 4]),
        lambda c: c["image"].update(shape="88"),
        lambda c: c["image"].update(shape=[10**30, 10**30]),
        lambda c: c["image"].update(shape=[2**32, 2**32]),
        lambda c: c["image"].update(dtype="complex64"),
        lambda c: c["image"].update(dtype="object"),
        lambda c: c["image"].update(dtype="no dtype"),
        lambda c: c["image"].update(dtype=None),
        lambda c: c["image"].update(dtype=["uint8"]),
        lambda c: c["image"].update(span=None),
        lambda c: c["image"].update(span=[1, 0]),
        lambda c: c["image"].update(span=[0, 1e308]),
        lambda c: c["image"].update(span=[0, 1, 2]),
        lambda c: c["image"].update(origin=float("nan")),
        lambda c: c["image"].update(origin=1e6),
        lambda c: c["image"].update(unit=0),
        lambda c: c["image"].update(unit=10**400),
        lambda c: c["image"].update(range=""),
        lambda c: c["image"].update(range=[0]),
        lambda c: c["image"].update(range=[1, 0]),
        lambda c: c["image"].update(range=[0, 256]),
        lambda c: c["image"].update(range=[0, 10**400]),
        lambda c: c["image"].update(range=[False, True]),
        lambda c: c["image"].update(range="auto"),
        lambda c: c["prompts"].update(values=[]),
        lambda c: c["prompts"].update(values=[0, 1]),
        lambda c: c["prompts"].update(values=[0, 1, 1]),
        lambda c: c["prompts"].update(values=[0, 1, "2"]),
        lambda c: c["prompts"].update(values=[0, 1, None]),
        lambda c: c["prompts"].update(values=[0, 1, 2.5]),
        lambda c: c["prompts"].update(values=[0, 1, 2**70]),
        lambda c: c["prompts"].update(values=[[0], [1], [2]]),
        lambda c: c["prompts"].update(values="012"),
        lambda c: c["prompts"].update(dtype="<U100000000"),
        lambda c: c["prompts"].update(dtype=[["a", "f8"]]),
        lambda c: c.update(prompts={}),
        lambda c: c.update(n_images=0),
        lambda c: c.update(n_images=10**400),
        lambda c: c.update(n_images=True),
        lambda c: c.update(feature_names=["a"]),
        lambda c: c.update(feature_names=list(range(64))),
        lambda c: c.update(feature_names=None),
    ],
)
def test_a_wrong_entry_of_the_configuration_is_refused(
    saved: Any, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    config, arrays = copy.deepcopy(saved["plain"])
    change(config)
    craft(tmp_path, config, arrays)
    assert_refused(tmp_path)


@pytest.mark.parametrize("name", ["one-hot", "bag-of-words", "", None])
def test_words_go_with_their_encoder(saved: Any, tmp_path: Path, name: Any) -> None:
    config, arrays = saved["words"]
    craft(tmp_path, config | {"params": config["params"] | {"text_encoder": name}}, arrays)
    assert_refused(tmp_path)


def test_messages_of_wrong_parameters_name_them(saved: Any, tmp_path: Path) -> None:
    config, arrays = copy.deepcopy(saved["plain"])
    craft(tmp_path, config | {"params": config["params"] | {"colour": 1}}, arrays)
    assert_refused(tmp_path, r"config\.json is not valid: TypeError: .*'colour'")
    craft(tmp_path, config | {"params": config["params"] | {"schedule": "cosin"}}, arrays)
    assert_refused(tmp_path, r"config\.json is not valid: .*'schedule' parameter of LinearDiffusion must be")


@pytest.mark.parametrize("digest", ["", "x" * 64, "../" * 30, "0" * 63, 5, None, ["0"] * 64])
def test_weights_are_looked_for_in_the_folder_alone(folder: Path, digest: Any) -> None:
    text = (folder / "config.json").read_text()
    config = json.loads(text) | {"sha256": digest, "digest": ""}
    text = json.dumps(config)
    sealed = hashlib.sha256(text.replace('"digest": ""', "").encode()).hexdigest()
    (folder / "config.json").write_text(text.replace('"digest": ""', f'"digest": "{sealed}"'))
    assert_refused(folder, "config.json")


@pytest.mark.parametrize(
    "metadata", ["[" * 50_000, '{"dtype": "<U100000000", "values": ["a"]}', "[]", "5", "9" * 5000, "{}"]
)
def test_labels_in_a_file_of_arrays_are_checked(tmp_path: Path, metadata: str) -> None:
    Moments.of(np.ones((3, 2)), np.zeros(3, int), np.array(["a"])).save(tmp_path / "moments")
    arrays = load((tmp_path / "moments").read_bytes())
    (tmp_path / "moments").write_bytes(save(arrays, {"prompts": metadata}))
    with pytest.raises(ModelFileError, match="moments is not valid"):
        Moments.load(tmp_path / "moments")


def test_moments_have_shapes_that_fit(tmp_path: Path) -> None:
    Moments.of(np.ones((3, 2)), np.zeros(3, int), np.array([7])).save(tmp_path / "moments")
    arrays = load((tmp_path / "moments").read_bytes())
    for name in arrays:
        (tmp_path / "moments").write_bytes(save(arrays | {name: np.repeat(arrays[name], 2, axis=0)}))
        with pytest.raises(ModelFileError, match=r"moments is not valid: .* of shape"):
            Moments.load(tmp_path / "moments")


# Any change at all

HOSTILE: list[Any] = [None, True, "", "text", "auto", "<U100000000", [], {}, [[]], [0, 1], {"a": 1}, float("nan")]
HOSTILE += [-1, 0, 1, 0.5, 1e300, -1e300, 1e308, 1e-300, 10**400, 2**31, 2**63, 1e18, float("inf")]
FACTORS = [0.0, -1.0, 1e300, 1e-300, 1e30, 1e-30, 1e18, 1e-12, 1e10, 1e-5, 2.0]
NUMBERS = [0, -1, 1e300, -1e300, 1e-300, 1e38, -1e20, 1e36, np.nan, np.inf, 255, 1e-38, -1e-9, 1e29, 30_000]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every entry of a configuration, and of the first few of each list."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [p for key, v in entries for p in [(*path, key), *places(v, (*path, key))]]


def mutate(rng: np.random.Generator, config: dict[str, Any], arrays: Arrays) -> None:
    """Change an entry of a configuration, or an array, in place."""

    def pick(options: Any) -> Any:
        return options[rng.integers(len(options))]

    if rng.random() < 0.4:
        *way, last = pick(places(config))
        entry = config
        for key in way:
            entry = entry[key]
        if rng.random() < 0.1:
            del entry[last]
        else:
            entry[last] = pick(HOSTILE)
        return
    name = pick(sorted(arrays))
    a, how = arrays[name], rng.integers(8)
    if how == 0:
        del arrays[name]
    elif how == 1:
        arrays[name] = a.T
    elif how == 2:
        arrays[name] = a[::-1] if a.ndim else -a
    elif how == 3:
        arrays[name] = a.astype(pick([np.float16, np.float32, np.float64, np.int64]))
    elif how < 6:
        arrays[name] = (a * pick(FACTORS)).astype(a.dtype)
    elif a.size:
        arrays[name] = a.copy()
        arrays[name].reshape(-1)[rng.integers(a.size)] = np.array(pick(NUMBERS)).astype(a.dtype)


def assert_works(model: LinearDiffusion) -> None:
    """Finite samples of every prompt and style, and of a sampler in steps."""
    drawn = [model.sample(prompts=list(model.classes_), random_state=0)]
    for prompt, shares in zip(model.classes_, model.style_weights_, strict=True):
        drawn.append(model.sample(len(shares), prompt, styles=np.arange(len(shares)), random_state=1))
    if model.schedule != "one-step":
        drawn.append(model.sample(2, model.classes_.tolist()[0], sampler="heun", n_steps=2, random_state=0))
    assert all(np.isfinite(images).all() for images, _ in drawn)


@pytest.mark.parametrize("place", range(4))
def test_variances_far_from_each_other_are_no_harm(saved: Any, tmp_path: Path, place: int) -> None:
    """Of what is tiny beside others, rounding would leave eigenvalues below zero."""
    config, arrays = copy.deepcopy(saved["rows"])
    for variance in (1e-37, 1e29):
        arrays["prior.variances"][:, place] = variance
        craft(tmp_path, config, arrays)
        assert_works(LinearDiffusion.from_pretrained(tmp_path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_any_change_is_refused_or_leaves_a_model_that_works(saved: Any, tmp_path: Path, kind: str) -> None:
    rng, refused = np.random.default_rng(KINDS.index(kind)), 0
    for _ in range(60):
        config, arrays = copy.deepcopy(saved[kind])
        with np.errstate(all="ignore"):
            for _ in range(rng.integers(1, 3)):
                mutate(rng, config, arrays)
        craft(tmp_path, config, arrays)
        started = time.process_time()
        try:
            model = LinearDiffusion.from_pretrained(tmp_path)
        except ModelFileError as error:
            assert str(tmp_path) in str(error)
            refused += 1
        else:
            assert_works(model)
        assert time.process_time() - started < 2
    assert 20 < refused < 60
