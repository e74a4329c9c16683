"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that fit wrote.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Random seed.", show_default="a fresh one, which is printed")]
Csv = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help=".csv: a row for each image.")]

Images = Annotated[
    str,
    typer.Argument(metavar="DATA", help="An image file, a folder of images, or data as in fit.", show_default=False),
]
Size = Annotated[str | None, typer.Option(metavar="N|HxW", help="Resize the images, e.g. 32 or 48x64.")]
Crop = Annotated[bool, typer.Option("--crop", help="Where they are resized: cut them to shape, do not distort.")]
Pad = Annotated[bool, typer.Option("--pad", help="Where they are resized: add black bands, do not distort.")]
Gray = Annotated[bool, typer.Option("--gray", help="Read the images as grey.")]
Rgb = Annotated[bool, typer.Option("--rgb", help="Read the images as RGB.")]
Split = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="train, validation, test or all.", show_default="train, if there are parts"),
]
TextColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of prompts, in metadata or .parquet.", show_default="text, ..."),
]
ImageColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of images or their files.", show_default="file_name or image")
]
DataDir = Annotated[Path | None, typer.Option(help="Where the IDX files of mnist and fashion-mnist are.")]
Standardize = Annotated[bool, typer.Option("--standardize", help="Divide each pixel by its deviation.")]
NoTone = Annotated[bool, typer.Option("--no-tone", help="Leave out the curves for tones and details.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on Dask's workers: tcp://host:port of a scheduler; processes, or threads, of this machine.",
        show_default="this process",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Read batch by batch, and keep here how far the work is: after an interruption the same command goes on "
        "from there.",
        show_default=False,
    ),
]
SvdSolver = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How components are found: full is exact, randomized is for large images; auto chooses by size.",
    ),
]
