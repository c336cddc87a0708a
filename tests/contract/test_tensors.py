"""Weights files are read without running anything they say, and damage is told in one line."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ganart_zoo.contract import Backbone, ModelError
from ganart_zoo.contract.errors import WeightsError, WeightsMissingError
from ganart_zoo.contract.tensors import load_tensors, unwrap_names, weights_format

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "steps": torch.tensor(7), "half": torch.ones(3).half()}


@pytest.fixture(params=["safetensors", "torch", "torch legacy"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"  # no extension is believed
    if request.param == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(OrderedDict(STATE), path, _use_new_zipfile_serialization=request.param == "torch")
    return path


def test_all_formats_give_the_same_tensors(saved: Path) -> None:
    loaded = load_tensors(saved)
    assert loaded.keys() == STATE.keys()
    for name, tensor in STATE.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)
        assert loaded[name].device.type == "cpu"


def test_parameters_come_back_as_plain_tensors(tmp_path: Path) -> None:
    torch.save({"weight": torch.nn.Parameter(torch.ones(2))}, tmp_path / "net.pt")
    (tensor,) = load_tensors(tmp_path / "net.pt", "torch").values()
    assert type(tensor) is torch.Tensor
    assert not tensor.requires_grad


def test_another_format_than_declared_is_refused(saved: Path) -> None:
    found = weights_format(saved)
    wrong = {"safetensors": "torch", "torch": "safetensors"}[found]
    with pytest.raises(WeightsError, match=f"is a {found} file, expected {wrong}$"):
        load_tensors(saved, wrong)
    with pytest.raises(WeightsError, match="'onnx', expected one of safetensors, torch"):
        load_tensors(saved, "onnx")


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (witness,)

    torch.save({"weight": Trap()}, tmp_path / "new.pt")
    torch.save({"weight": Trap()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("new.pt", "old.pt", "bare.pt"):
        with pytest.raises(WeightsError, match="refused") as caught:
            load_tensors(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not witness.exists()


@pytest.mark.parametrize("keep", [0, 5, 9, 40, 150, -1])
def test_a_truncated_file_is_one_clear_line(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=str(saved)) as caught:
        load_tensors(saved)
    assert "\n" not in str(caught.value)


def test_a_safetensors_header_that_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(STATE, path)
    path.write_bytes(b"\xff" * 7 + b"\x7f" + path.read_bytes()[8:])
    with pytest.raises(WeightsError, match="damaged safetensors"):
        load_tensors(path)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"weights": {"weight": [1.0]}, "epoch": 3}, "no tensors under 'weights', 'epoch'$"),
        ([torch.ones(1)], "holds a list"),
        ({0: torch.ones(1)}, "no tensors under 0$"),
    ],
)
def test_other_than_a_flat_state_dict_is_refused(tmp_path: Path, value: Any, reason: str) -> None:
    torch.save(value, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=reason):
        load_tensors(tmp_path / "net.pt")


def test_no_file_and_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="does not exist"):
        load_tensors(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match="cannot read"):
        load_tensors(tmp_path)
    for text, what in (
        ("hello world", "neither"),
        ("<!DOCTYPE html>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
    ):
        (tmp_path / "page.safetensors").write_text(text)
        with pytest.raises(WeightsError, match=what):
            load_tensors(tmp_path / "page.safetensors")


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_said_to_be_code(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="is a TorchScript archive, which holds code; save its state dict"):
        load_tensors(tmp_path / "net.pt")


class Net(Backbone):
    """Two layers, of which one has a name that wrappers use too."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3)
        self.rest = torch.nn.Sequential(torch.nn.Linear(4, 2))


def wrapped(kind: str, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a net as it is saved from inside a wrapper."""
    if kind == "compiled in part":
        return {name.replace("rest.0", "rest.0._orig_mod"): value for name, value in net.state_dict().items()}
    if kind == "averaged":
        return torch.optim.swa_utils.AveragedModel(net).state_dict()
    return {f"{kind}{name}": value for name, value in net.state_dict().items()}


@pytest.mark.parametrize(
    "kind",
    [
        *("", "module.", "_orig_mod.", "module._orig_mod.", "generator.", "ema.module.", "compiled in part"),
        *("averaged", "_fsdp_wrapped_module.", "_forward_module.module."),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_names_lose_the_prefixes_of_wrappers(kind: str, suffix: str, tmp_path: Path) -> None:
    saved, loaded = Net(), Net()
    path = tmp_path / f"net.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(wrapped(kind, saved), path)
    loaded.load_weights({"model": path}, device=torch.device("cpu"), dtype=torch.float32)
    for one, other in zip(saved.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_model_may_use_the_name_of_a_wrapper_itself() -> None:
    state = {"module.weight": torch.ones(1), "module.bias": torch.ones(1)}
    assert unwrap_names(state, state) == state


def test_no_two_tensors_get_one_name() -> None:
    state = {"module.a": torch.ones(1), "a": torch.zeros(1)}
    assert unwrap_names(state, ["a"]) == state


def test_what_does_not_fit_is_named_as_in_the_file_less_the_wrapper(tmp_path: Path) -> None:
    state = wrapped("module.", Net())
    del state["module.rest.0.bias"]
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"missing 'rest\.0\.bias'$"):
        Net().load_weights({"model": tmp_path / "net.pt"}, device=torch.device("cpu"), dtype=torch.float32)


def test_a_file_of_several_networks_says_where_this_one_is(tmp_path: Path) -> None:
    torch.save({**wrapped("generator.", Net()), **wrapped("critic.", torch.nn.Linear(3, 1))}, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"several networks, and what this one expects is under 'generator\.'; save"):
        Net().load_weights({"model": tmp_path / "net.pt"}, device=torch.device("cpu"), dtype=torch.float32)


def test_state_dicts_may_lie_deeper_in_a_checkpoint(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 1, "optimizer": optimizer, "ema": {"decay": 0.9, "shadow": STATE}}, tmp_path / "all.pt")
    assert load_tensors(tmp_path / "all.pt").keys() == STATE.keys()
    torch.save({"model": {"g": STATE, "d": STATE}}, tmp_path / "all.pt")
    with pytest.raises(WeightsError, match=r"'model'\.'g', 'model'\.'d'.*\['model'\]\['g'\], 'weights\.pt'"):
        load_tensors(tmp_path / "all.pt")


@pytest.mark.parametrize("key", ["state_dict", "g_ema", "params"])
def test_the_only_state_dict_of_a_checkpoint_is_taken(key: str, tmp_path: Path) -> None:
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({key: OrderedDict(STATE), "epoch": 3, "optimizer": optimizer, "empty": {}}, tmp_path / "all.pt")
    assert load_tensors(tmp_path / "all.pt").keys() == STATE.keys()


def test_a_checkpoint_of_several_state_dicts_names_them(tmp_path: Path) -> None:
    torch.save({"g": STATE, "d": STATE, "g_ema": STATE}, tmp_path / "all.pt")
    with pytest.raises(WeightsError, match=r"several state dicts: 'g', 'd', 'g_ema'; save the one you need"):
        load_tensors(tmp_path / "all.pt")
