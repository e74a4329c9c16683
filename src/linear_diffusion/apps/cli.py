"""The command: linear-diffusion demo, fit, sample, trace, info, evaluate, score, classify, restore, moments, app,
export-page.

    DATA --fit--> MODEL --sample--> .png, .npz        MODEL --trace--> .png, .gif        MODEL --info--> text, JSON
    MODEL, DATA --evaluate--> text, JSON, .html        MODEL, DATA --score, classify--> text, JSON, .csv
    DATA --moments fit--> .safetensors, to add, take away, and make a MODEL of
    MODEL, image files --restore--> image files, a sheet of before and after
    MODEL --app--> a page in the browser        MODEL --export-page--> .html

What needs numpy or scikit-learn is imported inside the commands, so that ``--help`` is quick.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..exceptions import count
from . import answers, moments
from .arguments import (
    describe,
    fresh_seed,
    open_model,
    parse_number,
    parse_prompt,
    read_picture,
    reading,
    shorten,
)
from .console import Commands, Log, show, table
from .options import (
    Checkpoint,
    Crop,
    DataDir,
    Gray,
    ImageColumn,
    Json,
    ModelPath,
    NoTone,
    Pad,
    Rgb,
    Scheduler,
    Seed,
    Size,
    Split,
    Standardize,
    SvdSolver,
    TextColumn,
)
from .outputs import check_apart, check_file, check_folder, check_model_folder
from .web import commands

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SCHEDULES = "linear, scaled_linear, cosine, sigmoid, karras, flow or one-step"
_SAMPLERS = "exact, ddpm, ddim, euler, heun, dpmpp_2m or one-step"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"linear-diffusion {version('linear-diffusion')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Text-to-image diffusion in which every learned part is a linear model.

    Start with: linear-diffusion demo
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog="Example: linear-diffusion demo --out demo")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures and the model.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Fit on 5,000 real digits, draw new ones, and show how it is done."""
    check_folder(out)
    check_model_folder(out / "model")
    from .demo import next_steps, run

    log = Log(echo=not as_json)
    files = run(out, seed, log)
    record = {"folder": str(out), "files": files, "seed": seed, "seconds": log.seconds}
    show(record, next_steps(out), as_json=as_json)


@app.command(epilog="Example: linear-diffusion fit mnist-5k -o digits-model")
def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="mnist-5k, digits, mnist, fashion-mnist, mnist-words, mnist-5k-words; a folder of images (a subfolder "
            "for each prompt, or metadata.csv); or a .npz, .parquet or .zarr.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="Folder to write.", show_default=False)],
    size: Size = None,
    crop: Crop = False,
    pad: Pad = False,
    gray: Gray = False,
    rgb: Rgb = False,
    split: Split = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    data_dir: DataDir = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Read the images batch by batch, also where all would fit in memory."),
    ] = False,
    checkpoint: Checkpoint = None,
    scheduler: Scheduler = None,
    latent_dim: Annotated[
        str | None,
        typer.Option(
            metavar="K",
            help="Principal components, or the share of variance (0 to 1) they explain.",
            show_default="500; 144 with --one-shot",
        ),
    ] = None,
    styles: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="Linear pieces of a prompt at most; 1 is one Gaussian for each.",
            show_default="165",
        ),
    ] = None,
    text_encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="one-hot; or words, which reads prompts as words and knows unseen combinations.",
        ),
    ] = "one-hot",
    standardize: Standardize = False,
    svd_solver: SvdSolver = "auto",
    schedule: Annotated[str | None, typer.Option(metavar="NAME", help=f"{_SCHEDULES}.", show_default="cosine")] = None,
    no_tone: NoTone = False,
    one_shot: Annotated[bool, typer.Option("--one-shot", help="The model of the 2023 article, unchanged.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed: the order of the data, the article's noise.")] = 0,
    as_json: Json = False,
) -> None:
    """Learn a model from images and their prompts."""
    check_model_folder(out)
    options = reading(size, gray, rgb, crop, pad)
    options |= {"split": split, "text_column": text_column, "image_column": image_column, "data_dir": data_dir}
    if one_shot and text_encoder != "one-hot":
        raise ValueError(f"--one-shot has a one-hot code; leave --text-encoder {text_encoder} out.")
    if one_shot and schedule not in (None, "one-step"):
        raise ValueError(f"--one-shot has its own schedule; leave --schedule {schedule} out, sample and trace take it.")
    if styles is not None and (one_shot or text_encoder != "one-hot"):
        name = "--one-shot" if one_shot else f"--text-encoder {text_encoder}"
        raise ValueError(f"--styles {styles} means nothing to {name}, which has no styles; leave it out.")
    if (stream or scheduler or checkpoint) and (one_shot or text_encoder != "one-hot"):
        option = "--stream" if stream else "--scheduler" if scheduler else "--checkpoint"
        name = "--one-shot" if one_shot else f"--text-encoder {text_encoder}"
        raise ValueError(f"{option} does not go with {name}, which learns from all images at once; leave it out.")
    if scheduler and checkpoint:
        raise ValueError("--checkpoint goes with one process; leave it out with --scheduler, whose workers may fail.")
    chosen: dict[str, int | float | str] = {"svd_solver": svd_solver}
    if latent_dim is not None:
        chosen["latent_dim"] = parse_number(latent_dim)
    if styles is not None:
        chosen["styles"] = styles
    from ..model import LinearDiffusion
    from .fitting import fit_data

    if one_shot:
        model = LinearDiffusion.one_shot(random_state=seed)
    else:
        model = LinearDiffusion(
            text_encoder=text_encoder,
            standardize=standardize,
            schedule=schedule or "cosine",
            tone=not no_tone,
            random_state=seed,
        )
    model.set_params(**chosen)
    model._validate_params()  # before the data is read, which can take long
    log = Log()
    how: dict[str, Any] = {"stream": stream, "scheduler": scheduler, "checkpoint": checkpoint}
    streamed = fit_data(model, data, options | {"random_state": seed}, log, **how)
    with log.step("save", f"writing {out}"):
        model.save_pretrained(out)
    record = describe(model, out) | {"streamed": streamed, "seconds": log.seconds}
    text = (
        f"{out}: {count(model.n_images_, 'image')} of {count(len(model.classes_), 'prompt')}, "
        f"{count(sum(record['styles']), 'style')}, "
        f"{count(model.latent_dim_, 'component')} ({model.explained_variance_ratio_.sum():.1%} of the variance); "
        f"read in {log.seconds['load']:.2f} s, fitted in {log.seconds['fit']:.2f} s"
    )
    show(record, text, as_json=as_json)


@app.command(epilog="Example: linear-diffusion sample digits-model 7 3 -n 10 -o digits.png")
def sample(
    model_path: ModelPath,
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT",
            help='Prompts, each an argument ("3 bold slanted" in quotes), or mixes such as "3:0.5 8:0.5"; by default '
            "as frequent as in training.",
        ),
    ] = None,
    n: Annotated[
        int,
        typer.Option("-n", min=1, max=10_000_000, help="Images for each prompt (in all, where no prompt is given)."),
    ] = 10,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help=".png: a row for each prompt; .npz, .parquet, .zarr: all images."
        ),
    ] = Path("out.png"),
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{_SAMPLERS}.", show_default="exact; ddim with --steps or --eta")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler.", show_default="50; 1000 for ddpm")
    ] = None,
    eta: Annotated[float, typer.Option(min=0.0, max=1.0, help="For ddim: the share of DDPM's noise.")] = 0.0,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{_SCHEDULES}.", show_default="the model's")
    ] = None,
    style: Annotated[
        int | None, typer.Option(min=0, help="One of the prompt's styles.", show_default="drawn by frequency")
    ] = None,
    guidance_scale: Annotated[
        float, typer.Option(min=0.0, help="More of the prompt and less diversity, from 1 (off) to about 3.")
    ] = 1.0,
    negative_prompt: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="What guidance leads away from.", show_default="all of training"),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture to start from, in the place of noise.")
    ] = None,
    crop: Crop = False,
    pad: Pad = False,
    strength: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="With --init: from 0, the picture, to 1, a sample.", show_default="0.6"),
    ] = None,
    seed: Seed = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Turn noise into images."""
    if out.suffix.lower() == ".zarr":
        check_folder(out)
    else:
        check_file(out, (".png", ".npz", ".parquet", ".zarr"))
    by_blocks = scheduler is not None or out.suffix.lower() in (".parquet", ".zarr")
    if by_blocks and (init is not None or out.suffix.lower() == ".png"):
        raise ValueError(
            f"{'--scheduler' if scheduler else out.suffix} is for many samples: choose an --out of .npz, .parquet or "
            ".zarr, and leave --init out."
        )
    check_apart([out], init)
    if init is None and strength is not None:
        raise ValueError(f"--strength {strength:g} says how much a picture is changed; give one with --init.")
    if init is not None and (not prompts or style is not None):
        raise ValueError("--init needs a prompt to change the picture by, and takes no --style.")
    resize = reading(crop=crop, pad=pad)["resize"]
    if sampler is None and (steps is not None or eta):
        sampler = "ddim"  # the only one that takes both
    log = Log()
    model, seed = open_model(model_path, schedule, log), fresh_seed(seed)
    from ..arguments import usual_sampler
    from ..noise import find_schedule
    from ..text.mixes import as_text
    from . import drawing

    known = {str(prompt) for prompt in model.classes_}
    asked = [parse_prompt(prompt, known) for prompt in prompts or ()]
    listed = [prompt for prompt in asked for _ in range(n)] or None
    if out.suffix.lower() == ".png":
        drawing.require_drawable(model, len(listed or ()) or n)
    picture = None if init is None else read_picture(init, model, resize)
    call: dict[str, Any] = {
        "sampler": sampler,
        "n_steps": steps,
        "eta": eta,
        "guidance_scale": guidance_scale,
        "negative_prompts": None if negative_prompt is None else parse_prompt(negative_prompt, known),
        "random_state": seed,
    }
    with log.step("sample", "sampling"):
        if by_blocks:
            from ..cluster import sample_to

            sample_to(model, out, None if listed else n, listed, styles=style, client=scheduler or "threads", **call)
        elif picture is None:
            images, drawn = model.sample(None if listed else n, listed, styles=style, **call)
            drawn = [as_text(prompt) for prompt in drawn] if drawn.dtype == object else drawn
        else:
            strength = 0.6 if strength is None else strength
            images = model.edit(picture.repeat(len(listed or ()), axis=0), listed, strength, **call)
            drawn = [as_text(prompt) for prompt in listed or ()]
    if not by_blocks:
        with log.step("write", f"writing {out}"):
            source = None if init is None or picture is None else (f"from {init.name}", picture)
            drawing.write_samples(model, images, drawn, prompts or [], out, source)
    n_images = len(listed or ()) or n
    record = {
        "out": str(out),
        "n_images": n_images,
        "prompts": [str(p) for p in (prompts or model.classes_)],
        "image_shape": list(model.image_shape_),
        "sampler": sampler or usual_sampler(find_schedule(model.schedule), model.prior_, guided=guidance_scale != 1.0),
        "n_steps": steps,
        "schedule": model.schedule,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative_prompt,
        "init": None if init is None else str(init),
        "strength": strength,
        "seed": seed,
        "seconds": log.seconds,
    }
    text = f"{out}: {count(n_images, 'image')} in {log.seconds['sample']:.2f} s, sampler {record['sampler']}"
    show(record, f"{text}, seed {seed}", as_json=as_json)


@app.command(epilog="Example: linear-diffusion trace digits-model 7 -o seven.gif")
def trace(
    model_path: ModelPath,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help=".png: a strip of frames; .gif: an animation.")
    ] = Path("trace.png"),
    sampler: Annotated[str, typer.Option(metavar="NAME", help=f"{_SAMPLERS}.")] = "ddim",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the sampler.", show_default="50")] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=2, help="Frames to show.", show_default="10 in a strip, every step in an animation"),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{_SCHEDULES}.", show_default="the model's")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Show one image's way from noise; the curves that finish it are a step of their own."""
    check_file(out, (".png", ".gif"))
    log = Log()
    model, seed = open_model(model_path, schedule, log), fresh_seed(seed)
    from . import drawing

    drawing.require_drawable(model, 1)
    steps = steps or (1 if sampler == "one-step" else 50)
    with log.step("sample", count(steps, "step")):
        way, names = drawing.trace(model, prompt, sampler=sampler, n_steps=steps, random_state=seed)
    with log.step("write", f"writing {out}"):
        shown = drawing.write_trace(model, way, names, frames, out)
    record = {
        "out": str(out),
        "prompt": prompt,
        "sampler": sampler,
        "n_steps": steps,
        "frames": shown,
        "schedule": model.schedule,
        "seed": seed,
        "seconds": log.seconds,
    }
    show(record, f"{out}: {count(shown, 'frame')} of {count(steps, 'step')} of {sampler}, seed {seed}", as_json=as_json)


@app.command(epilog="Example: linear-diffusion info digits-model")
def info(
    model_path: ModelPath,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".png: the mean of each prompt's most frequent styles.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a model is: prompts, styles, sizes, schedule, explained variance."""
    if sheet is not None:
        check_file(sheet, (".png",))
    model = open_model(model_path, None, Log())
    record = describe(model, model_path)
    if sheet is not None:
        from .. import pictures

        pictures.save_png(pictures.styles(model), sheet)
    if as_json:
        show(record, "", as_json=True)
        return
    low_high = "none" if record["pixel_range"] is None else "{:g} to {:g}".format(*record["pixel_range"])
    words = record["words"] and f"{count(len(record['words']), 'word')}: {shorten(record['words'])}"
    table(
        {
            "model": str(model_path),
            "fitted on": f"{count(model.n_images_, 'image')} of {count(len(model.classes_), 'prompt')}",
            "prompts": shorten(record["prompts"]),
            "text": words or record["text_encoder"],
            "styles": f"{sum(record['styles']):,}: {min(record['styles'])} to {max(record['styles'])} for each prompt",
            "images": f"{' x '.join(map(str, model.image_shape_))}, {record['dtype']}, range {low_high}",
            "latent": f"{count(model.latent_dim_, 'component')}, {record['explained_variance']:.1%} of the variance"
            + (", pixels standardised" if model.standardize else ""),
            "schedule": str(model.schedule),
            "training": model.training,
            "tone curve": "yes" if record["tone"] else "no",
            "files": ", ".join(f"{name} {size:,} bytes" for name, size in record["files"].items()),
        }
    )


app.command(epilog="Example: linear-diffusion evaluate digits-model mnist-5k --refit -o report.html")(answers.evaluate)
app.command(epilog="Example: linear-diffusion score digits-model my-scans -o scores.csv")(answers.score)
app.command(epilog="Example: linear-diffusion classify digits-model mnist --split test")(answers.classify)
app.command(epilog="Example: linear-diffusion restore digits-model in.png out.png --task inpaint --mask mask.png")(
    answers.restore
)
app.add_typer(moments.app, name="moments", epilog="Example: linear-diffusion moments fit mnist-5k -o sums.safetensors")
app.command(epilog="Example: linear-diffusion app digits-model")(commands.app)
app.command(epilog="Example: linear-diffusion export-page digits-model -o page.html")(commands.export_page)
