"""Distances and overlaps of features: against closed forms, SciPy, torchmetrics, and cases counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn

from ganart_zoo.contract import Backbone, LayerInfo, ModelError, SettingsError, generator
from ganart_zoo.metrics import (
    Moments,
    PerceptualDistance,
    PooledFeatures,
    as_saved,
    density_coverage,
    frechet_distance,
    kernel_distance,
    moments,
    path_length,
    precision_recall,
)


class Colours(Backbone):
    """The picture, and its halves."""

    layers = {"full": LayerInfo(3, 1), "half": LayerInfo(3, 2), "logits": LayerInfo(3, 1)}  # noqa: RUF012
    taps = {"critic": ("full", "half")}  # noqa: RUF012

    def forward(self, images, layers):
        made = {"full": images, "half": nn.functional.avg_pool2d(images, 2), "logits": images.mean(dim=(2, 3))}
        return {name: made[name] for name in self.check_layers(layers)}


def gaussian(n: int, d: int, seed: int) -> torch.Tensor:
    mix = torch.randn(d, d, generator=generator(seed + 100), dtype=torch.float64)
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64) @ mix + seed


def test_frechet_of_gaussians_with_commuting_covariances_is_its_closed_form() -> None:
    """Then it is |m - m'|² plus the squared difference of the standard deviations along each common axis."""
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator(0), dtype=torch.float64)).Q
    first, second = torch.tensor([[1.0, 2, 3, 0.5, 0, 4], [2.0, 2, 1, 0, 0, 5]], dtype=torch.float64)
    a = Moments(torch.zeros(6, dtype=torch.float64), rotation @ (first**2).diag() @ rotation.T)
    b = Moments(torch.full((6,), 0.5, dtype=torch.float64), rotation @ (second**2).diag() @ rotation.T)
    expected = 6 * 0.25 + float((first - second).square().sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)  # a root of rounding, for b is flat
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [200, 5])  # 5 samples of 8 numbers: singular covariances
def test_frechet_agrees_with_scipys_matrix_root(n: int) -> None:
    a, b = gaussian(n, 8, 1).numpy(), gaussian(n, 8, 2).numpy()
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shared = np.sqrt(np.clip(linalg.eigvals(ca @ cb).real, 0, None)).sum()
    if n > 8:
        assert shared == pytest.approx(np.trace(linalg.sqrtm(ca @ cb)).real, rel=1e-8)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca) + np.trace(cb) - 2 * shared
    found = frechet_distance(moments(torch.from_numpy(a)), moments(torch.from_numpy(b)))
    assert found == pytest.approx(expected, rel=1e-6)


class _Pixels(nn.Module):
    """Lets torchmetrics take features as they are, each a picture of one row."""

    num_features = 8

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, :]


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_frechet_and_kernel_distance_agree_with_torchmetrics() -> None:
    fid, kid = (pytest.importorskip(f"torchmetrics.image.{name}") for name in ("fid", "kid"))
    a, b = gaussian(60, 8, 3), gaussian(60, 8, 4)
    frechet = fid.FrechetInceptionDistance(feature=_Pixels())
    kernel = kid.KernelInceptionDistance(feature=_Pixels(), subsets=1, subset_size=60)
    for metric in (frechet, kernel):
        metric.set_dtype(torch.float64)
        for values, real in ((a, True), (b, False)):
            metric.update(values[:, None, None, :].expand(-1, 3, -1, -1), real=real)
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(float(frechet.compute()), rel=1e-6)
    assert kernel_distance(a, b) == pytest.approx(float(kernel.compute()[0]), rel=1e-6)


def test_kernel_distance_is_the_sum_over_pairs_and_unbiased() -> None:
    a, b = gaussian(7, 3, 5), gaussian(5, 3, 6)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    within_a = sum(kernel(a[i], a[j]) for i in range(7) for j in range(7) if i != j) / 42
    within_b = sum(kernel(b[i], b[j]) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(kernel(x, y) for x in a for y in b) / 35
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across, rel=1e-10)
    same = [
        kernel_distance(*torch.randn(2, 50, 4, generator=generator(seed), dtype=torch.float64)) for seed in range(200)
    ]
    assert abs(np.mean(same)) < 4 * np.std(same) / math.sqrt(200)
    assert min(same) < 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganart_zoo.metrics import distances, neighbours

    a, b = gaussian(50, 4, 7), gaussian(41, 4, 8)
    before = (kernel_distance(a, b), precision_recall(a, b), density_coverage(a, b))
    monkeypatch.setattr(distances, "_BLOCK", 7)
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    after = (kernel_distance(a, b), precision_recall(a, b), density_coverage(a, b))
    assert after[1:] == before[1:]
    assert after[0] == pytest.approx(before[0])


def test_overlaps_counted_by_hand() -> None:
    """On a line, with one neighbour: real 0, 1, 3 reach out by 1, 1, 2; fakes 2, 4.5, 9 by 2.5, 2.5, 4.5."""
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[2.0], [4.5], [9.0]])
    assert precision_recall(real, fake, k=1) == (pytest.approx(2 / 3), pytest.approx(1.0))
    # 2 lies within the balls of 1 (closed) and 3, 4.5 within that of 3; so 3 hits, and two of three balls hit
    assert density_coverage(real, fake, k=1) == (pytest.approx(3 / 3), pytest.approx(2 / 3))


def test_the_same_set_is_wholly_within_itself_and_a_far_one_not_at_all() -> None:
    real = torch.randn(300, 5, generator=generator(1))
    assert precision_recall(real, real) == (1.0, 1.0)
    assert density_coverage(real, real)[1] == 1.0
    assert precision_recall(real, real + 1000) == (0.0, 0.0)
    assert density_coverage(real, real + 1000) == (0.0, 0.0)


def test_two_draws_of_one_distribution_have_density_and_coverage_near_what_naeem_derives() -> None:
    """Expected density is 1; expected coverage, without ties, 1 - (m-1)...(m-k) / ((n+m-1)...(n+m-k))."""
    n, k = 1000, 5
    real, fake = torch.randn(2, n, 3, generator=generator(2))
    density, coverage = density_coverage(real, fake, k=k)
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - missed, abs=0.02)


def test_a_mode_that_is_missing_costs_recall_and_coverage_and_not_precision() -> None:
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0]])
    real = centres.repeat(200, 1) + torch.randn(400, 2, generator=generator(3))
    fake = torch.randn(400, 2, generator=generator(4))
    precision, recall = precision_recall(real, fake)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
    assert density_coverage(real, fake)[1] == pytest.approx(0.5, abs=0.05)


def test_too_few_points_are_refused() -> None:
    few = torch.zeros(3, 2)
    with pytest.raises(SettingsError, match="3 pictures are too few for 3 neighbours each"):
        precision_recall(few, few)
    with pytest.raises(SettingsError, match=r"expected \[n, d\] with n of at least 2"):
        moments(few[:1])


def test_pooled_features_are_the_mean_of_the_deepest_layer_but_the_head() -> None:
    features = PooledFeatures(Colours(), side=16)
    images = torch.rand(4, 3, 16, 16, generator=generator(5))
    assert (features.layer, features.dimensions) == ("half", 3)
    torch.testing.assert_close(features(images), images.mean(dim=(2, 3)))
    assert features(torch.full((1, 3, 40, 40), 0.3)).tolist()[0] == pytest.approx([0.3] * 3, rel=1e-5)
    assert PooledFeatures(Colours(), "logits", side=16)(images).shape == (4, 3)
    with pytest.raises(SettingsError, match="layer 'third' is not in Colours"):
        PooledFeatures(Colours(), "third")


def test_pictures_are_measured_as_a_file_would_give_them_back() -> None:
    images = torch.tensor([-0.5, 0.0, 0.1, 0.5, 1.7]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert as_saved(images)[0, 0, 0].mul(255).tolist() == pytest.approx([0, 0, 26, 128, 255], abs=1e-4)
    with pytest.raises(ModelError, match="NaN or infinite"):
        as_saved(torch.full((1, 3, 2, 2), math.nan))


def test_perceptual_distance_by_hand() -> None:
    """Two pictures of one colour each: a layer's distance is 2 - 2 cos of the angle of the colours."""
    distance = PerceptualDistance(Colours(), side=16)
    a, b = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    a[:, 0], b[:, :2] = 0.7, 0.2
    assert float(distance(a, b)) == pytest.approx(2 * (2 - 2 * math.cos(math.pi / 4)), rel=1e-4)
    assert float(distance(a, a)) == 0
    assert float(PerceptualDistance(Colours(), ["half"], side=16)(a, b)) == pytest.approx(2 - math.sqrt(2), rel=1e-4)


def test_path_length_of_a_straight_line_is_the_square_of_its_slope() -> None:
    def pictures(t: torch.Tensor) -> torch.Tensor:
        return (3 * t)[:, None, None, None].expand(-1, 3, 2, 2)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b)[:, 0, 0, 0].square()

    found = path_length(pictures, distance, 50, rng=generator(6))
    torch.testing.assert_close(found, torch.full((50,), 9.0, dtype=torch.float64), rtol=1e-6, atol=0)
