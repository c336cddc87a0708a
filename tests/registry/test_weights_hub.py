"""The hub door, against a local endpoint that answers as the Hugging Face Hub does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from ganart_zoo.contract.errors import OfflineError, SettingsError, WeightsError, WeightsMissingError
from ganart_zoo.contract.spec import ModelSpec
from ganart_zoo.registry.weights import ResolvedWeights, WeightsStore

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFERENCE = f"hub:artist/brush@{COMMIT}"
LISTING = f"/api/models/artist/brush/revision/{COMMIT}?blobs=true"
SPEC = ModelSpec(name="net", kind="generator", summary="A net.", license="MIT", factory="mine.model:Net")
TENSORS = save({"weight": torch.arange(4.0)})
FILES = {
    "model.safetensors": TENSORS,
    "config.json": b'{"width": 8}',
    "pytorch_model.bin": b"\x80 a pickle",
    "modeling_brush.py": b"raise SystemExit",
    "nested/other.safetensors": TENSORS,
    "../escape.safetensors": TENSORS,
}


def resolve_path(name: str) -> str:
    return f"/artist/brush/resolve/{COMMIT}/{name}"


@pytest.fixture
def hub(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The endpoint: as on the real one, large files redirect to another path."""
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    siblings = []
    for name, body in FILES.items():
        sibling: dict[str, Any] = {"rfilename": name, "size": len(body)}
        if name.endswith(".safetensors"):
            sibling["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
            server.serve(resolve_path(name), status=302, location=f"/cdn/{name}")
            server.serve(f"/cdn/{name}", body)
        else:
            server.serve(resolve_path(name), body)
        siblings.append(sibling)
    server.serve(LISTING, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
    return server


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "home", offline=False)


def resolve(store: WeightsStore, weights: str = REFERENCE, *, fetch: bool = True) -> ResolvedWeights:
    return store.resolve(weights, SPEC, owner="dist/net", fetch=fetch)


def test_only_safetensors_and_config_are_taken_and_their_hashes_recorded(store: WeightsStore, hub: Any) -> None:
    resolved = resolve(store)
    assert resolved.files["model"].read_bytes() == TENSORS
    assert resolved.sha256 == {"model": hashlib.sha256(TENSORS).hexdigest()}
    assert resolved.config == {"width": 8}
    assert resolved.source == REFERENCE
    assert not resolved.verified
    taken = {path for path, _ in hub.requests}
    assert taken == {LISTING, resolve_path("model.safetensors"), "/cdn/model.safetensors", resolve_path("config.json")}


def test_a_fetched_snapshot_needs_no_network(store: WeightsStore, hub: Any) -> None:
    first = resolve(store)
    asked = len(hub.requests)
    assert resolve(store, fetch=False) == first
    assert resolve(WeightsStore(store.home, offline=True)) == first
    assert len(hub.requests) == asked


def test_an_unfinished_snapshot_is_not_used(store: WeightsStore, hub: Any) -> None:
    config = hub.pages.pop(resolve_path("config.json"))
    with pytest.raises(WeightsError, match=r"config\.json: HTTP 404"):
        resolve(store)
    with pytest.raises(WeightsMissingError):
        resolve(store, fetch=False)
    hub.pages[resolve_path("config.json")] = config
    assert resolve(store).config == {"width": 8}
    assert len(hub.seen("/cdn/model.safetensors")) == 1


def test_without_fetch_or_network_the_message_says_what_to_do(store: WeightsStore, hub: Any) -> None:
    with pytest.raises(WeightsMissingError) as caught:
        resolve(store, fetch=False)
    assert str(caught.value).endswith(f"ganart weights fetch dist/net --weights {REFERENCE}")
    with pytest.raises(OfflineError, match="GANART_OFFLINE"):
        resolve(WeightsStore(store.home, offline=True))
    assert hub.requests == []


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ("hub:artist/brush", "no commit is given"),
        ("hub:artist/brush@main", "the content of 'main' can change"),
        (f"hub:artist/brush@{COMMIT[:12]}", "all 40 hex digits"),
        (f"hub:brush@{COMMIT}", "expected hub:org/name@<commit>"),
        (f"hub:../brush@{COMMIT}", "expected hub:org/name@<commit>"),
        (f"hub:artist/brush/../x@{COMMIT}", "expected hub:org/name@<commit>"),
    ],
)
def test_an_unpinned_or_malformed_reference_is_refused(
    store: WeightsStore, hub: Any, weights: str, reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        resolve(store, weights)
    assert hub.requests == []


def test_bytes_other_than_the_hub_states_are_refused(store: WeightsStore, hub: Any) -> None:
    wrong = TENSORS[:-1] + b"?"
    hub.serve("/cdn/model.safetensors", wrong)
    with pytest.raises(WeightsError, match=hashlib.sha256(wrong).hexdigest()):
        resolve(store)
    assert not list(store.home.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"not json", "Expecting value"),
        (b"[]", "lists no files"),
        (json.dumps({"sha": "f" * 40, "siblings": []}).encode(), "about commit ffff"),
        (json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "model.bin"}]}).encode(), r"no \*\.safetensors"),
    ],
)
def test_a_strange_listing_is_refused(store: WeightsStore, hub: Any, answer: bytes, reason: str) -> None:
    hub.serve(LISTING, answer)
    with pytest.raises(WeightsError, match=reason):
        resolve(store)


def test_an_unknown_repository_is_one_line(store: WeightsStore, hub: Any) -> None:
    hub.serve(LISTING, b'{"error": "Repository not found"}', status=401)
    with pytest.raises(WeightsError, match=r"HTTP 401[^\n]*$"):
        resolve(store)
