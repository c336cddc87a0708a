"""Roofs and baselines: the floor's formula, that the probes answer, and that what is timed is the same maths."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo import native
from ganart_zoo.bench import Roofs, baselines, probe_roofs, roofs
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.gram_matrix import gram_matrix_reference
from ganart_zoo.ops.style_loss import style_loss_reference


def test_the_floor_is_the_larger_of_arithmetic_and_traffic() -> None:
    machine = Roofs("cpu", {"float32": 100.0, "bfloat16": 200.0}, bandwidth=10.0, fresh_bandwidth=1.0)
    assert machine.floor(flops=600, moved=20, dtype="float32") == 6
    assert machine.floor(flops=600, moved=20, dtype="bfloat16") == 3
    assert machine.floor(flops=600, moved=80, dtype="bfloat16") == 8
    with pytest.raises(SettingsError, match="no peak was probed for float64; probed: float32, bfloat16"):
        machine.floor(1, 1, "float64")


@pytest.mark.skipif(native.ops_library() is None, reason="the probes are not built")
def test_probes_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofs, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(roofs, "_COPY_BYTES", 1 << 20)
    found = probe_roofs()
    assert found.peak.keys() == {"float32", "bfloat16"}
    assert min(*found.peak.values(), found.bandwidth, found.fresh_bandwidth) > 1e6
    assert roofs.describe_machine()["threads"] == torch.get_num_threads()


def test_baselines_compute_what_the_ops_define() -> None:
    features = torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram = gram_matrix_reference(features, False)
    torch.testing.assert_close(baselines.gram_matrix(features), gram)
    target = gram.flip(0)
    torch.testing.assert_close(baselines.style_loss(features, target), style_loss_reference(features, target, False)[0])
