"""The exact bias of each sampler by number of steps: no Monte Carlo, since a run is one affine map.

    python benchmarks/sampler_bias.py

For each eigenmode of a prompt, the variance of z_0 is known in closed form. Reported is how much variance is wrong,
over all modes, as a share of the whole; apart for what the start costs (N(0, I) in the place of the true marginal at T,
carried by the exact flow) and for what the steps cost (the sampler from the true marginal). Modes of least variance
suffer most, as the last step to zero noise wipes out what lies below its level; their errors are in results/.
"""

from common import HERE, arguments, mnist, report
from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.research import noise_levels, sampler_bias
from linear_diffusion.sampler import SAMPLERS

STEPS = [1, 5, 10, 20, 50, 100, 200, 500, 1000]
SHOWN = [10, 50, 1000]


def main(options):
    X, y = mnist(options)
    prior = LinearDiffusion(styles=1, latent_dim=144).fit(X, y).denoiser("7")
    figures = {"start": {}, "steps": {}, "largest_of_a_mode": {}}
    rows = []
    for name, schedule in SCHEDULES.items():
        if schedule.n_steps == 1:
            continue
        first = sampler_bias(prior, "ddim", noise_levels(name, 1000))
        figures["start"][name] = start = first.share(first.start)
        for sampler in SAMPLERS:
            if sampler in ("one-step", "euler"):  # ddim with eta = 0 is euler
                continue
            by_steps = {n: sampler_bias(prior, sampler, noise_levels(name, n)) for n in STEPS}
            errors = {n: bias.share(bias.steps) for n, bias in by_steps.items()}
            figures["steps"][f"{name} {sampler}"] = errors
            figures["largest_of_a_mode"][f"{name} {sampler}"] = {
                n: float(abs(bias.steps).max()) for n, bias in by_steps.items()
            }
            rows.append([name, sampler, f"{start:.2%}", *(f"{errors[n]:.2%}" for n in SHOWN)])
    header = ["schedule", "sampler", "cost of the start", *(f"of {n} steps" for n in SHOWN)]
    note = 'Share of the variance that is wrong, prompt "7", 144 modes; ddim is euler.'
    plot(figures)
    report("sampler-bias", header, rows, figures, note)


def plot(figures):
    """Error by number of steps, one panel per schedule."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(figures["start"])
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.5), sharex=True, sharey=True, layout="constrained")
    for axis, name in zip(axes.flat, names, strict=True):
        for key, errors in figures["steps"].items():
            schedule, sampler = key.split(" ")
            if schedule == name:
                axis.loglog(list(errors), list(errors.values()), marker="o", markersize=3, label=sampler)
        if figures["start"][name] > 1e-7:
            axis.axhline(figures["start"][name], color="grey", linestyle="--", linewidth=1, label="the start")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    for axis in axes[:, 0]:
        axis.set_ylabel("share of variance that is wrong")
    figure.suptitle("What steps cost, exactly: MNIST, prompt 7")
    figure.savefig(HERE / "results" / "sampler-bias.png", dpi=90)


if __name__ == "__main__":
    main(arguments(__doc__))
