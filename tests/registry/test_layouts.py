"""Weights folders in another library's layout: what is taken, from disk and from the hub, and what never is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from ganart_zoo.contract import ModelSpec, SettingsError, WeightsError, WeightsMissingError
from ganart_zoo.registry.layouts import layout_names
from ganart_zoo.registry.weights import WeightsStore

COMMIT = "b" * 40
REFERENCE = f"hub:artist/brush@{COMMIT}"
TENSORS = save({"weight": torch.arange(4.0)})
SPEC = ModelSpec(
    name="net",
    kind="generator",
    summary="A net.",
    license="MIT",
    factory="mine.model:Net",
    folder=("index.json", "*/*.safetensors", "*/*.json", "tokenizer/*.txt"),
)
FILES = {
    "index.json": b"{}",
    "unet/model.safetensors": TENSORS,
    "unet/model.fp16.safetensors": TENSORS,
    "unet/config.json": b'{"not": "a setting of the model"}',
    "vae/model.fp16.safetensors": TENSORS,
    "tokenizer/vocab.txt": b"a",
    "whole.safetensors": TENSORS,
    "unet/model.bin": b"\x80 a pickle",
    "unet/code.py": b"raise SystemExit",
    "unet/deep/model.safetensors": TENSORS,
}
TAKEN = [
    "index.json",
    "tokenizer/vocab.txt",
    "unet/config.json",
    "unet/model.safetensors",
    "vae/model.fp16.safetensors",
]


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "home", offline=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(body)
    return tmp_path / "folder"


@pytest.fixture
def hub(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    siblings = [{"rfilename": name, "size": len(body)} for name, body in FILES.items()]
    siblings.append({"rfilename": "unet/../../escape.json"})
    listing = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
    server.serve(f"/api/models/artist/brush/revision/{COMMIT}?blobs=true", listing)
    for name, body in FILES.items():
        server.serve(f"/artist/brush/resolve/{COMMIT}/{name}", body)
    return server


def test_a_folder_gives_the_files_of_the_layout_by_relative_path(store: WeightsStore, folder: Path) -> None:
    resolved = store.resolve(folder, SPEC, owner="dist/net", fetch=False)
    assert resolved.files == {name: folder / name for name in TAKEN}
    assert resolved.sha256 == {name: hashlib.sha256(FILES[name]).hexdigest() for name in TAKEN}
    assert resolved.config == {}
    assert resolved.source == str(folder)
    assert not resolved.verified


def test_the_hub_gives_the_same_files_and_needs_no_network_again(store: WeightsStore, hub: Any) -> None:
    resolved = store.resolve(REFERENCE, SPEC, owner="dist/net", fetch=True)
    assert list(resolved.files) == TAKEN
    assert {name: path.read_bytes() for name, path in resolved.files.items()} == {name: FILES[name] for name in TAKEN}
    assert len(hub.requests) == 1 + len(TAKEN)
    assert store.resolve(REFERENCE, SPEC, owner="dist/net", fetch=False) == resolved
    assert WeightsStore(store.home, offline=True).resolve(REFERENCE, SPEC, owner="dist/net", fetch=False) == resolved
    assert len(hub.requests) == 1 + len(TAKEN)


def test_models_of_other_layouts_keep_a_commit_of_their_own(store: WeightsStore, hub: Any) -> None:
    store.resolve(REFERENCE, SPEC, owner="dist/net", fetch=True)
    plain = replace(SPEC, folder=())
    with pytest.raises(WeightsMissingError):
        store.resolve(REFERENCE, plain, owner="dist/net", fetch=False)
    assert list(store.resolve(REFERENCE, plain, owner="dist/net", fetch=True).files) == ["model"]


def test_what_cannot_be_loaded_is_refused_with_the_layout(store: WeightsStore, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"pass weights=FOLDER, with index.json .* or weights=hub:org/name"):
        store.resolve("default", SPEC, owner="dist/net", fetch=False)
    with pytest.raises(SettingsError, match="takes a folder of weights"):
        store.resolve(folder / "whole.safetensors", SPEC, owner="dist/net", fetch=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds no \*/\*\.safetensors; only safetensors are read"):
        store.resolve(tmp_path / "empty", SPEC, owner="dist/net", fetch=False)


@pytest.mark.parametrize("pattern", ["*.bin", "*.py", "/etc/*.json", "../*.json", 3])
def test_patterns_of_code_pickles_and_other_folders_are_no_declaration(pattern: Any) -> None:
    (problem,) = replace(SPEC, folder=(pattern,)).problems()
    assert repr(pattern) in problem


def test_names_are_matched_part_by_part() -> None:
    names = ["a.json", "x/a.json", "x/y/a.json", "x/.hidden.json", "../a.json", "x//a.json", "x/a.jsonl"]
    assert layout_names(names, ["*/*.json"]) == ["x/a.json"]
    shards = ["m/w.fp16-00001-of-2.safetensors", "m/w-00001-of-2.safetensors", "m/w.fp16-00002-of-2.safetensors"]
    assert layout_names(shards, ["m/*.safetensors"]) == [
        "m/w-00001-of-2.safetensors",
        "m/w.fp16-00002-of-2.safetensors",
    ]
