"""FID: the file is read, images reach the network as it expects them, and the distance is that of its features."""

import os
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion import LinearDiffusion
from linear_diffusion.evaluation.fidelity import frechet_distance
from linear_diffusion.evaluation.inception import inception_features, inception_figures
from linear_diffusion.evaluation.run import evaluate
from linear_diffusion.evaluation.splits import make_panel
from linear_diffusion.exceptions import DataError, MissingExtraError


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="the extra fid (torch) is not installed")


@pytest.fixture(scope="module")
def small(torch, tmp_path_factory):
    """TorchScript with Inception's signature: its features are sums over eight rows of each channel."""

    class Rows(torch.nn.Module):
        def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            if images.dtype != torch.uint8 or not return_features:
                raise ValueError("uint8 and features only")
            return images.float().sum(dim=3).flatten(1)

    path = tmp_path_factory.mktemp("inception") / "rows.pt"
    torch.jit.script(Rows()).save(str(path))
    return path


def test_grey_images_become_three_channels(small, grey):
    images = np.rint(grey[0][:250] * (255 / grey[0].max())).astype(np.uint8)
    expected = np.tile(images.sum(axis=2, dtype=np.float64), (1, 3))
    assert_allclose(inception_features(small)(images), expected)
    assert_allclose(inception_features(small)(images / np.float64(255)), expected)


def test_channels_come_first(small):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    expected = images.sum(axis=2, dtype=np.float64).transpose(0, 2, 1).reshape(5, -1)
    assert_allclose(inception_features(small)(images), expected)


def test_the_figure_is_the_distance_of_the_features(small, grey):
    images, prompts = grey[0] / grey[0].max(), grey[1].astype(str)
    panel = make_panel((images[:300], prompts[:300]), (images[300:600], prompts[300:600]), features=lambda x: x)
    samples = images[600:900] ** 2
    figure = inception_figures(inception_features(small), panel, samples)["fid"]
    n = len(panel.stand_ins)

    def rows(x):
        return np.tile(np.rint(255 * x).sum(axis=2), (1, 3))

    assert figure.n == n
    assert_allclose(figure.value, frechet_distance(rows(samples[:n]), rows(panel.target)), rtol=1e-6)
    assert_allclose(figure.real, frechet_distance(rows(panel.stand_ins), rows(panel.target)), rtol=1e-6)


def test_what_is_no_image_is_refused(small):
    with pytest.raises(ValueError, match=r"got \(4, 8\)"):
        inception_features(small)(np.zeros((4, 8)))


def test_evaluate_has_it_beside_the_others(small, grey):
    images, prompts = grey[0], grey[1].astype(str)
    train, test = (images[:300], prompts[:300]), (images[300:600], prompts[300:600])
    panel = make_panel(train, test)
    model = LinearDiffusion(styles=1, latent_dim=10).fit(*train)
    found = evaluate(model, train, test, n_samples=50, panel=panel, small_sets=(), inception=small)
    network, samples = inception_features(small), model.sample(50, random_state=0)[0]
    assert_allclose(found["fid"].value, frechet_distance(network(samples), network(panel.target)))
    assert "FID (Inception)" in found.to_html()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.pt'.*no such file.*inception-2015-12-05\.pt"):
        inception_features(tmp_path / "absent.pt")


def test_a_file_of_something_else_is_named(torch, tmp_path):
    (tmp_path / "other.pt").write_bytes(b"weights")
    with pytest.raises(DataError, match=r"other\.pt' is no TorchScript"):
        inception_features(tmp_path / "other.pt")


def test_without_torch_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "any.pt").touch()
    with pytest.raises(MissingExtraError, match=r"linear-diffusion\[fid\]"):
        inception_features(tmp_path / "any.pt")


def test_the_real_network_has_2048_features(torch):
    path = os.environ.get("LINEAR_DIFFUSION_INCEPTION")
    if path is None:
        pytest.skip("LINEAR_DIFFUSION_INCEPTION names no file of Inception's weights")
    assert inception_features(path)(np.zeros((2, 28, 28), np.uint8)).shape == (2, 2048)
