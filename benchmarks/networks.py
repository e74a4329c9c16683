"""The neural counterparts of the linear blocks: a small VAE and a small diffusion U-Net. Extra: diffusers.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)        (Karras et al. 2022, eq. 7)

Both are conditional on the class, train with Adam for so much CPU time of their process, and sample with an average of
their weights, so that weights after any share of the time are as good as that time makes them.
"""

import copy
import signal
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
"""Shares of the training time after which the weights are kept."""
_RATE, _WARM_UP, _FALLS_FROM = 2e-3, 50, 400
"""Learning rate, steps of its rise, and the step from which on it falls as 1 / sqrt(step)."""
_AVERAGE = 6.94
"""Power of the average of weights: a width of 10 % of the training so far (Karras et al. 2024, section 3.1)."""
_DATA_STD, _NOISE = 0.5, (-1.2, 1.2)
"""EDM's constants for images in -1..1: their scale, and mean and std of the logarithm of sigma in training."""


class Network(nn.Module):
    """What trains for so many CPU minutes and samples by class."""

    batch = 128

    def __init__(self, minutes):
        super().__init__()
        self.minutes, self.kept = minutes, []

    def fit(self, X, y, log=print):
        """Train; ``kept`` has pairs of CPU seconds and weights, one for each of SHARES. SIGUSR1 makes now the last."""
        torch.manual_seed(0)
        self.build()
        self.classes, labels = np.unique(y, return_inverse=True)
        self.share, labels = np.bincount(labels) / len(labels), torch.from_numpy(labels)
        weights, average = list(self.parameters()), copy.deepcopy(self.state_dict())
        mean = [average[name] for name, _ in self.named_parameters()]
        optimizer, rng, step = torch.optim.Adam(weights, _RATE), np.random.default_rng(0), 0
        start, due, enough = time.process_time(), [60 * self.minutes * share for share in SHARES], []
        signal.signal(signal.SIGUSR1, lambda *_: enough.append(True))
        while due:
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = _RATE * min(step / _WARM_UP, 1.0) / max(step / _FALLS_FROM, 1.0) ** 0.5
            rows = rng.integers(0, len(X), self.batch)
            optimizer.zero_grad()
            loss = self.loss(torch.from_numpy(X[rows]).float()[:, None] / 127.5 - 1, labels[rows])
            loss.backward()
            optimizer.step()
            torch._foreach_lerp_(mean, [w.detach() for w in weights], 1 - (1 - 1 / step) ** (_AVERAGE + 1))
            spent = time.process_time() - start
            if enough:
                due, enough = [0.0], []
            if step % 50 == 0 or spent >= due[0]:
                log(f"step {step}, {spent:.0f} CPU s, loss {loss.item():.4f}")
            if spent >= due[0]:
                self.kept.append((spent, copy.deepcopy(average)))
                due.pop(0)
        return self.use(-1)

    def use(self, which):
        """Sample with the weights of one of the times that were kept."""
        self.load_state_dict(self.kept[which][1])
        return self.eval()

    @torch.no_grad()
    def sample(self, n):
        torch.manual_seed(1)
        labels = torch.from_numpy(np.random.default_rng(0).choice(len(self.classes), n, p=self.share))
        images = torch.cat([self.draw(part) for part in labels.split(250)])
        return ((images[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy(), self.classes[labels.numpy()]

    def n_parameters(self):
        return sum(p.numel() for p in self.parameters())


class VAE(Network):
    """A conditional variational autoencoder, two hidden layers each way (Kingma and Welling 2014)."""

    def build(self):
        def layers(*sizes):
            return nn.Sequential(*[layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())][:-1])

        self.encoder, self.decoder = layers(794, 512, 512, 64), layers(42, 512, 512, 784)

    def loss(self, images, labels):
        code = nn.functional.one_hot(labels, 10).float()
        mean, log_variance = self.encoder(torch.cat([images.flatten(1), code], 1)).chunk(2, 1)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        logits, target = self.decoder(torch.cat([z, code], 1)), (images.flatten(1) + 1) / 2
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return (reconstruction - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()) / len(images)

    def draw(self, labels):
        z = torch.cat([torch.randn(len(labels), 32), nn.functional.one_hot(labels, 10).float()], 1)
        return 2 * torch.sigmoid(self.decoder(z)).reshape(-1, 1, 28, 28) - 1


class UNet(Network):
    """diffusers' UNet2DModel, trained as in EDM, sampled by 20 steps of DPM-Solver++(2M) (Lu et al. 2022)."""

    batch, n_steps = 64, 20

    def build(self):
        from diffusers import UNet2DModel

        self.network = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(16, 32, 40),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=8,
            num_class_embeds=10,
        )

    def denoise(self, x, sigma, labels):
        total = sigma**2 + _DATA_STD**2
        raw = self.network(x / total.sqrt(), 250 * sigma.flatten().log(), class_labels=labels).sample
        return _DATA_STD**2 / total * x + sigma * _DATA_STD / total.sqrt() * raw

    def loss(self, images, labels):
        sigma = torch.exp(_NOISE[0] + _NOISE[1] * torch.randn(len(images), 1, 1, 1))
        weight = (sigma**2 + _DATA_STD**2) / (sigma * _DATA_STD) ** 2
        clean = self.denoise(images + sigma * torch.randn_like(images), sigma, labels)
        return (weight * (clean - images) ** 2).mean()

    def draw(self, labels):
        ramp = torch.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), self.n_steps) ** 7
        times = -torch.cat([ramp, torch.zeros(1)]).log()  # the last is infinite: no noise
        x, before = ramp[0] * torch.randn(len(labels), 1, 28, 28), None
        for i in range(self.n_steps):
            clean = self.denoise(x, ramp[i].expand(len(labels), 1, 1, 1), labels)
            h, ahead = times[i + 1] - times[i], clean
            if before is not None and i < self.n_steps - 1:
                ahead = clean + h / (times[i] - times[i - 1]) / 2 * (clean - before)
            x, before = torch.exp(-h) * x - torch.expm1(-h) * ahead, clean
        return x
