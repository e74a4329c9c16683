"""The arrows of the design, the public names, and the house rules, read from the source."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import linear_diffusion
from linear_diffusion import LinearDiffusion, exceptions

ROOT = Path(linear_diffusion.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LEAVES = {"_lazy", "_types", "_threads", "exceptions", "memory", "progress"}
"""What anyone may import: names of arrays, how many threads work, errors, how much memory there is, and progress."""

# Each block of the path, and the blocks that it may know. None knows more than those to its left.
BLOCKS: dict[str, set[str]] = {
    "_types": set(),
    "_lazy": set(),
    "_threads": set(),
    "exceptions": set(),
    "memory": set(),
    "progress": set(),
    "files": set(),
    "text": set(),
    "tone": set(),
    "image": {"tone"},
    "detail": {"image", "tone"},
    "noise": set(),
    "affine": set(),
    "moments": {"files"},
    "denoiser": {"affine", "noise", "moments"},
    "styles": {"denoiser", "noise"},
    "clusters": {"moments", "noise", "styles"},
    "sampler": {"affine", "noise", "denoiser", "styles"},
    "guidance": {"affine", "noise", "denoiser", "sampler"},
    "prompts": {"text"},
    "render": {"affine", "detail", "noise", "image", "styles", "text", "tone"},
    "training": {"clusters", "image", "moments", "noise", "text"},
    "streaming": {"checks", "image", "moments", "training"},
    "products": set(),
    "conditional": {"denoiser", "products"},
    "words": {"conditional", "denoiser", "image", "moments", "products", "text", "tone", "training"},
    "generate": {"affine", "denoiser", "noise", "render", "sampler", "styles"},
    "calibration": {"detail", "generate", "moments", "noise", "render", "styles", "tone"},
    "compose": {"affine", "denoiser", "generate", "guidance", "prompts", "render", "sampler", "styles", "text"},
    "edit": {"noise", "styles", "text"},
    "interpolate": {"compose", "denoiser", "noise", "prompts", "sampler"},
    "walk": {"affine", "compose", "denoiser", "generate", "guidance", "noise", "render", "sampler", "text"},
    "checks": {"noise", "sampler", "text"},
    "research": {"affine", "checks", "denoiser", "guidance", "noise", "sampler"},
    "wordsfile": {"conditional", "products", "text", "words"},
    "saving": {
        "denoiser",
        "detail",
        "files",
        "image",
        "noise",
        "styles",
        "tasks",
        "text",
        "tone",
        "words",
        "wordsfile",
    },
    "operators": set(),
    "tasks": {"denoiser", "image", "moments", "noise", "operators", "styles", "tasks", "text", "training"},
    "variations": {
        "checks",
        "edit",
        "generate",
        "guidance",
        "image",
        "interpolate",
        "noise",
        "prompts",
        "styles",
        "tasks",
        "text",
        "walk",
        "words",
    },
    "datasets": {"datasets"},
}
AROUND = {"model", "pictures", "lettering", "apps", "evaluation", "interop"}
"""What stands at the end of the arrows, and so may not be imported by a block."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in FILES if path.name != "__main__.py"]


def block_of(path: Path) -> str:
    """The file, or the folder, of the design that a module belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from walk(child)


def imported_blocks(path: Path, source: str | None = None) -> set[str]:
    """Which files or folders of the package a module imports, anywhere in it."""
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
    names = [name.split(".") for name in found]
    return {parts[1] for parts in names if parts[0] == "linear_diffusion" and len(parts) > 1}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_arrows_point_one_way(path: Path) -> None:
    block, imported = block_of(path), imported_blocks(path)
    if block in BLOCKS:
        assert imported <= BLOCKS[block] | LEAVES
    if block != "apps" and path.name != "__main__.py":
        assert "apps" not in imported
    if block == "apps":
        return
    if block not in ("__init__", "__main__"):
        assert block in BLOCKS.keys() | AROUND, f"where does {path} stand in the design?"


def test_data_sets_know_errors_and_memory_alone() -> None:
    for path in (ROOT / "datasets").glob("*.py"):
        assert imported_blocks(path) <= {"datasets", "exceptions", "memory"}


def test_text_image_noise_and_moments_know_nothing_of_each_other() -> None:
    apart = {"text", "image", "noise", "moments"}
    for name in apart:
        assert not imported_blocks(ROOT / f"{name}.py") & (apart | {"denoiser", "sampler", "model"})


def test_an_arrow_back_would_be_found() -> None:
    """The reader of imports sees every way to write one, and passes by what only a type checker reads."""
    path = ROOT / "tasks" / "restore.py"
    for line in (
        "from ..model import LinearDiffusion",
        "from .. import model",
        "import linear_diffusion.model",
        "from linear_diffusion import model",
        "from linear_diffusion.model import LinearDiffusion",
        "def f():\n    from ..model import LinearDiffusion",
    ):
        assert imported_blocks(path, line) == {"model"}
    assert imported_blocks(path, "from .likelihood import x") == {"tasks"}
    assert imported_blocks(path, "if TYPE_CHECKING:\n    from ..model import LinearDiffusion\nimport numpy") == set()


def test_public_names_are_these() -> None:
    assert linear_diffusion.__all__ == [
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
        "covariances_",
        "denoise",
        "denoiser",
        "edit",
        "fit",
        "from_pretrained",
        "interpolate",
        "inverse_transform",
        "one_shot",
        "partial_fit",
        "predict",
        "predict_proba",
        "restore",
        "sample",
        "save_pretrained",
        "score",
        "score_samples",
        "style_means_",
        "style_weights_",
        "transform",
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
    lines = re.findall(r"^    (\w+_(?:, \w+_)*) :", LinearDiffusion.__doc__ or "", re.M)
    documented = {name for line in lines for name in line.split(", ")}
    names = [name for name in dir(LinearDiffusion) if not name.startswith("_") and name.endswith("_")]
    properties = {name for name in names if isinstance(inspect.getattr_static(LinearDiffusion, name), property)}
    learned = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")} | properties
    assert {"covariances_", "style_means_"} <= learned <= documented
    assert all(hasattr(model, name) for name in documented)


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
        "affine",
        "denoiser",
        "guidance",
        "image",
        "interpolate",
        "model",
        "moments",
        "noise",
        "research",
        "text",
        "tone",
    ):
        assert examples[f"linear_diffusion.{name}"] > 0


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_alone_imports_no_numpy() -> None:
    assert not modules_after("import linear_diffusion, linear_diffusion.exceptions") & {"numpy", "sklearn", "scipy"}


def test_the_command_answers_without_scikit_learn_or_numpy() -> None:
    if not (ROOT / "apps" / "cli.py").exists():
        pytest.skip("linear_diffusion.apps.cli is not there")
    assert not modules_after("import linear_diffusion.apps.cli") & {"numpy", "sklearn", "scipy"}


def test_the_estimator_imports_no_extra() -> None:
    loaded = modules_after("from linear_diffusion import LinearDiffusion, Moments")
    loaded -= modules_after("import sklearn.base, sklearn.utils.validation")  # which imports pandas where it is there
    assert not loaded & {"torch", "diffusers", "matplotlib", "pandas", "pyarrow", "mlxtend", "typer", "rich"}
