"""The commands moments fit, merge, remove, model, info: sums over images as files, which need no images any more.

DATA --fit--> FILE        FILE, FILE --merge--> FILE        FILE, FILE --remove--> FILE
FILE --model--> MODEL     FILE --info--> text, JSON
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..exceptions import count
from .arguments import describe, parse_number, reading, shorten
from .console import Commands, Log, note, show, table
from .options import (
    Crop,
    DataDir,
    Gray,
    ImageColumn,
    Json,
    NoTone,
    Pad,
    Rgb,
    Size,
    Split,
    Standardize,
    TextColumn,
)
from .outputs import check_apart, check_distinct, check_file, check_model_folder

if TYPE_CHECKING:
    from ..denoiser.moments import Moments

app = typer.Typer(cls=Commands)

_SUFFIX = (".safetensors",)
_Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".safetensors to write.", show_default=False)]
_File = Annotated[Path, typer.Argument(metavar="FILE", help="Moments that this command wrote.", show_default=False)]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Let the output be a file that is read.")]


@app.callback(invoke_without_command=True)
def moments(context: typer.Context) -> None:
    """Sums over images: fit, merge and remove them, and make a model.

    Sites that keep their images to themselves merge their moments, and what one of them gave is removed again: the
    model is then the one that never saw those images. It has one Gaussian for each prompt. A model with styles holds
    clusters of images, which are no sums: it must be fitted again without them.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog="Example: linear-diffusion moments fit mnist-5k -o site-a.safetensors")
def fit(
    data: Annotated[
        list[str], typer.Argument(metavar="DATA", help="Data as in linear-diffusion fit.", show_default=False)
    ],
    out: _Out,
    size: Size = None,
    crop: Crop = False,
    pad: Pad = False,
    gray: Gray = False,
    rgb: Rgb = False,
    split: Split = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    data_dir: DataDir = None,
    pixel_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Bounds of pixels, the same for all.", show_default="found from the data"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sum up images and their prompts."""
    _check_output(out, data)
    options = reading(size, gray, rgb, crop, pad)
    options |= {"split": split, "text_column": text_column, "image_column": image_column, "data_dir": data_dir}
    from ..datasets import load_images
    from ..fit.sums import moments_of
    from ..image.format import check_range

    bounds = check_range("auto" if pixel_range is None else pixel_range)

    def read(source: str) -> "Moments":
        found = moments_of(load_images(source, stream=True, **options, report=note), bounds)
        note(f"{source}: {_about(found)}.")
        return found

    log = Log()
    with log.step("fit", "summing up images"):
        found = _combined(data, read, lambda total, part: total + part)
    _write(found, out, log, as_json=as_json)


@app.command(epilog="Example: linear-diffusion moments merge a.safetensors b.safetensors -o both.safetensors")
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Moments to add.", show_default=False)],
    out: _Out,
    overwrite: _Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add moments of different images."""
    _check_output(out, files, overwrite=overwrite)
    check_distinct(files)
    from ..denoiser.moments import Moments

    log = Log()
    with log.step("merge", "adding"):
        found = _combined(files, Moments.load, lambda total, part: total + part)
    _write(found, out, log, as_json=as_json)


@app.command(epilog="Example: linear-diffusion moments remove both.safetensors b.safetensors -o a.safetensors")
def remove(
    file: _File,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Moments to take away, as they were.", show_default=False)
    ],
    out: _Out,
    overwrite: _Overwrite = False,
    as_json: Json = False,
) -> None:
    """Take moments away from those that they were added to."""
    _check_output(out, [file, *files], overwrite=overwrite)
    check_distinct([file, *files])
    from ..denoiser.moments import Moments

    log = Log()
    with log.step("remove", "subtracting"):
        found = _combined([file, *files], Moments.load, lambda total, part: total - part)
    if not len(found.counts):
        raise ValueError(f"nothing is left of {file}: all of its images would be removed. No file was written.")
    _write(found, out, log, as_json=as_json)


@app.command(epilog="Example: linear-diffusion moments model both.safetensors -o model")
def model(
    file: _File,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="Folder to write.", show_default=False)],
    latent_dim: Annotated[
        str,
        typer.Option(metavar="K", help="Principal components, or the share of variance (0 to 1) they explain."),
    ] = "144",
    standardize: Standardize = False,
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="Noise schedule, as in linear-diffusion fit.")
    ] = "cosine",
    no_tone: NoTone = False,
    as_json: Json = False,
) -> None:
    """Make the model of one Gaussian for each prompt."""
    check_model_folder(out)
    chosen: dict[str, Any] = {"latent_dim": parse_number(latent_dim), "standardize": standardize}
    from ..denoiser.moments import Moments
    from ..model import LinearDiffusion

    LinearDiffusion(**chosen, schedule=schedule)._validate_params()  # before the file is read, which can take long
    log = Log()
    with log.step("load", f"reading {file}"):
        found = Moments.load(file)
    with log.step("fit", f"fitting {found}"):
        made = LinearDiffusion.from_moments(found, **chosen, schedule=schedule, tone=not no_tone)
    with log.step("save", f"writing {out}"):
        made.save_pretrained(out)
    text = (
        f"{out}: {count(made.n_images_, 'image')} of {count(len(made.classes_), 'prompt')}, "
        f"{count(made.latent_dim_, 'component')} ({made.explained_variance_ratio_.sum():.1%} of the variance)"
    )
    show(describe(made, out) | {"seconds": log.seconds}, text, as_json=as_json)


@app.command(epilog="Example: linear-diffusion moments info both.safetensors")
def info(file: _File, as_json: Json = False) -> None:
    """Say what moments are of: images, prompts, sizes."""
    from ..denoiser.moments import Moments

    found = Moments.load(file)
    record = {"file": str(file)} | found.describe() | {"file_bytes": file.stat().st_size}
    if as_json:
        show(record, "", as_json=True)
        return
    prompts = [f"{prompt} {n:,}" for prompt, n in record["prompts"].items()]
    table(
        {
            "moments": str(file),
            "of": _about(found),
            "prompts": shorten(prompts),
            "pixels": f"mean {record['mean']:.6g}, deviation {record['deviation']:.6g}",
            "file": f"{record['file_bytes']:,} bytes",
        }
    )


def _check_output(out: Path, sources: Sequence[str | Path], *, overwrite: bool = False) -> None:
    check_file(out, _SUFFIX)
    if not overwrite:
        check_apart([out], *sources)


def _combined(
    sources: Sequence[Any], read: Callable[[Any], "Moments"], combine: Callable[["Moments", "Moments"], "Moments"]
) -> "Moments":
    """One after the other, so that two are in memory and what comes of them; an error names the source."""
    total = read(sources[0])
    for source in sources[1:]:
        part = read(source)
        try:
            total = combine(total, part)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
    return total


def _write(found: "Moments", out: Path, log: Log, *, as_json: bool) -> None:
    with log.step("save", f"writing {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        found.save(out)
    show({"out": str(out)} | found.describe() | {"seconds": log.seconds}, f"{out}: {_about(found)}", as_json=as_json)


def _about(found: "Moments") -> str:
    """How many images of what."""
    return str(found).removeprefix("Moments(").removesuffix(")")
