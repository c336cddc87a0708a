"""A run folder says how to build its networks, and a damaged one says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, Provenance, SettingsError
from ganart_zoo.registry.runs import describe_parts, read_part

MADE = Provenance(
    "ganart-dcgan/dcgan",
    "0.1.0",
    config={"resolution": 64},
    uses={"backbone": Provenance("ganart-backbones/vgg16", "0.1.0", weights="imagenet", files={"model": "0" * 64})},
)


def write(run: Path, text: str) -> Path:
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(text)
    return run


def test_what_is_described_is_read_again(tmp_path: Path) -> None:
    run = write(tmp_path, json.dumps(describe_parts({"generator": MADE})))
    part = read_part(run, "generator")
    assert part.provenance == MADE
    assert part.file == run / "generator.safetensors"
    assert part.provenance.uses_settings() == {"backbone": {"model": "ganart-backbones/vgg16", "weights": "imagenet"}}


def test_a_model_of_a_run_is_made_again_from_the_run() -> None:
    of_a_run = Provenance("ganart-dcgan/dcgan", "0.1.0", config={"resolution": 64}, weights="/runs/7", part="critic")
    assert of_a_run.to_settings() == {"model": Path("/runs/7"), "part": "critic"}


def test_a_hand_built_part_must_be_given(tmp_path: Path) -> None:
    by_hand = Provenance("a/b", "1", uses={"backbone": None, "other": MADE})
    with pytest.raises(ModelError, match="backbone of a/b was built by hand; pass it as a live model"):
        by_hand.uses_settings()
    assert set(by_hand.uses_settings({"backbone"})) == {"other"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a run's config: JSONDecodeError"),
        ("[]", "cannot be read as a run's config"),
        ("{}", "cannot be read as a run's config: KeyError: 'format'"),
        ('{"format": 1}', "cannot be read as a run's config: KeyError: 'parts'"),
        ('{"format": 1, "parts": ["generator"]}', "cannot be read as a run's config"),
        ('{"format": 1, "parts": {"generator": null}}', "cannot be read as a run's config"),
        ('{"format": 1, "parts": {"generator": {"version": "1"}}}', "cannot be read as a run's config"),
        ('{"format": 9, "parts": "of another kind"}', "has format 9, expected 1; another version wrote it"),
        ('{"format": 1, "parts": {}}', "has no part 'generator'; it has none"),
        ('{"format": 1, "parts": {"critic": {"model": "a/b", "version": "1"}}}', "no part 'generator'; it has critic"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Zoo(plugins=[]).create(write(tmp_path, text))
    assert str(tmp_path) in str(caught.value)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        read_part(tmp_path / "absent", "generator")
    with pytest.raises(ModelError, match=r"has no config\.json, so it is not a run"):
        read_part(tmp_path, "generator")
    with pytest.raises(SettingsError, match=r"weights is None, but the run .* has its own"):
        Zoo(plugins=[]).create(tmp_path, weights=None)
