"""Combinations of words that training never saw: are they drawn as well as those that it saw?

    python benchmarks/words.py        (extra: diffusers, for torch)

MNIST's digits bold, thin, slanted, small or inverted, prompts such as "3 bold slanted" (`datasets.transformed`). 50 of
the 240 combinations are left out of training. Five networks that were trained on real transformed images, one an
attribute, read the attributes off samples of seen and of unseen combinations. It also draws docs/images/words.png.
"""

import time
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from bilinear import BilinearRegression
from common import HERE, arguments, mnist, report
from judge import Judge
from linear_diffusion import LinearDiffusion, pictures
from linear_diffusion.datasets.transformed import HELD_OUT, transform_digits
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.draw import Run, draw
from linear_diffusion.image.decoder import Decoder
from linear_diffusion.image.tone import fit_tone_curves
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.plan import plan
from linear_diffusion.sampler import SAMPLERS

ATTRIBUTES = {
    "digit": list("0123456789"),
    "weight": ["bold", "thin"],
    "slant": ["slanted"],
    "size": ["small"],
    "tone": ["inverted"],
}
N_EPOCHS, N_SEEN, N_UNSEEN, N_STEPS = 2, 20, 80, 20
SHOWN = ["3 bold", "4 slanted small", "5 thin slanted inverted", "7 bold small", "8", "9 bold slanted inverted"]


def attributes(prompts):
    """The right answers, (n, 5): which word of each attribute a prompt has, with one more answer for none of them."""
    return np.array([[_answer(p.split(), choices) for choices in ATTRIBUTES.values()] for p in prompts])


def _answer(words, choices):
    return next((j for j, word in enumerate(choices) if word in words), len(choices)) % 10


@dataclass(frozen=True)
class BilinearPrior:
    """The article's regression on the code of words, as what plans and draws ask of a prior."""

    regression: BilinearRegression
    codes: np.ndarray
    has_density = False

    def component(self, parts):
        return self.regression.denoiser(self.codes[parts[0].prompt])

    def curves_of(self, prompt):
        return np.array([prompt])


def bilinear(model, images, prompts, asked):
    """The article's regression on the same code and latents: a function from some of ``asked`` to images."""
    classes, index = np.unique(prompts, return_inverse=True)
    latents = Moments.of(model.transform(images).astype(np.float64), index, classes)
    code, encoder, image = model.prior_.words.code, model.encoder_, model.decoder_.image
    codes = code.encode(list(asked))
    prior = BilinearPrior(BilinearRegression.of(latents, code.encode(list(classes))), codes)
    run = Run(SAMPLERS["dpmpp_2m"], SCHEDULES[model.schedule].levels(N_STEPS), 0.0, 0)
    laws = [run.law(prior.regression.denoiser(own)) for own in codes]
    spread = [(np.square(law.matrix.T @ encoder.to_pixels)).sum(axis=0)[None] for law in laws]
    centres = [encoder.decode(law.shift)[None] for law in laws]
    shares = np.clip(model.decoder_.curves.tones(codes), 0, None)
    mixtures = zip(centres, spread, [np.ones(1)] * len(asked), strict=True)
    decoder = Decoder(encoder, image, fit_tone_curves(mixtures, shares, image.tone_range))
    place = {prompt: j for j, prompt in enumerate(asked)}

    def sample(chosen):
        position = np.array([place[prompt] for prompt in chosen])
        mixes = [((j, 1.0),) for j in range(len(asked))]
        return draw(plan(prior, decoder, mixes, position, np.zeros(len(position), int)), run)

    return sample


def main(options):
    X, prompts = transform_digits(*mnist(options))
    X_test, y_test = transform_digits(*mnist(options, "test"))
    answers = attributes(prompts)
    judges = [Judge(j).learn(X, answers[:, j], N_EPOCHS) for j in range(len(ATTRIBUTES))]
    kept = ~np.isin(prompts, HELD_OUT)
    seen, unseen = np.unique(prompts[kept]), np.array(HELD_OUT)
    figures, rows, shown = {}, [], []

    def score(name, kind, images, asked, cost=""):
        right = np.stack([judge.look(images)[1] for judge in judges], axis=1) == attributes(asked)
        shares = right.mean(axis=0)
        figures[f"{name}: {kind}"] = dict(zip(ATTRIBUTES, shares.tolist(), strict=True)) | {
            "mean": float(shares.mean()),
            "all": float(right.all(axis=1).mean()),
        }
        cells = [f"{share:.1%}" for share in (*shares, shares.mean(), right.all(axis=1).mean())]
        rows.append([name, kind, *cells, cost])

    for kind, known in (("seen", seen), ("unseen", unseen)):
        some = np.isin(y_test, known)
        score("real images", kind, X_test[some], y_test[some])
    shown.append(np.concatenate([X_test[y_test == prompt][:5] for prompt in SHOWN]))
    models = {
        "one-hot": "one-hot",
        "`words`": "words",
        "a bag of words": CountVectorizer(binary=True, token_pattern=r"\S+"),
    }
    for name, encoder in models.items():
        start = time.perf_counter()
        model = LinearDiffusion(text_encoder=encoder, random_state=0).fit(X[kept], prompts[kept])
        seconds = time.perf_counter() - start
        for kind, known, n in (("seen", seen, N_SEEN), ("unseen", unseen, N_UNSEEN)):
            if encoder == "one-hot" and kind == "unseen":
                continue
            cost = ""
            if encoder != "one-hot":
                words = model.prior_.words
                cost = f"{words.gaussian.share_below_zero(words.code.encode(list(known))):.1%}"
            asked = np.repeat(known, n)
            score(f"{name}, fitted in {seconds:.1f} s", kind, model.sample(prompts=asked)[0], asked, cost)
        if encoder == "words":
            correlations(model)
        if encoder != "one-hot":
            shown.append(model.sample(prompts=np.repeat(SHOWN, 5), random_state=1)[0])
    sample = bilinear(model, X[kept], prompts[kept], np.concatenate([seen, unseen]))
    for kind, known, n in (("seen", seen, N_SEEN), ("unseen", unseen, N_UNSEEN)):
        asked = np.repeat(known, n)
        score("the article's bilinear regression on a bag of words", kind, sample(asked), asked)
    shown.append(sample(np.repeat(SHOWN, 5)))
    grid = np.stack(shown).reshape(len(shown), len(SHOWN), 5, 28, 28).transpose(1, 0, 2, 3, 4)
    picture = pictures.grid(grid.reshape(-1, 28, 28), 5 * len(shown), labels=SHOWN)
    pictures.save_png(picture, HERE.parent / "docs" / "images" / "words.png")
    note = (
        f"{N_SEEN} samples of each of {len(seen)} seen combinations, {N_UNSEEN} of each of {len(unseen)} unseen ones, "
        f"k = 144. Judges: five convolutional networks, {N_EPOCHS} epochs on real images of all combinations."
    )
    header = ["images of", "combinations", *ATTRIBUTES, "mean", "all five", "eigenvalues of S(c) below zero"]
    report("words", header, rows, figures, note)


def correlations(model):
    """What `words` found that a word changes."""
    gaussian, words = model.prior_.words.gaussian, model.prior_.words.code.words
    found = {
        word: [float(target.products.correlations[j]) for target in (gaussian.mean, gaussian.covariance)]
        for j, word in enumerate(words)
    }
    rows = [[word, *(f"{value:g}" for value in values)] for word, values in found.items()]
    note = "1: prompts that differ in this word alone are alike; 0: nothing carries over; below 0: turned round."
    report("word-correlations", ["word", "mean", "covariance"], rows, found, note)


if __name__ == "__main__":
    main(arguments(__doc__))
