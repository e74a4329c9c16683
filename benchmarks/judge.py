"""The judges of quality: small networks trained on real images, and distances to the training images. Extra: torch.

Networks that differ in their first random weights alone put the same images as much as a third apart, as ratios to real
ones. So there are three, and their mean counts.
"""

import numpy as np
import torch
from torch import nn

N_EPOCHS, N_JUDGES = 4, 3


class Judge(nn.Module):
    """A small convolutional network; its last hidden layer is the feature space."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)  # of the first weights, and of what `learn` draws

        def block(n_in, n_out):
            return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]

        hidden = [nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 49, 128), nn.ReLU()]
        self.features = nn.Sequential(*block(1, 32), *block(32, 64), *hidden)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.features(x))

    def learn(self, images, labels, n_epochs=N_EPOCHS):
        """Train by Adam; the recipe is fixed."""
        optimizer = torch.optim.Adam(self.parameters(), 1e-3)
        for _ in range(n_epochs):
            for batch in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self(pixels(images[batch.numpy()])), torch.from_numpy(labels)[batch])
                loss.backward()
                optimizer.step()
        return self.eval()

    @torch.no_grad()
    def look(self, images):
        """Features (n, 128) and predicted classes (n,)."""
        features = torch.cat(
            [self.features(pixels(part)) for part in np.array_split(images, max(len(images) // 500, 1))]
        )
        return features.double().numpy(), self.head(features).argmax(dim=1).numpy()


class Bench:
    """One data set's judges, and what real images score on each measure.

    Parameters
    ----------
    X, y : training images (n, 28, 28) uint8, and prompts
    X_test, y_test : held-out ones
    n_epochs : epochs that the judges train
    n_judges : how many there are
    """

    def __init__(self, X, y, X_test, y_test, n_epochs=N_EPOCHS, n_judges=N_JUDGES):
        self.classes, labels = np.unique(y, return_inverse=True)
        self.judges = [Judge(seed).learn(X, labels, n_epochs) for seed in range(n_judges)]
        self.train = X.reshape(len(X), -1).astype(np.float32)
        self.real = [judge.look(X_test)[0] for judge in self.judges]
        self.stand_ins = [judge.look(X[: len(X_test)])[0] for judge in self.judges]
        self.accuracy = self.read(X_test, y_test)
        self.distances = self.nearest(X_test[:3000])

    def nearest(self, images):
        """Distance of each image to its nearest training image."""
        rows, lengths = images.reshape(len(images), -1).astype(np.float32), (self.train**2).sum(axis=1)
        squares = [
            (lengths - 2 * part @ self.train.T).min(axis=1) + (part**2).sum(axis=1)
            for part in np.array_split(rows, max(len(rows) // 500, 1))
        ]
        return np.sqrt(np.maximum(np.concatenate(squares), 0))

    def read(self, images, prompts):
        """How often the judges read an image's own prompt."""
        return float(np.mean([(self.classes[judge.look(images)[1]] == prompts).mean() for judge in self.judges]))

    def relative_frechet(self, images):
        """Fréchet distance to the test images, over that of as many training images; of each judge."""
        return [
            frechet(judge.look(images)[0], real) / frechet(stand_ins[: len(images)], real)
            for judge, real, stand_ins in zip(self.judges, self.real, self.stand_ins, strict=True)
        ]

    def score(self, images, prompts):
        """All measures of samples; distances and nearest neighbours as ratios to those of real images."""
        order = np.random.default_rng(0).permutation(len(images))
        images, prompts = images[order], prompts[order]
        each, distances = self.relative_frechet(images), self.nearest(images[:3000])
        return {
            "frechet": float(np.mean(each)),
            "frechet_of_each_judge": each,
            "accuracy": self.read(images, prompts),
            "nearest_median": float(np.median(distances) / np.median(self.distances)),
            "nearest_5th": float(np.percentile(distances, 5) / np.percentile(self.distances, 5)),
        }


def pixels(images):
    return torch.from_numpy(np.ascontiguousarray(images)).float().div(255)[:, None]


def frechet(a, b):
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), Dowson and Landau (1982), by symmetric square roots."""
    values, vectors = np.linalg.eigh(np.cov(a.T))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ np.cov(b.T) @ root), 0, None)).sum()
    spread = np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * cross
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + spread)


def note(n_epochs=N_EPOCHS):
    """What a table says of the judges."""
    return f"Judges: the mean of {N_JUDGES} convolutional networks, {n_epochs} epochs on the training images, torch."


HEADER = ["Fréchet distance, real = 1", "prompt read", "nearest training image, median", "5th percentile"]


def cells(score):
    """A row of a table."""
    ratios = (f"{score[name]:.2f}" for name in ("nearest_median", "nearest_5th"))
    return [f"{score['frechet']:.2f}", f"{score['accuracy']:.1%}", *ratios]
