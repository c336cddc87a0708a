"""Pipelines of diffusers on tiny random networks written to disk: the contract, agreement with diffusers, refusals."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ganart_diffusers
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoPipelineForText2Image,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from ganart_diffusers.generator import Diffusion
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from ganart_zoo import Zoo
from ganart_zoo.contract import (
    Condition,
    ImageError,
    ModelError,
    SettingsError,
    StepEvent,
    WeightsError,
    WeightsMissingError,
    generator,
)
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_diffusers])
FAMILIES = ("stable", "flux")
PROMPT = Condition(prompts=("a red square",))


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


def tokenizer() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<unk>", "<end>"], initial_alphabet=alphabet)
    made.train_from_iterator(["a red square", "a green circle", "a lion"], trainer)
    made.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", eos_token="<end>", model_max_length=16
    )


def clip_text() -> CLIPTextModel:
    config = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=400,
        max_position_embeddings=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return CLIPTextModel(config)


def autoencoder(channels: int, **settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 16],
        norm_num_groups=4,
        latent_channels=channels,
        **settings,
    )


def stable() -> Any:
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        block_out_channels=[8, 16],
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae=autoencoder(4),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def flux() -> Any:
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
    )
    t5 = T5Config(
        d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, vocab_size=400, pad_token_id=0, eos_token_id=2
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(4, shift_factor=0.1, scaling_factor=0.4, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=tokenizer(),
        transformer=transformer,
    )


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    found = {}
    for family, build in (("stable", stable), ("flux", flux)):
        found[family] = tmp_path_factory.mktemp(family)
        build().save_pretrained(found[family], safe_serialization=True)
    return found


def settings(folders: dict[str, Path], family: str) -> dict[str, Any]:
    resolution = {"resolution": 16} if family == "flux" else {}
    return {"weights": str(folders[family]), "architecture": str(folders[family]), **resolution}


def create(folders: dict[str, Path], family: str, **changes: Any) -> Diffusion:
    model = ZOO.create("diffusion", **{**settings(folders, family), **changes})
    assert isinstance(model, Diffusion)
    return model


def options(**chosen: Any) -> Any:
    return ZOO.options("diffusion", **{"steps": 2, **chosen})


CHECKS = checks_for(Subject(ZOO, "diffusion", settings={"weights": None}))


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
@pytest.mark.parametrize("family", FAMILIES)
def test_conformance(folders: dict[str, Path], family: str, check: Check) -> None:
    check(Subject(ZOO, "diffusion", settings=settings(folders, family), options={"steps": 2}, condition=PROMPT))


def test_declaring_imports_no_heavy_package() -> None:
    code = "import sys, ganart_diffusers as p; p.ganart_models(); print({'torch', 'diffusers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_those_of_diffusers(folders: dict[str, Path], family: str) -> None:
    model = create(folders, family)
    latents = model.sample_latents(2, rng=generator(0))
    prompts = ["a red square", "a lion"]
    pipeline = AutoPipelineForText2Image.from_pretrained(folders[family])
    pipeline.set_progress_bar_config(disable=True)
    side = 16
    expected = pipeline(
        prompts, height=side, width=side, num_inference_steps=3, guidance_scale=4.0, latents=latents, output_type="pt"
    ).images
    pictures = model(latents, Condition(prompts=prompts), options=options(steps=3, guidance=4.0))
    torch.testing.assert_close(pictures.clamp(0, 1), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_and_negative_prompts_count(folders: dict[str, Path], family: str) -> None:
    model = create(folders, family)
    latents = model.sample_latents(1, rng=generator(0)).expand(2, *model.latent_shape)
    one, other = model(latents, Condition(prompts=("a red square", "a green circle")), options=options())
    assert not torch.equal(one, other)
    negative = model(latents, PROMPT, options=options(negative_prompt="a lion"))
    assert not torch.equal(negative[0], one)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers beside numpy 2
def test_schedulers_can_be_chosen(folders: dict[str, Path]) -> None:
    model = create(folders, "stable")
    latents = model.sample_latents(1, rng=generator(0))
    pictures = {
        name: model(latents, PROMPT, rng=generator(1), options=options(scheduler=name, steps=3))
        for name in ("ddim", "euler", "euler_ancestral", "dpm", "unipc", "heun", "lcm")
    }
    assert all(picture.isfinite().all() for picture in pictures.values())
    torch.testing.assert_close(pictures["ddim"], model(latents, PROMPT, options=options(steps=3)))
    assert not torch.equal(pictures["euler"], pictures["euler_ancestral"])
    again = model(latents, PROMPT, rng=generator(1), options=options(scheduler="euler_ancestral", steps=3))
    assert torch.equal(pictures["euler_ancestral"], again)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_to_start_from(folders: dict[str, Path], family: str) -> None:
    model = create(folders, family)
    latents = model.sample_latents(2, rng=generator(0))
    init = torch.rand(1, 3, 20, 30)
    slight, strong = (
        model(latents, PROMPT, rng=generator(1), options=options(steps=4, strength=s), init=init) for s in (0.25, 1.0)
    )
    assert slight.shape == strong.shape == (2, 3, 16, 16)
    assert not torch.equal(slight, strong)
    again = model(latents, PROMPT, rng=generator(1), options=options(steps=4, strength=0.25), init=init)
    assert torch.equal(slight, again)
    with pytest.raises(ImageError, match=r"expected floating point \[1 or 2, 3, H, W\]"):
        model(latents, PROMPT, options=options(), init=torch.rand(3, 3, 8, 8))


def test_stopping_decodes_the_latents_of_that_step(folders: dict[str, Path]) -> None:
    model = create(folders, "stable")
    latents = model.sample_latents(1, rng=generator(0))
    previews = []

    def listen(event: StepEvent) -> bool:
        previews.append(event.preview())
        assert event.total == 5
        return event.step < 2

    stopped = model(latents, PROMPT, options=options(steps=5), on_step=listen)
    assert len(previews) == 2
    torch.testing.assert_close(stopped.clamp(0, 1), previews[-1])


@pytest.mark.parametrize("setting", ["attention_slicing", "vae_tiling", "offload"])
def test_saving_memory_changes_nothing_else(folders: dict[str, Path], setting: str) -> None:
    plain, saving = create(folders, "stable"), create(folders, "stable", **{setting: True})
    latents = plain.sample_latents(2, rng=generator(0))
    pictures = [model(latents, PROMPT, options=options()) for model in (plain, saving)]
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prompt", ["", "\x00\x1b", "\N{RED APPLE}", "تفاحة", "word " * 2000, "\ud800"])
def test_any_prompt_is_painted(folders: dict[str, Path], prompt: str) -> None:
    model = create(folders, "stable")
    pictures = model(model.sample_latents(1, rng=generator(0)), Condition(prompts=(prompt,)), options=options())
    assert pictures.isfinite().all()


def test_missing_and_wrong_weights_say_what_to_give(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"has no weights of its own; pass weights=FOLDER, with model_index"):
        ZOO.create("diffusion")
    bare = ZOO.create("diffusion", weights=None)
    assert isinstance(bare, Diffusion)
    with pytest.raises(ModelError, match="diffusion has no pipeline; give weights=FOLDER"):
        bare.sample_latents(1)
    with pytest.raises(WeightsError, match=r"holds no \*/\*\.safetensors"):
        ZOO.create("diffusion", weights=str(tmp_path))
    model = create(folders, "stable")
    with pytest.raises(SettingsError, match=r"give Condition\(prompts"):
        model(model.sample_latents(1))
    with pytest.raises(SettingsError, match="resolution"):
        create(folders, "flux", resolution=8 + 2)


def test_code_of_a_repository_is_never_run(folders: dict[str, Path], tmp_path: Path) -> None:
    for path in folders["stable"].rglob("*"):
        target = tmp_path / path.relative_to(folders["stable"])
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Trap: pass\n"
    (tmp_path / "pipeline.py").write_text(trap)
    (tmp_path / "unet" / "trap.py").write_text(trap)
    index = json.loads((tmp_path / "model_index.json").read_text())
    for changes in ({"unet": ["trap", "Trap"]}, {"_class_name": ["pipeline", "Trap"]}):
        (tmp_path / "model_index.json").write_text(json.dumps({**index, **changes}))
        for chosen in ({"weights": str(tmp_path)}, {"weights": None, "architecture": str(tmp_path)}):
            with pytest.raises((WeightsError, ModelError)):
                ZOO.create("diffusion", **chosen)
    assert not (tmp_path / "sprung").exists()
