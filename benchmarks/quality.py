"""Quality on the full MNIST, by a network that was trained on real digits and never saw a sample.

    python benchmarks/quality.py        (extra: diffusers, for torch)

Fréchet distance in the network's 128 features, 10,000 samples against the 10,000 test images, as a ratio to what 10,000
real training images score there; and how often the network reads the prompt off the sample.
"""

import numpy as np
import torch
from torch import nn

from common import arguments, mnist, report
from linear_diffusion import LinearDiffusion

N, N_EPOCHS = 10_000, 4


class Judge(nn.Module):
    """A small convolutional network; its last hidden layer is the feature space."""

    def __init__(self):
        super().__init__()

        def block(n_in, n_out):
            return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]

        hidden = [nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 49, 128), nn.ReLU()]
        self.features = nn.Sequential(*block(1, 32), *block(32, 64), *hidden)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.features(x))

    def learn(self, images, labels):
        """Train by Adam; the recipe is fixed."""
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(self.parameters(), 1e-3)
        for _ in range(N_EPOCHS):
            for batch in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self(pixels(images[batch.numpy()])), labels[batch])
                loss.backward()
                optimizer.step()
        return self.eval()

    @torch.no_grad()
    def look(self, images):
        """Features (n, 128) and predicted classes (n,)."""
        features = torch.cat([self.features(pixels(part)) for part in np.array_split(images, len(images) // 500)])
        return features.double().numpy(), self.head(features).argmax(dim=1).numpy()


def pixels(images):
    return torch.from_numpy(np.ascontiguousarray(images)).float().div(255)[:, None]


def frechet(a, b):
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), Dowson and Landau (1982), by symmetric square roots."""
    values, vectors = np.linalg.eigh(np.cov(a.T))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ np.cov(b.T) @ root), 0, None)).sum()
    spread = np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * cross
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + spread)


def main(options):
    X, y = mnist(options)
    X_test, y_test = mnist(options, "test")
    judge = Judge().learn(X, torch.from_numpy(y.astype(int)))
    real, read = judge.look(X_test)
    scale = frechet(judge.look(X[:N])[0], real)
    models = {
        "the article's one-shot model": LinearDiffusion.one_shot(random_state=0),
        "one Gaussian a prompt, `tone=False`": LinearDiffusion(tone=False, random_state=0),
        "one Gaussian a prompt": LinearDiffusion(random_state=0),
    }
    figures = {"real": {"frechet": scale, "accuracy": float((read == y_test.astype(int)).mean())}}
    for name, model in models.items():
        images, prompts = model.fit(X, y).sample(N)
        features, read = judge.look(images)
        accuracy = float((read == prompts.astype(int)).mean())
        figures[name] = {"frechet": frechet(features, real), "accuracy": accuracy}
    rows = [[name, f"{f['frechet'] / scale:.1f}", f"{f['accuracy']:.1%}"] for name, f in figures.items()]
    rows[0][0] = "real images (training for the distance, test for the accuracy)"
    header = ["10,000 images", "Fréchet distance, real images = 1", "prompt read off the image"]
    report("quality", header, rows, figures, f"Judge: a convolutional network, {N_EPOCHS} epochs, torch.")


if __name__ == "__main__":
    main(arguments(__doc__))
