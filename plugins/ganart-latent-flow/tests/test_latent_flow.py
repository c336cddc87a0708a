"""The model: the contract, determinism, guidance, samplers, pictures to start from, interruption, and odd prompts."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import ganart_latent_flow
import pytest
import torch
from ganart_latent_flow.compact import pack
from ganart_latent_flow.config import Options
from ganart_latent_flow.model import LatentFlow
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, ImageError, ModelError, SettingsError, StepEvent, generator
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_latent_flow])
TINY = {
    "weights": None,
    "resolution": 32,
    "latent_channels": 4,
    "encoder_widths": (4, 8, 8),
    "decoder_widths": (8, 8, 4),
    "decoder_blocks": (1, 1, 1),
    "buckets": 64,
    "word_width": 8,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "draft": 16,
    "upscaler_width": 4,
    "upscaler_blocks": 1,
}
PROMPTED = Condition(prompts=["a red apple"])
SUBJECTS = [
    Subject(ZOO, "latent_flow", settings=TINY, options={"steps": 3}),
    Subject(ZOO, "latent_flow", settings=TINY, options={"steps": 2, "sampler": "heun"}, condition=PROMPTED),
]
CASES = [(subject, check) for subject in SUBJECTS for check in checks_for(subject)]


@pytest.mark.parametrize(
    ("subject", "check"),
    CASES,
    ids=[f"{'prompt' if s.condition else 'plain'}-{check.__name__}" for s, check in CASES],
)
def test_conformance(subject: Subject, check: Check) -> None:
    torch.manual_seed(0)
    check(subject)


@pytest.fixture(scope="module")
def model() -> LatentFlow:
    """A tiny model with random weights in every layer: those that training starts at zero too."""
    created = ZOO.create("latent_flow", **TINY)
    assert isinstance(created, LatentFlow)
    source = generator(0)
    with torch.no_grad():
        for parameter in created.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.2)
    return created


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_latent_flow as d; d.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_row_does_not_depend_on_the_batch_or_on_longer_prompts_beside_it(model: LatentFlow) -> None:
    latents = model.sample_latents(3, rng=generator(1))
    prompts = ["lion", "two red circles left of a small blue square", ""]
    together = model(latents, Condition(prompts=prompts))
    alone = torch.cat([model(latents[row : row + 1], Condition(prompts=[prompts[row]])) for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_the_prompt_the_negative_prompt_and_guidance_each_change_the_picture(model: LatentFlow) -> None:
    latents = model.sample_latents(1, rng=generator(1))
    pictures = [
        model(latents, Condition(prompts=["lion"])),
        model(latents, Condition(prompts=["pizza"])),
        model(latents, Condition(prompts=["lion"]), options=Options(negative_prompt="pizza")),
        model(latents, Condition(prompts=["lion"]), options=Options(guidance=1)),
    ]
    for number, one in enumerate(pictures):
        for other in pictures[number + 1 :]:
            assert (one - other).abs().max() > 1e-3


def test_guidance_0_is_the_negative_prompt_alone(model: LatentFlow) -> None:
    latents = model.sample_latents(2, rng=generator(1))
    avoided = model(latents, PROMPTED, options=Options(guidance=0, negative_prompt="pizza"))
    asked = model(latents, Condition(prompts=["pizza"]), options=Options(guidance=1))
    torch.testing.assert_close(avoided, asked, rtol=0, atol=1e-4)


def test_embedding_once_gives_the_same_picture(model: LatentFlow) -> None:
    latents = model.sample_latents(2, rng=generator(1))
    embedded = model.embed(PROMPTED)
    assert embedded.embedding is not None
    assert torch.equal(model(latents, PROMPTED), model(latents, Condition(embedding=embedded.embedding)))


@pytest.mark.parametrize(("sampler", "factor"), [("euler", 1.1**5), ("heun", 1.105**4 * 1.1)])
def test_samplers_solve_a_linear_flow_by_their_formulas(
    model: LatentFlow, monkeypatch: pytest.MonkeyPatch, sampler: str, factor: float
) -> None:
    """Of dx/dt = x / 2 in 5 steps of 1/5: 1 + h per step by Euler, 1 + h + h²/2 by Heun but for its last step."""
    monkeypatch.setattr(model.transformer, "forward", lambda latents, time, words: latents / 2)
    latents = model.sample_latents(2, rng=generator(1))
    options = Options.model_validate({"sampler": sampler, "steps": 5, "guidance": 1})
    expected = model.autoencoder.decode(latents * factor)
    torch.testing.assert_close(model(latents, PROMPTED, options=options), expected, rtol=1e-4, atol=1e-4)


def test_a_picture_to_start_from_is_kept_the_more_the_less_strength(model: LatentFlow) -> None:
    latents = model.sample_latents(1, rng=generator(1))
    init = torch.rand(1, 3, 32, 32, generator=generator(2))
    kept = model.autoencoder.decode(model.autoencoder.encode(init))
    far, near = (
        float((model(latents, PROMPTED, init=init, options=Options(strength=strength)) - kept).abs().mean())
        for strength in (1.0, 0.02)
    )
    assert near < far / 4
    anew = model(latents, PROMPTED)
    torch.testing.assert_close(model(latents, PROMPTED, init=init, options=Options(strength=1)), anew)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 4, 32, 32), (3, 3, 32, 32)])
def test_a_wrong_picture_to_start_from_is_refused(model: LatentFlow, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="init is"):
        model(model.sample_latents(2), init=torch.rand(shape))


@pytest.mark.parametrize("size", [16, 32, 100, 128, 200])
def test_pictures_of_any_size(model: LatentFlow, size: int) -> None:
    pictures = model(model.sample_latents(2, rng=generator(0)), options=Options(size=size, steps=1))
    assert pictures.shape == (2, 3, size, size)


def test_stopping_early_returns_the_picture_expected_then(model: LatentFlow) -> None:
    latents = model.sample_latents(1, rng=generator(1))
    shown: list[torch.Tensor] = []

    def stop(event: StepEvent) -> bool:
        assert (event.total, event.phase) == (16, "denoise")
        shown.append(event.preview())
        return event.step < 5

    stopped = model(latents, PROMPTED, on_step=stop)
    assert len(shown) == 5
    torch.testing.assert_close(stopped.clamp(0, 1), shown[-1])


@pytest.mark.parametrize(
    "prompt", ["", " ", "\N{RED APPLE}", "\u202eשלום עולם", "zorkmid qwxyz", "\x00\x07\n", "word " * 1999, "🇩🇪👩‍🚀"]
)
def test_odd_prompts_paint_something(model: LatentFlow, prompt: str) -> None:
    picture = model(model.sample_latents(1, rng=generator(0)), Condition(prompts=[prompt]), options=Options(steps=1))
    assert picture.isfinite().all()


def test_a_prompt_that_is_too_long_is_refused(model: LatentFlow) -> None:
    with pytest.raises(SettingsError, match="10,000"):
        model(model.sample_latents(1), Condition(prompts=["a" * 10_001]))


def test_wrong_rows_and_latents_are_refused(model: LatentFlow) -> None:
    with pytest.raises(SettingsError, match="3 rows of prompts for 2 pictures"):
        model(model.sample_latents(2), Condition(prompts=["a", "b", "c"]))
    with pytest.raises(SettingsError, match=r"latents are \[2, 7\], expected \[n, 4, 4, 4\]"):
        model(torch.randn(2, 7))


def test_words_never_trained_on_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    model = ZOO.create("latent_flow", **TINY)
    assert isinstance(model, LatentFlow)
    model.learn_words(["a red apple", "Lion, 3D"])
    assert model.unknown_words(["a 3d lion, zorkmid", "red ZORKMID apple"]) == ("zorkmid",)
    with caplog.at_level(logging.WARNING):
        model.embed(Condition(prompts=["red lion"]))
        assert not caplog.records
        model.embed(Condition(prompts=["red zorkmid"]))
    assert "zorkmid" in caplog.text


def test_resolution_and_heads_must_divide() -> None:
    for settings, message in (({"resolution": 48}, "multiple of 32"), ({"heads": 3}, "multiple of heads")):
        with pytest.raises(SettingsError, match=message):
            ZOO.create("latent_flow", **{**TINY, **settings})


@pytest.mark.parametrize(("six_bits", "largest"), [((), 127), (("transformer", "text", "autoencoder"), 31)])
def test_packed_weights_load_to_within_half_a_step_of_each_row(
    model: LatentFlow, tmp_path: Path, six_bits: tuple[str, ...], largest: int
) -> None:
    whole = model.own_state()
    packed = pack(whole, six_bits=six_bits)
    save_file(packed, tmp_path / "packed.safetensors")
    loaded = ZOO.create("latent_flow", **{**TINY, "weights": tmp_path / "packed.safetensors"})
    for name, tensor in loaded.own_state().items():
        if name + ".scale" in packed:
            step = whole[name].flatten(1).abs().amax(dim=1) / largest
            error = (tensor - whole[name]).flatten(1).abs().amax(dim=1)
            assert (error <= 0.501 * step).all(), name
        else:
            torch.testing.assert_close(tensor.float(), whole[name].float(), rtol=1e-3, atol=1e-4)
    bytes_each = packed["transformer.draft.second.weight"].nbytes / whole["transformer.draft.second.weight"].numel()
    assert bytes_each == (0.75 if six_bits else 1)


def test_weights_may_be_in_several_files_but_no_tensor_in_two(model: LatentFlow, tmp_path: Path) -> None:
    whole = model.own_state()
    parts = {
        "autoencoder": {name: tensor for name, tensor in whole.items() if name.startswith("autoencoder")},
        "flow": {name: tensor for name, tensor in whole.items() if not name.startswith("autoencoder")},
    }
    paths = {part: tmp_path / f"{part}.safetensors" for part in parts}
    for part, tensors in parts.items():
        save_file(tensors, paths[part])
    fresh = ZOO.create("latent_flow", **TINY)
    fresh.load_weights(paths, device=torch.device("cpu"), dtype=torch.float32)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in fresh.own_state().items())
    with pytest.raises(ModelError, match="another file of these weights"):
        fresh.load_weights({**paths, "again": paths["flow"]}, device=torch.device("cpu"), dtype=torch.float32)
