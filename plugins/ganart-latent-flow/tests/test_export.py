"""A run of latent_flow becomes ONNX that takes latents and the embedding of prompts, of any number and length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ganart_latent_flow
import numpy as np
import pytest
import torch
from ganart_latent_flow.config import Options
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, Generator, generator
from ganart_zoo.registry.runs import describe_parts
from ganart_zoo.tasks.export import export

ZOO = Zoo(plugins=[ganart_latent_flow])
TINY = {
    "resolution": 16,
    "patch": 2,
    "latent_channels": 4,
    "encoder_widths": (4, 8, 8),
    "decoder_widths": (8, 8, 4),
    "decoder_blocks": (1, 1, 1),
    "buckets": 64,
    "word_width": 8,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "draft": 16,
    "upscaler_width": 4,
    "upscaler_blocks": 1,
}


@pytest.fixture
def one_step() -> Iterator[None]:
    """Makes one step the default, since each is written out."""
    field = Options.model_fields["steps"]
    usual = field.default
    field.default = 1
    Options.model_rebuild(force=True)
    yield
    field.default = usual
    Options.model_rebuild(force=True)


@pytest.mark.usefixtures("one_step")
def test_onnx_follows_the_prompt(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = ZOO.create("latent_flow", weights=None, **TINY)
    assert isinstance(model, Generator)
    assert model.provenance is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(describe_parts({"generator": model.provenance})))
    save_file(model.own_state(), run / "generator.safetensors")
    made = export(ZOO, run, tmp_path / "made")
    assert made.onnx_error is not None
    session = onnxruntime.InferenceSession(str(made.folder / "generator.onnx"))
    condition = model.embed(Condition(prompts=("a lion, 3d", "", "two large red apples on the left", "pear")))
    latents = model.sample_latents(4, rng=generator(1))
    with torch.no_grad():
        expected = model(latents, condition, options=Options(steps=1))
    assert condition.embedding is not None
    given = {"latents": latents.numpy(), "embedding": condition.embedding.detach().numpy()}
    (found,) = session.run(None, given)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    (other,) = session.run(None, {**given, "embedding": np.ascontiguousarray(given["embedding"][::-1])})
    assert np.abs(other - found).max() > 1e-3
