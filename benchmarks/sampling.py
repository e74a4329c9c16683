"""100,000 samples: exact and a thousand DDPM steps, compiled and looped, against the floor of the hardware.

    python benchmarks/sampling.py

The floor draws the noise in float32, takes one product from noise to pixels, and casts to uint8.
"""

from functools import partial

import numpy as np

from common import arguments, mnist, report, seconds
from linear_diffusion import LinearDiffusion

N, N_LOOPED = 100_000, 1_000


def floor(gain, offset, n=N):
    """Noise to pixels, at the speed of numpy."""
    rng = np.random.default_rng(0)
    out = np.empty((n, gain.shape[1]), np.uint8)
    for start in range(0, n, 4096):
        pixels = rng.standard_normal((min(4096, n - start), len(gain)), dtype=np.float32) @ gain
        pixels += offset
        out[start : start + 4096] = np.clip(pixels, 0, 255, out=pixels)


def main(options):
    X, y = mnist(options)
    model = LinearDiffusion(styles=1, latent_dim=144, random_state=0).fit(X, y)
    styles = LinearDiffusion(random_state=0).fit(X, y)
    gain, offset = (model.components_ * 30).astype(np.float32), np.full(784, 30, np.float32)
    gain_500 = (styles.components_ * 30).astype(np.float32)
    article = LinearDiffusion.one_shot(random_state=0).fit(X[:5000], y[:5000])
    t_floor, t_floor_500, t_exact, t_styles, t_ddpm, t_styles_ddpm, t_article = seconds(
        partial(floor, gain, offset),
        partial(floor, gain_500, offset),
        partial(model.sample, N),
        partial(styles.sample, N),
        partial(model.sample, N, sampler="ddpm"),
        partial(styles.sample, N, sampler="ddpm"),
        partial(article.sample, N),
        repeat=options.repeat,
    )
    # Once is enough of what takes twenty seconds.
    (t_loop,) = seconds(partial(model.sample, N_LOOPED, sampler="ddpm", return_trajectory=True), repeat=1)
    rows = [
        [what, f"{n / t:,.0f}", f"{bound / N * n / t:.1%}"]
        for what, n, t, bound in (
            ("floor, k = 144: noise, one product, uint8", N, t_floor, t_floor),
            ("one Gaussian per prompt, exact, tone curve included", N, t_exact, t_floor),
            ("the same, 1000 DDPM steps, compiled", N, t_ddpm, t_floor),
            (f"the same, looped, every picture kept ({N_LOOPED:,} images)", N_LOOPED, t_loop, t_floor),
            ("the article's one-shot model (no tone curve)", N, t_article, t_floor),
            ("floor, k = 500", N, t_floor_500, t_floor_500),
            ("165 styles per prompt, exact", N, t_styles, t_floor_500),
            ("the same, 1000 DDPM steps, compiled", N, t_styles_ddpm, t_floor_500),
        )
    ]
    figures = {
        "exact_of_floor": t_floor / t_exact,
        "styles_of_floor": t_floor_500 / t_styles,
        "ddpm_over_exact": t_ddpm / t_exact,
        "styles_ddpm_over_exact": t_styles_ddpm / t_styles,
    }
    ratios = " and ".join(f"{figures[name]:.2f} x" for name in ("ddpm_over_exact", "styles_ddpm_over_exact"))
    note = f"A thousand compiled steps take {ratios} (with styles) the time of the exact sampler."
    report("sampling", ["100,000 images, prompts mixed", "images per second", "of the floor"], rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__))
