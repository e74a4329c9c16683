"""Beside what one would otherwise pick: scikit-learn's GaussianMixture, a small VAE, and a small U-Net from diffusers.

    python benchmarks/comparison.py --minutes 10        (extra: diffusers)

Same data, same measures (those of quality.py), same machine. The two networks, the neural counterparts of the linear
blocks, train for the stated number of minutes each and are scored on 1,000 samples (U-Net) or 10,000; their Fréchet
distance is above what as many samples as ours would score.
"""

import io
import sys
import time

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import nn

from common import RESULTS, arguments, mnist, report
from judge import HEADER, N_EPOCHS, Bench, cells
from linear_diffusion import LinearDiffusion
from linear_diffusion.files import pack


class Mixture:
    """GaussianMixture of 10 components a class, on 50 principal components."""

    def fit(self, X, y):
        self.pca = PCA(50, random_state=0).fit(X.reshape(len(X), -1))
        z = self.pca.transform(X.reshape(len(X), -1))
        self.mixtures = {c: GaussianMixture(10, random_state=0).fit(z[y == c]) for c in np.unique(y)}
        self.weights = {c: float((y == c).mean()) for c in self.mixtures}
        return self

    def sample(self, n):
        counts = np.random.default_rng(0).multinomial(n, list(self.weights.values()))
        z = np.concatenate([self.mixtures[c].sample(m)[0] for c, m in zip(self.mixtures, counts, strict=True)])
        pixels = np.clip(np.rint(self.pca.inverse_transform(z)), 0, 255).astype(np.uint8)
        return pixels.reshape(-1, 28, 28), np.repeat(list(self.mixtures), counts)

    def size(self):
        parameters = sum(m.means_.size + m.covariances_.size + m.weights_.size for m in self.mixtures.values())
        return 8 * (parameters + self.pca.components_.size)


class Neural(nn.Module):
    """A network that trains for some minutes and samples by class."""

    def fit(self, X, y, minutes):
        torch.manual_seed(0)
        self.classes, labels = np.unique(y, return_inverse=True)
        self.share, labels = np.bincount(labels) / len(labels), torch.from_numpy(labels)
        optimizer = torch.optim.Adam(self.parameters(), 2e-3 if isinstance(self, VAE) else 5e-4)
        end, start = time.perf_counter() + 60 * minutes, time.perf_counter()
        rng = np.random.default_rng(0)
        while time.perf_counter() < end:
            rows = rng.integers(0, len(X), 128)
            rate = min(1.0, 3 * (end - time.perf_counter()) / (end - start))  # constant, then down to zero
            for group in optimizer.param_groups:
                group["lr"] = group.get("initial_lr", group.setdefault("initial_lr", group["lr"])) * max(rate, 0.0)
            images = torch.from_numpy(X[rows]).float()[:, None] / 127.5 - 1
            optimizer.zero_grad()
            self.loss(images, labels[rows]).backward()
            optimizer.step()
        return self.eval()

    @torch.no_grad()
    def sample(self, n):
        labels = torch.from_numpy(np.random.default_rng(0).choice(len(self.classes), n, p=self.share))
        images = torch.cat([self.draw(part) for part in labels.split(500)])
        return ((images[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy(), self.classes[labels.numpy()]

    def size(self):
        return sum(p.numel() for p in self.parameters()) * 4


class VAE(Neural):
    """A conditional variational autoencoder, two hidden layers each way (Kingma and Welling 2014)."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(794, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 64))
        self.decoder = nn.Sequential(nn.Linear(42, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 784))

    def loss(self, images, labels):
        code = nn.functional.one_hot(labels, 10).float()
        mean, log_variance = self.encoder(torch.cat([images.flatten(1), code], 1)).chunk(2, 1)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        logits = self.decoder(torch.cat([z, code], 1))
        target = (images.flatten(1) + 1) / 2
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return (reconstruction - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()) / len(images)

    def draw(self, labels):
        code = nn.functional.one_hot(labels, 10).float()
        logits = self.decoder(torch.cat([torch.randn(len(labels), 32), code], 1))
        return 2 * torch.sigmoid(logits).reshape(-1, 1, 28, 28) - 1


class UNet(Neural):
    """diffusers' UNet2DModel with DDPM training (Ho et al. 2020) and 50 DDIM steps."""

    def __init__(self):
        from diffusers import DDIMScheduler, UNet2DModel

        super().__init__()
        self.network = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            num_class_embeds=10,
        )
        self.scheduler = DDIMScheduler(1000, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")

    def loss(self, images, labels):
        noise, t = torch.randn_like(images), torch.randint(0, 1000, (len(images),))
        noisy = self.scheduler.add_noise(images, noise, t)
        return nn.functional.mse_loss(self.network(noisy, t, class_labels=labels).sample, noise)

    def draw(self, labels):
        self.scheduler.set_timesteps(50)
        z = torch.randn(len(labels), 1, 28, 28)
        for t in self.scheduler.timesteps:
            z = self.scheduler.step(self.network(z, t, class_labels=labels).sample, t, z).prev_sample
        return z


def model_size(model):
    from linear_diffusion.saving import _arrays

    return len(io.BytesIO(pack(_arrays(model))).getvalue())


def main(options, minutes):
    X, y = mnist(options)
    bench = Bench(X, y, *mnist(options, "test"))
    linear = {
        "the article's one-shot model": lambda: LinearDiffusion.one_shot(random_state=0),
        "one Gaussian a prompt": lambda: LinearDiffusion(styles=1, random_state=0),
        "150 styles a prompt, k = 500": lambda: LinearDiffusion(random_state=0),
    }
    works = {name: (lambda make=make: make().fit(X, y), model_size, 10_000) for name, make in linear.items()}
    works["GaussianMixture, PCA 50, 10 components"] = (lambda: Mixture().fit(X, y), Mixture.size, 10_000)
    works["VAE"] = (lambda: VAE().fit(X, y, minutes), VAE.size, 10_000)
    works["U-Net, DDPM, 50 DDIM steps"] = (lambda: UNet().fit(X, y, minutes), UNet.size, 1_000)
    figures, rows = {}, []
    for name, (fit, size, n) in works.items():
        start = time.perf_counter()
        model = fit()
        fitted = time.perf_counter()
        images, prompts = model.sample(n)
        drawn = time.perf_counter()
        figures[name] = bench.score(images, prompts) | {
            "fit_seconds": fitted - start,
            "megabytes": size(model) / 1e6,
            "images_a_second": n / (drawn - fitted),
            "n_samples": n,
        }
        f = figures[name]
        speed = [f"{f['fit_seconds']:.1f} s", f"{f['megabytes']:.1f} MB", f"{f['images_a_second']:,.0f}"]
        rows.append([name, *speed, *cells(f)])
        print(rows[-1], flush=True)
    header = ["MNIST", "fit", "model", "images a second", *HEADER]
    report("comparison", header, rows, figures, f"Judge: a convolutional network, {N_EPOCHS} epochs, torch.")
    print(f"kept in {RESULTS}")


if __name__ == "__main__":
    minutes = 10.0
    if "--minutes" in sys.argv:
        at = sys.argv.index("--minutes")
        minutes = float(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    main(arguments(__doc__), minutes)
