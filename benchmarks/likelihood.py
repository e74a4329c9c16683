"""What the exact density is good for: reading prompts, compressing, telling what does not belong.

    python benchmarks/likelihood.py

Accuracy and bits per pixel on the 10,000 test images; outliers are the other data set's test images, of as many pixels.
A quadratic discriminant on the same number of components is what a user would pick otherwise.
"""

import time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline

from common import arguments, fashion, mnist, report
from linear_diffusion import LinearDiffusion

SETTINGS = [(1, 144), (30, 144), (100, 144), (100, 300), (165, 500)]
LOADERS = {"MNIST": mnist, "Fashion-MNIST": fashion}


def discriminant(X, y, test, truth):
    """The best of a few ridges, which flatters it."""
    best = 0.0
    for ridge in (0.0, 0.01, 0.03, 0.1, 0.3):
        found = make_pipeline(PCA(50, random_state=0), QuadraticDiscriminantAnalysis(reg_param=ridge))
        best = max(best, found.fit(X.reshape(len(X), -1), y).score(test.reshape(len(test), -1), truth))
    return best


def answer(model, train, test, truth, strange):
    start = time.perf_counter()
    probability = model.predict_proba(test)
    seconds = time.perf_counter() - start
    own, other, fitted = (model.score_samples(images) for images in (test, strange, train))
    return {
        "accuracy": float((model.classes_[probability.argmax(axis=1)] == truth).mean()),
        "log_loss": float(log_loss(truth, probability, labels=model.classes_)),
        "seconds": seconds,
        "bits_per_dim": float(model.bits_per_dim(test, random_state=0).mean()),
        "auc": float(roc_auc_score(np.r_[np.zeros(len(own)), np.ones(len(other))], -np.r_[own, other])),
        "flagged": float((own < np.quantile(fitted, 0.01)).mean()),
    }


def main(options):
    rows, figures = [], {}
    tests = {name: load(options, "test") for name, load in LOADERS.items()}
    for name, load in LOADERS.items():
        X, y = load(options)
        test, truth = tests[name]
        strange = next(images for other, (images, _) in tests.items() if other != name)
        train = X[np.random.default_rng(0).permutation(len(X))[:1000]]
        share = discriminant(X, y, test, truth)
        figures[f"{name}, discriminant"] = share
        rows.append([name, "quadratic discriminant, 50 components, best ridge", f"{share:.2%}", *[""] * 5])
        for styles, k in SETTINGS:
            model = LinearDiffusion(styles=styles, latent_dim=k, random_state=0).fit(X, y)
            found = figures[f"{name}, {styles} styles, k = {k}"] = answer(model, train, test, truth, strange)
            rows.append(
                [
                    name,
                    f"{styles} styles, k = {k}" if styles > 1 else f"one Gaussian per prompt, k = {k}",
                    f"{found['accuracy']:.2%}",
                    f"{found['log_loss']:.3f}",
                    f"{found['seconds']:.1f} s",
                    f"{found['bits_per_dim']:.3f}",
                    f"{found['auc']:.4f}",
                    f"{found['flagged']:.1%}",
                ]
            )
    header = ["data", "model", "prompts read", "log-loss", "time", "bits per pixel", "outliers, AUC", "flagged at 1 %"]
    note = (
        "Outliers are the other set's test images; flagged are the set's own test images that are less likely than "
        "99 % of 1,000 training images."
    )
    report("likelihood", header, rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__))
