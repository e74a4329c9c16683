"""A model as a folder: what is saved comes back bit by bit, and what is damaged is named."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from linear_diffusion import LinearDiffusion, ModelFileError
from linear_diffusion.files import labels_from_json, labels_to_json

Digits = tuple[np.ndarray, np.ndarray]
FILES = {"config.json", "model.safetensors", "README.md"}
ARRAYS = [
    "encoder.mean",
    "encoder.std",
    "encoder.components",
    "encoder.variances",
    "prior.means",
    "prior.variances",
    "prior.basis",
    "weights",
    "residual",
    "tone.low",
    "tone.step",
    "tone.table",
    "regression.means",
    "regression.covariances",
]
STYLES = [f"styles.{f}" for f in ("owner", "group", "shares", "means", "factors", "unit", "basis", "variances")]
CALIBRATION = ["calibration.gain", "calibration.means"]
DETAILS = ["detail.shift", "detail.table"]
OF = [("small", name) for name in ARRAYS] + [
    ("styled", name) for name in ["tone.low", "tone.step", "tone.table", "prior.basis", *STYLES, *CALIBRATION, *DETAILS]
]
"""A model that holds each array. All but the tone curves, of which one is a prompt's and one a group's, are in one."""
DTYPES = {"tone.table": np.float32, "styles.factors": np.float16, "styles.owner": np.int64, "styles.group": np.int64}
DTYPES |= {"detail.shift": np.int16, "detail.table": np.float32}
WHOLE = ("styles.owner", "styles.group", "detail.shift")
SINGLE = dict.fromkeys(("prior.basis", "styles.basis", "styles.means", "calibration.means"), np.float32)
"""What a model with styles keeps in single precision."""
SIGNED = {("small", name): 0.0 for name in ("encoder.std", "tone.step", "weights")}  # and zero is not allowed either
SIGNED |= {("small", name): -1e-9 for name in ("encoder.variances", "prior.variances", "residual")}
SIGNED |= {
    ("styled", name): 0.0
    for name in ("tone.step", "styles.shares", "styles.variances", "styles.unit", "calibration.gain")
}


@pytest.fixture(scope="module")
def small(grey: Digits) -> LinearDiffusion:
    """Three prompts, four components, both a tone curve and a regression."""
    images, y = grey
    few = y < 3
    return LinearDiffusion(latent_dim=4, training="sampled", random_state=1).fit(images[few], y[few])


@pytest.fixture(scope="module")
def styled(grey: Digits) -> LinearDiffusion:
    """Two prompts of several styles, in more groups than prompts."""
    images, y = grey
    few = np.tile(images[y < 2], (3, 1, 1))
    noisy = few // 2 + np.random.default_rng(0).integers(0, 99, few.shape, dtype=np.uint8)
    return LinearDiffusion(styles=8, latent_dim=4, random_state=1).fit(noisy, np.tile(y[y < 2], 3))


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A saved model, to be damaged: `small`, or the one that a test's parameter names."""
    model = request.getfixturevalue(getattr(request, "param", "small"))
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def rewrite(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    """Change the arrays, and the digest with them, so that the arrays themselves are what is checked."""
    path = folder / "model.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    configure(folder, lambda config: config.update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def configure(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def assert_refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        LinearDiffusion.from_pretrained(folder)


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
        assert loaded.outlier_threshold(0.1) == saved.outlier_threshold(0.1)
        assert loaded._confidence.prompt_temperature == saved._confidence.prompt_temperature
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
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_loaded_model_can_be_fitted_anew(folder: Path, grey: Digits) -> None:
    anew = LinearDiffusion.from_pretrained(folder).fit(*grey)
    assert_array_equal(anew.classes_, np.arange(10))


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


# Damage


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_truncated_file_is_named(folder: Path, name: str, share: float) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    assert_refused(folder, name)
    if name == "model.safetensors":  # and so it is where the digest was made to fit
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        configure(folder, lambda config: config.update(sha256=digest))
        assert_refused(folder, name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert_refused(folder, f"{name} does not exist")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_noticed_in_either_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-40] ^= 1
    (folder / name).write_bytes(bytes(content))
    assert_refused(folder, name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_in_a_files_place_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert_refused(folder, name)


def test_an_empty_folder_a_file_and_nothing_at_all_are_no_models(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", r"empty holds no model: .*config\.json does not exist")
    assert_refused(tmp_path / "nowhere", r"nowhere holds no model")
    assert_refused(folder / "config.json", "config.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"not json", b"[" * 10**5])
def test_a_configuration_that_is_none_is_named(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert_refused(folder, "config.json")


@pytest.mark.parametrize(("folder", "name"), OF, indirect=["folder"])
def test_a_missing_array_is_named(folder: Path, name: str) -> None:
    rewrite(folder, lambda arrays: arrays.pop(name))
    assert_refused(folder, f"model.safetensors holds arrays .*; the model needs .*{name}")


def test_an_array_too_many_is_named(folder: Path) -> None:
    rewrite(folder, lambda arrays: arrays.update(extra=np.zeros(3)))
    assert_refused(folder, "model.safetensors holds arrays .*'extra'")


@pytest.mark.parametrize(("folder", "name"), OF, indirect=["folder"])
@pytest.mark.parametrize("how", ["one more", "one less", "another axis", "flat", "empty"])
def test_an_array_of_wrong_shape_is_named(folder: Path, name: str, how: str) -> None:
    shapes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "one more": lambda a: np.concatenate([a, a[:1]]),
        "one less": lambda a: a[:-1],
        "another axis": lambda a: a[..., None],
        "flat": lambda a: a.reshape(1, -1),
        "empty": lambda a: a[:0],
    }
    rewrite(folder, lambda arrays: arrays.update({name: np.ascontiguousarray(shapes[how](arrays[name]))}))
    assert_refused(folder, f"model.safetensors: array '{name}' is .* of shape .*; the model needs")


@pytest.mark.parametrize(("folder", "name"), OF, indirect=["folder"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_an_array_of_wrong_dtype_is_named(folder: Path, name: str, dtype: type, request: pytest.FixtureRequest) -> None:
    styled = request.node.callspec.params["folder"] == "styled"
    if dtype == (DTYPES | (SINGLE if styled else {})).get(name, np.float64):
        return
    rewrite(folder, lambda arrays: arrays.update({name: np.ones_like(arrays[name], dtype=dtype)}))
    assert_refused(folder, f"model.safetensors: array '{name}' is {np.dtype(dtype)} .*; the model needs")


@pytest.mark.parametrize(("folder", "name"), [of for of in OF if of[1] not in WHOLE], indirect=["folder"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_array_with_a_number_that_is_none_is_named(folder: Path, name: str, value: float) -> None:
    rewrite(folder, lambda arrays: arrays[name].ravel().__setitem__(-1, value))
    assert_refused(folder, f"model.safetensors: array '{name}' holds NaN or infinity")


@pytest.mark.parametrize(("folder", "name", "value"), [(*of, v) for of, v in SIGNED.items()], indirect=["folder"])
def test_an_array_that_must_not_be_negative_is_named(folder: Path, name: str, value: float) -> None:
    rewrite(folder, lambda arrays: arrays[name].ravel().__setitem__(-1, value))
    assert_refused(folder, f"model.safetensors: the numbers of array '{name}' are none that a model has")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("styles.owner", lambda a: a[::-1]),
        ("styles.owner", lambda a: np.zeros_like(a)),
        ("styles.owner", lambda a: a + 1),
        ("styles.owner", lambda a: a - 1),
        ("styles.owner", lambda a: np.where(np.arange(len(a)) < len(a) - 1, a, 10**15)),
        ("styles.group", lambda a: a[::-1]),
        ("detail.shift", lambda a: np.full_like(a, 511)),
        ("detail.shift", lambda a: np.full_like(a, -(2**15))),
        ("styles.group", lambda a: np.where(a == 1, 0, a)),
        ("styles.group", lambda a: a + 1),
        ("styles.basis", lambda a: 1.001 * a),
        ("styles.basis", lambda a: np.zeros_like(a)),
        ("styles.shares", lambda a: -a),
        ("styles.shares", lambda a: 2 * a),
        ("styles.shares", lambda a: np.roll(a, 1)),
    ],
)
@pytest.mark.parametrize("folder", ["styled"], indirect=True)
def test_styles_that_no_fit_makes_are_named(
    folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    rewrite(folder, lambda arrays: arrays.update({name: np.ascontiguousarray(change(arrays[name]))}))
    assert_refused(folder, f"model.safetensors: the numbers of array '{name}' are none that a model has")


def test_a_group_of_two_prompts_is_refused(styled: LinearDiffusion, tmp_path: Path) -> None:
    styled.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda arrays: arrays["styles.group"].__setitem__(-1, 0))
    assert_refused(tmp_path, "styles.group")


@pytest.mark.parametrize("folder", ["styled"], indirect=True)
def test_styles_are_counted_in_the_configuration(folder: Path, styled: LinearDiffusion) -> None:
    config = json.loads((folder / "config.json").read_text())
    arrays = load_file(folder / "model.safetensors")
    assert config["n_styles"] == len(arrays["styles.owner"]) == sum(map(len, styled.style_weights_)) == 16
    assert config["n_groups"] == len(arrays["tone.table"]) == len(np.unique(arrays["styles.group"])) > 2
    assert {name: a.dtype for name, a in arrays.items() if a.dtype != np.float64} == DTYPES | SINGLE


@pytest.mark.parametrize("name", ["n_styles", "n_groups", "rank"])
@pytest.mark.parametrize("value", ["missing", None, True, "2", -1, 0, 1, 2.0, 15, 17, 10**9, 10**10, [16], 1e400])
@pytest.mark.parametrize("folder", ["styled"], indirect=True)
def test_a_wrong_number_of_styles_or_groups_is_refused(folder: Path, name: str, value: Any) -> None:
    configure(folder, lambda c: c.pop(name) if value == "missing" else c.update({name: value}))
    assert_refused(folder, r"config\.json|model\.safetensors")


def test_a_model_without_styles_counts_none(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert (config["n_styles"], config["n_groups"]) == (0, 0)
    configure(folder, lambda c: c.update(n_styles=3, n_groups=3))
    assert_refused(folder, r"model\.safetensors holds arrays .*; the model needs .*styles\.owner")


def test_weights_of_another_model_are_noticed_by_their_digest(
    folder: Path, tmp_path: Path, small: LinearDiffusion
) -> None:
    other = LinearDiffusion.from_pretrained(folder)
    other.means_ += 1.0  # of the same shapes
    other.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
    assert_refused(
        folder, r"model\.safetensors is not the file that config\.json was written with \(its SHA-256 differs\)"
    )


@pytest.mark.parametrize("version", [0, 1, 3, "2", None, [2]])
def test_an_unknown_version_of_the_format_is_named(folder: Path, version: Any) -> None:
    configure(folder, lambda config: config.update(format=version))
    assert_refused(folder, r"config\.json has format .*; this version reads 2\. Is the package up to date\?")


@pytest.mark.parametrize(
    "key",
    [
        "model",
        "params",
        "image",
        "prompts",
        "latent_dim",
        "n_images",
        "total_variance",
        "scaling_factor",
        "tone",
        "sampled",
        "calibrated",
        "feature_names",
        "sha256",
    ],
)
@pytest.mark.parametrize("value", ["missing", None, "text", -1, [1, 2, 3], {"a": 1}, 1e400])
def test_a_wrong_entry_of_the_configuration_is_named(folder: Path, key: str, value: Any) -> None:
    if value == "missing":
        configure(folder, lambda config: config.pop(key))
    else:
        configure(folder, lambda config: config.update({key: value}))
    assert_refused(folder, r"config\.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["params"].update(colour=1),
        lambda c: c["params"].update(latent_dim=0),
        lambda c: c["params"].update(latent_dim="many"),
        lambda c: c["params"].update(schedule="cosin"),
        lambda c: c["params"].update(training=None),
        lambda c: c["params"].update(random_state="x"),
        lambda c: c["image"].update(shape=[]),
        lambda c: c["image"].update(shape=[8, -8]),
        lambda c: c["image"].update(shape=[0, 8]),
        lambda c: c["image"].update(shape=[8, 8.0]),
        lambda c: c["image"].update(shape=[8, 4, 2]),
        lambda c: c["image"].update(shape=[2, 2, 4, 4]),
        lambda c: c["image"].update(shape="88"),
        lambda c: c["image"].update(shape=[10**30, 10**30]),
        lambda c: c["image"].update(dtype="int64"),
        lambda c: c["image"].update(dtype="object"),
        lambda c: c["image"].update(dtype="no dtype"),
        lambda c: c["image"].update(range=[0]),
        lambda c: c["image"].update(range=[1, 0]),
        lambda c: c["image"].update(range=[0, float("nan")]),
        lambda c: c["image"].update(range=[0, float("inf")]),
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
        lambda c: c["prompts"].update(dtype="V8"),
        lambda c: c["prompts"].update(dtype="<U1"),
        lambda c: c["prompts"].update(dtype=None),
        lambda c: c["prompts"].update(dtype=[["a", "f8"]]),
        lambda c: c.update(latent_dim=5),
        lambda c: c.update(latent_dim=True),
        lambda c: c.update(latent_dim=10**400),
        lambda c: c.update(total_variance=float("nan")),
        lambda c: c.update(scaling_factor=0),
        lambda c: c.update(tone=False),
        lambda c: c.update(sampled=False),
        lambda c: c.update(calibrated=True),
        lambda c: c.update(feature_names=["a"]),
        lambda c: c.update(feature_names=list(range(64))),
        lambda c: c.update(model="GaussianMixture"),
    ],
)
def test_a_wrong_number_in_the_configuration_is_refused(folder: Path, change: Callable[[dict], Any]) -> None:
    configure(folder, change)
    assert_refused(folder, r"config\.json|model\.safetensors")


@pytest.mark.parametrize("folder", ["styled"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["confidence"].update(level2=-1.0),
        lambda c: c["confidence"].update(level2=float("nan")),
        lambda c: c["confidence"].update(level2="0"),
        lambda c: c["confidence"].update(prompt_temperature=0),
        lambda c: c["confidence"].update(level2=-1.0),
        lambda c: c["confidence"].pop("level2"),
        lambda c: c["confidence"].update(more=1.0),
        lambda c: c.update(confidence=[]),
        lambda c: c.pop("confidence"),
    ],
)
def test_a_wrong_confidence_is_refused(folder: Path, change: Callable[[dict], Any]) -> None:
    configure(folder, change)
    assert_refused(folder, r"config\.json|model\.safetensors")


@pytest.mark.parametrize("folder", ["styled"], indirect=True)
def test_scores_must_increase(folder: Path) -> None:
    rewrite(folder, lambda arrays: arrays.update({"confidence.scores": arrays["confidence.scores"][::-1].copy()}))
    assert_refused(folder, "confidence.scores")


@pytest.mark.parametrize("folder", ["styled"], indirect=True)
def test_a_model_without_confidence_loads(folder: Path) -> None:
    """As models that were saved before there was any."""
    rewrite(folder, lambda arrays: arrays.pop("confidence.scores"))
    configure(folder, lambda c: c.pop("confidence"))
    assert LinearDiffusion.from_pretrained(folder)._confidence is None


def test_messages_of_wrong_parameters_name_them(folder: Path) -> None:
    configure(folder, lambda c: c["params"].update(colour=1))
    assert_refused(folder, r"config\.json is not a valid model: TypeError: .*'colour'")
    configure(folder, lambda c: c["params"].pop("colour"))
    configure(folder, lambda c: c["params"].update(schedule="cosin"))
    assert_refused(folder, r"config\.json is not a valid model: .*'schedule' parameter of LinearDiffusion must be")


# Writing


def test_saving_over_a_model_replaces_it_whole(folder: Path, model: LinearDiffusion, grey: Digits) -> None:
    model.save_pretrained(folder)
    assert_same_model(LinearDiffusion.from_pretrained(folder), model, grey[0][:5])
    assert {p.name for p in folder.iterdir()} == FILES


def test_other_files_of_the_folder_are_left_alone(folder: Path, model: LinearDiffusion) -> None:
    (folder / "notes.txt").write_text("mine")
    model.save_pretrained(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_folders_on_the_way_are_made(tmp_path: Path, small: LinearDiffusion) -> None:
    small.save_pretrained(tmp_path / "a" / "b")
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == FILES


def test_a_file_is_no_folder_to_save_to(folder: Path, small: LinearDiffusion) -> None:
    before = (folder / "README.md").read_bytes()
    with pytest.raises(ModelFileError, match=r"README\.md is a file; a model is a folder, choose another name"):
        small.save_pretrained(folder / "README.md")
    assert (folder / "README.md").read_bytes() == before


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failure_while_writing_leaves_the_old_model(
    folder: Path, small: LinearDiffusion, model: LinearDiffusion, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full_disk(_: int) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("linear_diffusion.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(folder)
    assert {p.name for p in folder.iterdir()} == FILES
    assert_array_equal(LinearDiffusion.from_pretrained(folder).sample(3)[0], small.sample(3)[0])


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failure_between_two_files_is_never_read_as_a_model(
    folder: Path, small: LinearDiffusion, model: LinearDiffusion, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the old model, or an error: the configuration goes last, and holds the digest."""
    replace, calls = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(1)
        if len(calls) == failing:
            raise OSError("interrupted")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(OSError, match="interrupted"):
        model.save_pretrained(folder)
    assert {p.name for p in folder.iterdir()} == FILES
    if failing == 1:
        assert_array_equal(LinearDiffusion.from_pretrained(folder).sample(3)[0], small.sample(3)[0])
    else:
        assert_refused(folder, "SHA-256 differs")


@pytest.mark.parametrize(
    "labels", [np.array(["a", "ü"]), np.array([1, 2], np.int8), np.array([0.1, 2.0]), np.array(["x"], object)]
)
def test_labels_come_back_from_json(labels: np.ndarray) -> None:
    back = labels_from_json(json.loads(json.dumps(labels_to_json(labels))))
    assert back.dtype == labels.dtype
    assert_array_equal(back, labels)
