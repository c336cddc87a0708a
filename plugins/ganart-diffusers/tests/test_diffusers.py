"""Pipelines of diffusers on tiny random networks written to disk: the contract, agreement with diffusers, refusals."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ganart_diffusers
import pytest
import torch
from diffusers import AutoPipelineForText2Image
from ganart_diffusers.generator import Diffusion
from tiny_diffusers import BUILDERS, write_tiny

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


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {family: tmp_path_factory.mktemp(family) for family in BUILDERS}
    for family, folder in found.items():
        write_tiny(family, folder)
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


@pytest.mark.parametrize("family", BUILDERS)
def test_pictures_are_those_of_diffusers(folders: dict[str, Path], family: str) -> None:
    model = create(folders, family)
    latents = model.sample_latents(2, rng=generator(0))
    prompts = ["a red square", "a lion"]
    pipeline = AutoPipelineForText2Image.from_pretrained(folders[family])
    pipeline.set_progress_bar_config(disable=True)
    side = 16
    takes = inspect.signature(pipeline.__call__).parameters
    plain = {name: False for name in ("use_resolution_binning", "clean_caption") if name in takes}
    expected = pipeline(
        prompts,
        **plain,
        height=side,
        width=side,
        num_inference_steps=3,
        guidance_scale=4.0,
        latents=latents,
        output_type="pt",
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


@pytest.mark.parametrize("family", [*FAMILIES, "sdxl"])
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


def test_a_pipeline_that_cannot_start_from_a_picture_says_so(folders: dict[str, Path]) -> None:
    model = create(folders, "pixart")
    latents = model.sample_latents(1, rng=generator(0))
    with pytest.raises(SettingsError, match="PixArtAlphaPipeline cannot start from a picture; leave out init"):
        model(latents, PROMPT, options=options(), init=torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("family", BUILDERS)
def test_threads_that_share_a_model_get_what_one_gets(folders: dict[str, Path], family: str) -> None:
    model = create(folders, family)
    calls = [(seed, prompt, steps) for seed, (prompt, steps) in enumerate([("a lion", 3), ("a red square", 2)] * 3)]

    def paint(call: tuple[int, str, int]) -> torch.Tensor:
        seed, prompt, steps = call
        latents = model.sample_latents(1, rng=generator(seed))
        return model(latents, Condition(prompts=(prompt,)), rng=generator(seed), options=options(steps=steps))

    alone = [paint(call) for call in calls]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(paint, calls))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


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
