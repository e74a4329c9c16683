"""The layers of the design, the public names, and the house rules, read from the source."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import linear_diffusion
from linear_diffusion import LinearDiffusion, exceptions

ROOT = Path(linear_diffusion.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = (
    "exceptions",
    "utils",
    "datasets text image noise operators",
    "denoiser",
    "sampler guidance",
    "plan research",
    "draw",
    "fit arguments",
    "tasks cluster",
    "saving",
    "model",
    "pictures",
    "evaluation",
    "apps",
    "__init__ __main__",
)
"""The rooms of the top folder, from the bottom up: each knows itself and what is below it, and nothing beside it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in FILES if path.name != "__main__.py"]


def layer_of(room: str) -> int:
    found = [i for i, layer in enumerate(LAYERS) if room in layer.split()]
    assert found, f"which layer is {room} of?"
    return found[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from walk(child)


def imported(path: Path, source: str | None = None) -> set[str]:
    """Which modules of the package a module imports, anywhere in it, by what follows the package's name."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in walk(ast.parse(source or path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module or "").split(".")] if node.module else base
            found += [".".join([*stem, alias.name]) for alias in node.names]
    names = [name for name in found if name.startswith("linear_diffusion.")]
    modules = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return {name.removeprefix("linear_diffusion.") for name in modules} - {"linear_diffusion"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_knows_its_own_room_and_lower_layers(path: Path) -> None:
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    others = {name.split(".")[0] for name in imported(path)} - {own}
    above = {room for room in others if layer_of(room) >= layer_of(own)}
    assert not above, f"{module_name(path)} imports {above}, which do not lie below {own}"


def test_no_modules_know_each_other() -> None:
    """No circle of imports, not of whole rooms and not of modules within one; also none that a function hides."""
    TopologicalSorter({module_name(path).partition(".")[2]: imported(path) for path in FILES}).prepare()


def test_an_import_is_seen_wherever_it_stands() -> None:
    """But for what only a type checker reads."""
    path = ROOT / "tasks" / "restore.py"
    for line in (
        "from ..model import LinearDiffusion",
        "from .. import model",
        "import linear_diffusion.model",
        "from linear_diffusion import model",
        "from linear_diffusion.model import LinearDiffusion",
        "def f():\n    from ..model import LinearDiffusion",
    ):
        assert imported(path, line) == {"model"}
    assert imported(path, "from .likelihood import x") == {"tasks.likelihood"}
    assert imported(path, "if TYPE_CHECKING:\n    from ..model import LinearDiffusion\nimport numpy") == set()


def test_modules_are_short_and_rooms_are_few() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: n for name, n in lengths.items() if n > 450}
    assert len([path for path in ROOT.iterdir() if path.name != "__pycache__"]) <= 25


def test_public_names_are_these() -> None:
    assert linear_diffusion.__all__ == [
        "BatchError",
        "DataError",
        "GuidanceWarning",
        "LinearDiffusion",
        "LinearDiffusionError",
        "MissingExtraError",
        "ModelFileError",
        "Moments",
        "NotEnoughMemoryError",
        "UnknownPromptError",
        "evaluate",
        "load_images",
    ]
    assert dir(linear_diffusion) == sorted([*linear_diffusion.__all__, "__version__"])
    for name in linear_diffusion.__all__:
        assert getattr(linear_diffusion, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'linear_diffusion' has no attribute 'LinearDifusion'"):
        _ = linear_diffusion.LinearDifusion
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", linear_diffusion.__version__)


def test_public_methods_are_these() -> None:
    # scikit-learn adds set_fit_request and its like.
    ours = [owner for owner in LinearDiffusion.__mro__ if owner.__module__.startswith("linear_diffusion.")]
    names = {name for owner in ours for name in vars(owner)}
    own = [name for name in names if not re.match(r"_|set_\w+_request$", name)]
    assert sorted(own) == [
        "bits_per_dim",
        "class_noise_std_",
        "classes_",
        "components_",
        "covariances_",
        "denoise",
        "denoiser",
        "edit",
        "explained_variance_ratio_",
        "fit",
        "fit_batches",
        "from_moments",
        "from_pretrained",
        "image_shape_",
        "interpolate",
        "inverse_transform",
        "latent_dim_",
        "means_",
        "moments_",
        "one_shot",
        "partial_fit",
        "pooled_share_",
        "predict",
        "predict_proba",
        "restore",
        "sample",
        "save_pretrained",
        "scaling_factor_",
        "score",
        "score_samples",
        "style_means_",
        "style_weights_",
        "transform",
        "weights_",
    ]


def test_errors_form_the_tree_that_their_page_draws() -> None:
    drawn = dict(re.findall(r"── (\w+) .*\(also an? (\w+)\)", exceptions.__doc__ or ""))
    defined = {
        name: kind
        for name, kind in vars(exceptions).items()
        if inspect.isclass(kind) and kind is not exceptions.LinearDiffusionError
    }
    assert drawn.keys() == defined.keys()
    for name, kind in defined.items():
        assert [base.__name__ for base in kind.__bases__] == ["LinearDiffusionError", drawn[name]]


def documented_defaults() -> list[tuple[str, Any, str, str]]:
    """(owner, signature, parameter, what its documentation says of its default) all over the package."""
    found = []
    for name in MODULES:
        module = importlib.import_module(name)
        owners = [o for o in vars(module).values() if getattr(o, "__module__", None) == name and callable(o)]
        owners += [m for o in owners if inspect.isclass(o) for m in vars(o).values()]
        for owner in (getattr(o, "__func__", o) for o in owners):
            if not (inspect.isfunction(owner) or inspect.isclass(owner)):
                continue
            for parameters, default in re.findall(r"^ +(\w+(?:, \w+)*) : .*default=(.+)$", owner.__doc__ or "", re.M):
                found += [(owner.__qualname__, owner, p, default) for p in parameters.split(", ")]
    return found


@pytest.mark.parametrize(("_", "owner", "parameter", "default"), documented_defaults())
def test_every_documented_default_is_that_of_the_signature(_: str, owner: Any, parameter: str, default: str) -> None:
    assert inspect.signature(owner).parameters[parameter].default == ast.literal_eval(default)


def test_every_parameter_is_documented_in_order_with_its_default() -> None:
    signature = inspect.signature(LinearDiffusion).parameters
    documented = [p for owner, _, p, _ in documented_defaults() if owner == "LinearDiffusion"]
    assert documented == list(signature) == list(LinearDiffusion._parameter_constraints)
    assert list(LinearDiffusion().get_params()) == sorted(signature)


def test_every_optional_argument_of_the_estimator_defaults_to_none() -> None:
    seen = 0
    for name in ("fit", "sample", "score_samples"):
        method = getattr(LinearDiffusion, name)
        for parameter in re.findall(r"^ +(\w+) : (?:.*, )?optional$", method.__doc__, re.M):
            assert inspect.signature(method).parameters[parameter].default is None
            seen += 1
    assert seen >= 6


def test_every_learned_attribute_is_documented(model: LinearDiffusion) -> None:
    lines = re.findall(r"^    (\w+_(?:, \w+_)*)(?: :|$)", LinearDiffusion.__doc__ or "", re.M)
    documented = {name for line in lines for name in line.split(", ")}
    names = [name for name in dir(LinearDiffusion) if not name.startswith("_") and name.endswith("_")]
    properties = {name for name in names if isinstance(inspect.getattr_static(LinearDiffusion, name), property)}
    learned = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")} | properties
    assert {"covariances_", "style_means_"} <= learned <= documented
    assert {name for name in documented if not hasattr(model, name)} == {"moments_"}  # fit keeps no sums


GLOBAL_RANDOM = re.compile(r"\b(?:np|numpy)\.random\.([a-z]\w*)")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_house_rules_hold(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{where} asserts"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where} has a bare except"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print", f"{where} prints"
            assert called not in ("eval", "exec", "pickle.load", "pickle.loads"), f"{where} runs what it reads"
            drawn = GLOBAL_RANDOM.fullmatch(called)
            assert not drawn or drawn[1] == "default_rng", f"{where} draws from the global random state"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{where} imports a star"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = {name: sum(len(t.examples) for t in finder.find(importlib.import_module(name))) for name in MODULES}
    for name in (
        "denoiser.affine",
        "denoiser.gaussian",
        "denoiser.moments",
        "guidance",
        "image.format",
        "model",
        "noise",
        "plan",
    ):
        assert examples[f"linear_diffusion.{name}"] > 0


def modules_after(statement: str, but: str = "set()") -> set[str]:
    """What a fresh interpreter has imported after a statement, without the set that `but` is an expression of."""
    code = f"{statement}\nimport sys\nsys.stdout.write(' '.join(set(sys.modules) - {but}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_alone_imports_no_numpy() -> None:
    assert not modules_after("import linear_diffusion, linear_diffusion.exceptions") & {"numpy", "sklearn", "scipy"}


def test_the_command_answers_without_scikit_learn_or_numpy() -> None:
    if not (ROOT / "apps" / "cli.py").exists():
        pytest.skip("linear_diffusion.apps.cli is not there")
    assert not modules_after("import linear_diffusion.apps.cli") & {"numpy", "sklearn", "scipy"}


def test_the_estimator_imports_no_extra() -> None:
    # scikit-learn itself imports pandas where it is there.
    known = "import sys, sklearn.base, sklearn.utils.validation; known = set(sys.modules)"
    loaded = modules_after(f"{known}; from linear_diffusion import LinearDiffusion, Moments", but="known")
    assert "linear_diffusion.model" in loaded
    assert not loaded & {"torch", "diffusers", "matplotlib", "pandas", "pyarrow", "mlxtend", "typer", "rich"}
