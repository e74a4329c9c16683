"""What long work tells of itself, and that to tell it changes nothing."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from linear_diffusion import LinearDiffusion
from linear_diffusion.utils.progress import counted, listening, printed, so_far, tell

FOUND = ["components: from the products of 64 pixels, of each prompt", "moments of pixels: 300 of 300 images"]
"""How a fit on 300 digits begins."""


def told(printed):
    """What follows name and seconds in each line."""
    return [line.split(" s  ", 1)[1] for line in printed.splitlines()]


@pytest.fixture(scope="module")
def pair(grey):
    return grey[0][:300], grey[1][:300]


def test_verbose_prints_phases_and_counts_and_changes_nothing(pair, capsys):
    quiet = LinearDiffusion(styles=3, latent_dim=10, random_state=0).fit(*pair)
    assert capsys.readouterr().out == ""
    loud = clone(quiet).set_params(verbose=1).fit(*pair)
    lines = told(capsys.readouterr().out)
    phases = ["styles", "moment matching", "detail curves"]
    counts = [[f"{phase}: prompt {i} of 10" for i in range(1, 11)] for phase in phases]
    whole = "300 of 300 images"
    passes = [f"what styles {do}: {whole}" for do in ("are", "vary along", "share")]
    found = [*FOUND, f"sample for the styles: {whole}", *counts[0], *passes]
    assert lines == [*found, *counts[1], "tone curves", *counts[2], "done"]
    np.testing.assert_array_equal(quiet.sample(20)[0], loud.sample(20)[0])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("params", "lines"),
    [
        ({"styles": 1}, [*FOUND, "tone curves", "done"]),
        ({"training": "sampled", "styles": 1, "tone": False}, [*FOUND, "noise, drawn", "done"]),
        (
            {"text_encoder": "words"},
            [
                "components: from the products of 64 pixels, of all images",
                FOUND[1],
                "moments of latents: 300 of 300 images",
                "regressions on words",
                "done",
            ],
        ),
    ],
)
def test_every_kind_of_fit_is_told(pair, capsys, params, lines):
    LinearDiffusion(latent_dim=10, verbose=True, **params).fit(pair[0], pair[1].astype(str))
    assert told(capsys.readouterr().out) == lines


def test_verbose_is_a_parameter_as_any_other_but_is_not_saved(pair, tmp_path, capsys):
    model = LinearDiffusion(styles=1, latent_dim=10, verbose=1).fit(*pair)
    assert clone(model).verbose == pickle.loads(pickle.dumps(model)).verbose == 1
    model.save_pretrained(tmp_path / "model")
    assert LinearDiffusion.from_pretrained(tmp_path / "model").verbose == 0
    capsys.readouterr()
    search = GridSearchCV(clone(model), {"latent_dim": [5, 10]}, cv=2).fit(*pair)
    assert capsys.readouterr().out.count("[LinearDiffusion]") == 5 * 4
    assert search.best_estimator_.verbose == 1
    with pytest.raises(ValueError, match="verbose"):
        LinearDiffusion(verbose="loud").fit(*pair)


def test_what_is_printed_is_printed_once(pair, capsys):
    with printed(1, "all"):
        LinearDiffusion(styles=1, latent_dim=10, verbose=1).fit(*pair)
    assert told(capsys.readouterr().out) == [*FOUND, "tone curves", "done"]
    with pytest.raises(RuntimeError), printed(1, "all"):
        raise RuntimeError
    with printed(1, "all"):
        tell("again")
    assert told(capsys.readouterr().out) == ["again", "done"]


def test_a_count_has_ten_lines_at_most():
    heard = []
    with listening(heard.append):
        assert list(map(counted(abs, 1234, "prompt"), range(-1234, 0))) == list(range(1234, 0, -1))
    assert heard == [f"prompt {-(-1234 * i // 10):,} of 1,234" for i in range(1, 11)]


def test_what_is_done_so_far_has_ten_lines_at_most():
    heard = []
    with listening(heard.append):
        done, unknown = so_far("pass", 5000), so_far("scan")
        for i in range(1, 5001):
            done(i)
            unknown(i)
    assert [line for line in heard if line.startswith("pass")] == [
        f"pass: {500 * i:,} of 5,000 images" for i in range(1, 11)
    ]
    assert [line for line in heard if line.startswith("scan")] == [f"scan: {2**i:,} images" for i in range(13)]


def test_nobody_hears_what_another_thread_started():
    heard = []
    with listening(heard.append):
        other = threading.Thread(target=tell, args=["elsewhere"])
        other.start()
        other.join()
        tell("here")
    tell("later")
    assert heard == ["here"]


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of its own is had on POSIX alone")
def test_the_command_shows_on_a_terminal_what_a_fit_is_at(pair, tmp_path):
    import pty

    np.savez(tmp_path / "data.npz", images=pair[0], prompts=pair[1])
    args = [sys.executable, "-m", "linear_diffusion", "fit", "data.npz", "--latent-dim", "10", "-o", "m"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(args, cwd=tmp_path, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # the end, on Linux
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"fitting 300 images: " in shown
    assert b"300 images of 10 prompts" in shown
