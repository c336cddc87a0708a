"""CLIP and SigLIP on tiny random networks written to disk: the contract, agreement with transformers, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ganart_clip
import numpy as np
import pytest
import torch
from ganart_clip.critic import Clip
from ganart_clip.preprocessing import Preprocessing
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import SIDE, write_tiny
from transformers import CLIPModel, PreTrainedTokenizerFast, SiglipModel

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, ImageError, ModelError, SettingsError, WeightsError, WeightsMissingError
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_clip])
FAMILIES = ("clip", "siglip")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {family: tmp_path_factory.mktemp(family) for family in FAMILIES}
    for family, folder in found.items():
        write_tiny(family, folder)
    return found


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def clip(**settings: Any) -> Clip:
    model = ZOO.create("clip", **settings)
    assert isinstance(model, Clip)
    return model


def subject(folders: dict[str, Path], family: str, **settings: Any) -> Subject:
    folder = str(folders[family])
    return Subject(
        ZOO,
        "clip",
        settings={"weights": folder, "architecture": folder, **settings},
        condition=Condition(prompts=("a red square",)),
    )


CHECKS = checks_for(Subject(ZOO, "clip"))


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_conformance(folders: dict[str, Path], family: str, check: Check) -> None:
    check(subject(folders, family))


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_conformance_with_crops(folders: dict[str, Path], check: Check) -> None:
    check(subject(folders, "clip", crops=2))


def test_declaring_imports_no_heavy_package() -> None:
    code = (
        "import sys, ganart_clip as p; p.ganart_models(); print({'torch', 'pydantic', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_votes_are_the_logits_of_transformers(folders: dict[str, Path], family: str) -> None:
    folder = folders[family]
    critic = clip(weights=str(folder))
    networks: dict[str, Any] = {"clip": CLIPModel, "siglip": SiglipModel}
    network = networks[family].from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    images = torch.rand(2, 3, SIDE, SIDE)
    prompts = ["a red square", "a lion"]
    tokens = tokenizer(prompts, padding="max_length", max_length=12, return_tensors="pt")
    mean, std = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    if family == "siglip":
        mean = std = [0.5] * 3
        tokens.pop("attention_mask")
    tokens.pop("token_type_ids", None)
    pixels = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = network(pixel_values=pixels, **tokens).logits_per_image.diagonal()
    torch.testing.assert_close(critic.score(images, Condition(prompts=prompts)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 48), (30, 30), (16, 40)])
@pytest.mark.parametrize(("family", "resample"), [("clip", 3), ("siglip", 2)])
def test_preprocessing_agrees_with_pillow(size: tuple[int, int], family: str, resample: int) -> None:
    torch.manual_seed(1)
    low = torch.rand(1, 3, 5, 6)
    smooth = (
        torch.nn.functional.interpolate(low, size=size, mode="bicubic") * 0.5 + 0.25
    )  # Pillow clamps what overshoots
    levels = (smooth[0] * 255).round().byte()
    picture = Image.fromarray(levels.permute(1, 2, 0).numpy())
    if family == "clip":
        short = min(size)
        top, left = (size[0] - short) // 2, (size[1] - short) // 2
        picture = picture.crop((left, top, left + short, top + short))
    scaled = np.asarray(picture.resize((SIDE, SIDE), resample), dtype=np.float32) / 255
    described = {"resample": resample, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.4, 0.3]}
    expected = (torch.from_numpy(scaled) - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.4, 0.3])
    given = Preprocessing.read(described, family, SIDE)(levels[None].float() / 255)
    assert (given[0].permute(1, 2, 0) - expected).abs().max() < 0.02


def test_a_reference_and_a_prompt_are_averaged(folders: dict[str, Path], family: str) -> None:
    critic = clip(weights=str(folders[family]))
    images, reference = torch.rand(3, 3, SIDE, SIDE), torch.rand(1, 3, 40, 30)
    of_text = critic.score(images, Condition(prompts=("a lion",)))
    of_picture = critic.score(images, Condition(images=reference))
    both = critic.score(images, Condition(prompts=("a lion",), images=reference))
    torch.testing.assert_close(both, (of_text + of_picture) / 2, rtol=1e-4, atol=1e-4)
    itself = critic.score(images, Condition(images=images[:1]))
    assert itself.argmax() == 0


def test_crops_vote_beside_the_whole_picture(folders: dict[str, Path]) -> None:
    plain, crops = (clip(weights=str(folders["clip"]), crops=n) for n in (0, 3))
    images, condition = torch.rand(2, 3, 50, 40), Condition(prompts=("a lion",))
    votes = crops(images, condition)
    assert votes.shape == (2, 4)
    torch.testing.assert_close(votes[:, :1], plain(images, condition))
    assert votes.std(dim=1).min() > 0
    other = clip(weights=str(folders["clip"]), crops=3, crop_seed=1)
    assert not torch.allclose(other(images, condition)[:, 1:], votes[:, 1:])


@pytest.mark.parametrize("prompt", ["", "\x00\x1b", "\N{RED APPLE}", "تفاحة", "word " * 2000, "\ud800"])
def test_any_prompt_is_scored(folders: dict[str, Path], family: str, prompt: str) -> None:
    critic = clip(weights=str(folders[family]))
    assert critic.score(torch.rand(2, 3, SIDE, SIDE), Condition(prompts=(prompt,))).isfinite().all()


def test_missing_and_wrong_weights_say_what_to_give(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"clip has no weights of its own; pass weights=FOLDER"):
        clip()
    with pytest.raises(ModelError, match="clip has no network; give weights=FOLDER"):
        clip(weights=None).score(torch.rand(1, 3, 8, 8), Condition(prompts=("a",)))
    tensors = load_file(folders["clip"] / "model-00001-of-00002.safetensors")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        clip(weights=str(tmp_path))
    for path in folders["clip"].glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=r"weights do not fit CLIPModel: .* and \d+ more"):
        clip(weights=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="is of model_type 'bert', expected one of clip, siglip"):
        clip(weights=str(tmp_path))


def test_code_of_a_repository_is_never_run(folders: dict[str, Path], tmp_path: Path) -> None:
    for path in folders["clip"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    described = json.loads((tmp_path / "config.json").read_text())
    described["auto_map"] = {"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"}
    (tmp_path / "config.json").write_text(json.dumps(described))
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Trap: pass\n")
    clip(weights=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_wrong_inputs_are_refused(folders: dict[str, Path]) -> None:
    critic = clip(weights=str(folders["clip"]))
    images = torch.rand(3, 3, SIDE, SIDE)
    with pytest.raises(SettingsError, match=r"give Condition\(prompts=\.\.\.\) or images"):
        critic(images)
    with pytest.raises(SettingsError, match="2 rows for 3 pictures"):
        critic(images, Condition(prompts=("a", "b")))
    with pytest.raises(ImageError, match=r"expected \[n, 3, H, W\]"):
        critic(images[:, :1], Condition(prompts=("a",)))
