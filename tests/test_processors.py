"""The same images on any processor and any number of threads: OpenBLAS has kernels for each, which round apart.

Rounding may move a pixel across the border between two grey levels, and what the curves make of it by a few more. It
must not turn the noise that an image is drawn from, which gives another image.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

KERNELS = ("Haswell", "SkylakeX", "Nehalem")
SCRIPT = """
import sys
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

np.eye(300) @ np.eye(300)
if f"'{sys.argv[1]}'" not in str(threadpool_info()):
    sys.exit()

from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from linear_diffusion import LinearDiffusion, operators

digits, y = load_digits(return_X_y=True)
images = zoom(digits.reshape(-1, 8, 8), (1, 1.5, 1.5), order=1)[::2] / 16  # with many tones, as pictures have
grey, y = np.rint(images * 255).astype(np.uint8), y[::2]
hidden = np.zeros((12, 12), bool)
hidden[2:5, 3:6] = True
found = {}
with threadpool_limits(int(sys.argv[2]), user_api="blas"):
    for kind, images in (("bytes", grey), ("single", (grey / 255).astype(np.float32))):
        styles = LinearDiffusion(random_state=0).fit(images, y)
        one = LinearDiffusion(styles=1, random_state=0).fit(images, y)
        for name, model in (("styles", styles), ("one", one)):
            key = f"{kind} {name}"
            found[f"{key} exact"] = model.sample(200)[0]
            found[f"{key} ddpm"] = model.sample(20, sampler="ddpm", n_steps=5)[0]
            found[f"{key} trajectory"] = model.sample(10, sampler="ddpm", n_steps=5, return_trajectory=True)[0]
            found[f"{key} mixed"] = model.sample(10, {3: 0.5, 8: 0.5})[0]
            found[f"{key} edit"] = model.edit(images[:10], 8)
            found[f"{key} posterior"] = model.restore(images[:5], operators.inpaint(hidden), n_samples=4)[-1]
            found[f"{key} denoised"] = model.denoise(images[:10], 9.0 if kind == "bytes" else 0.03)
            found[f"{key} log_density"] = model.score_samples(images[:50])
            found[f"{key} probability"] = model.predict_proba(images[:50])
np.savez(sys.argv[3], **found)
"""


def run(folder: Path, kernel: str, threads: int) -> dict[str, np.ndarray] | None:
    """What the script finds with one kernel; None where the processor cannot run it, or OpenBLAS does not have it."""
    out = folder / f"{kernel}-{threads}.npz"
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
    done = subprocess.run([sys.executable, "-c", SCRIPT, kernel, str(threads), str(out)], env=environment)
    if done.returncode == -signal.SIGILL or (done.returncode == 0 and not out.exists()):
        return None
    assert done.returncode == 0
    with np.load(out) as found:
        return dict(found)


def test_a_model_does_not_depend_on_the_processor_or_its_threads(tmp_path: Path) -> None:
    found = {(kernel, n): run(tmp_path, kernel, n) for kernel, n in (("Haswell", 1), ("Haswell", 2), ("Nehalem", 1))}
    able = {key: arrays for key, arrays in found.items() if arrays is not None}
    if len(able) < 2:
        pytest.skip("needs OpenBLAS and a processor that runs its kernel Haswell or Nehalem")
    (_, first), *others = able.items()
    for other, arrays in others:
        for name, expected in first.items():
            if name.endswith(("log_density", "probability")):
                np.testing.assert_allclose(arrays[name], expected, rtol=1e-3, atol=1e-5, err_msg=f"{other} {name}")
                continue
            levels = 1 if expected.dtype == np.uint8 else 255
            off = np.abs(arrays[name].astype(float) - expected.astype(float)) * levels
            assert (off > 1).mean() < 0.01 and off.max() < 8, (other, name, (off > 1).mean(), off.max())
