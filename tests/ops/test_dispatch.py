"""Choosing between native kernels and references: modes, the one loud fallback, plugins' own ops, status."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from ganart_zoo import native, ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops import dispatch


def double_it(x: Tensor) -> Tensor:
    return x * 2


@pytest.fixture(autouse=True)
def auto_mode_and_own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "_registered", {})
    monkeypatch.setattr(dispatch, "_said", set())
    with ops.use("auto"):
        yield


@pytest.fixture
def registered() -> Iterator[torch.library.Library]:
    """A namespace of registered ops, as a plugin's library would leave it."""
    with torch.library._scoped_library("dispatch_test", "DEF") as library:
        library.define("double_it(Tensor x) -> Tensor")
        library.impl("double_it", lambda x: x + x, "CPU")
        yield library


@pytest.fixture
def loadable() -> Path:
    """A library that loads but registers nothing of the test's."""
    path = native.ops_library()
    if path is None:
        pytest.skip(native.why_not_built())
    return path


def test_fallback_is_said_once_with_its_reason() -> None:
    op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=None, missing="left at home")
    with pytest.warns(ops.FallbackWarning, match="dispatch_test::double_it runs as plain PyTorch: left at home"):
        assert op(torch.ones(2)).tolist() == [2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert op(torch.ones(2)).tolist() == [2, 2]


def test_reference_mode_is_silent_and_native_mode_raises() -> None:
    op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=None, missing="left at home")
    with ops.use("reference"):
        assert op(torch.ones(2)).tolist() == [2, 2]
    with ops.use("native"), pytest.raises(ops.NativeUnavailableError, match=r"left at home.*ops\.use"):
        op(torch.ones(2))


def test_library_that_does_not_load_is_a_reason_not_an_error(tmp_path) -> None:
    broken = tmp_path / "_ops.so"
    for library in (broken, tmp_path / "absent.so"):
        broken.write_text("not an object file")
        op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=library)
        assert not op.loaded
        assert str(library) in op.status("cpu").reason
        assert "\n" not in op.status("cpu").reason


def test_library_without_the_op_says_so(loadable) -> None:
    op = ops.NativeOp("dispatch_test::absent", reference=double_it, library=loadable)
    assert op.status("cpu").implementation == "reference"
    assert "registers no op dispatch_test::absent" in op.status("cpu").reason


def test_plugins_op_runs_natively_where_it_has_a_kernel(registered, loadable) -> None:
    op = ops.NativeOp("dispatch_test::double_it", reference=lambda x: x * 0, library=loadable)
    assert op.loaded
    assert op(torch.ones(2)).tolist() == [2, 2]
    with ops.use("reference"):
        assert op(torch.ones(2)).tolist() == [0, 0]
    assert op.status("cpu") == ops.OpStatus("dispatch_test::double_it", "cpu", "native", "")
    assert op.status("cuda").reason == "built without a kernel for cuda"


def test_autograd_is_entered_only_where_something_is_differentiated(registered, loadable) -> None:
    entered = []

    def setup(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        entered.append(inputs)

    torch.library.register_autograd(
        "dispatch_test::double_it", lambda ctx, grad: grad * 2, setup_context=setup, lib=registered
    )
    op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=loadable)
    x = torch.ones(2, requires_grad=True)
    for undifferentiated in (op(x.detach()), torch.no_grad()(op)(x)):
        assert not undifferentiated.requires_grad
    assert entered == []
    (gradient,) = torch.autograd.grad(op(x).sum(), x)
    assert gradient.tolist() == [2, 2]
    assert len(entered) == 1


def test_dtype_without_a_kernel_falls_back(registered, loadable) -> None:
    op = ops.NativeOp(
        "dispatch_test::double_it", reference=double_it, library=loadable, dtypes={"cpu": {torch.float32}}
    )
    assert op(torch.ones(2)).tolist() == [2, 2]
    with pytest.warns(ops.FallbackWarning, match=r"no kernel for torch\.float16 on cpu"):
        assert op(torch.ones(2).half()).tolist() == [2, 2]


def test_a_library_built_without_a_device_says_so_though_its_op_could_have_it(registered, loadable) -> None:
    dtypes = {"cpu": {torch.float32}, "cuda": {torch.float32}}
    op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=loadable, dtypes=dtypes)
    assert op.status("cpu").implementation == "native"
    assert op.status("cuda").reason == "built without a kernel for cuda"


@pytest.mark.parametrize("compiled_mode", ["auto", "reference"])
def test_compiled_code_follows_the_mode(registered, loadable, compiled_mode) -> None:
    op = ops.NativeOp("dispatch_test::double_it", reference=lambda x: x * 0, library=loadable)
    torch.library.register_fake("dispatch_test::double_it", torch.empty_like, lib=registered)
    compiled = torch.compile(lambda x: op(x) + 1, fullgraph=True, backend="eager")
    with ops.use(compiled_mode):
        compiled(torch.ones(1))
    assert compiled(torch.ones(1)).item() == 3
    with ops.use("reference"):
        assert compiled(torch.ones(1)).item() == 1


def test_compiled_code_falls_back_whole_and_says_so(registered, loadable) -> None:
    op = ops.NativeOp(
        "dispatch_test::double_it", reference=double_it, library=loadable, dtypes={"cpu": {torch.float32}}
    )
    compiled = torch.compile(lambda x: op(x) + 1, fullgraph=True, backend="eager")
    with pytest.warns(ops.FallbackWarning, match=r"no kernel for torch\.float16 on cpu"):
        assert compiled(torch.ones(1).half()).item() == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(torch.ones(1).half()).item() == 3


def test_compiled_code_compiles_once(registered, loadable) -> None:
    op = ops.NativeOp("dispatch_test::double_it", reference=double_it, library=loadable)
    torch.library.register_fake("dispatch_test::double_it", torch.empty_like, lib=registered)
    counter = CompileCounter()
    compiled = torch.compile(lambda x: op(x) + 1, fullgraph=True, backend=counter)
    for _ in range(3):
        assert compiled(torch.ones(1)).item() == 3
    assert counter.frame_count == 1


def test_use_lasts_until_the_block_ends_or_for_good() -> None:
    with ops.use("reference"):
        with ops.use("native"):
            assert dispatch._switch.mode == "native"
        assert dispatch._switch.mode == "reference"
    assert dispatch._switch.mode == "auto"
    ops.use("reference")
    assert dispatch._switch.mode == "reference"


def test_unknown_mode_changes_nothing_and_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'nativ'.*auto, native, reference; did you mean 'native'"):
        ops.use("nativ")
    assert dispatch._switch.mode == "auto"


@pytest.mark.parametrize("name", ["double_it", "::double_it", "mine::", "my-plugin::double_it"])
def test_name_must_carry_its_namespace(name) -> None:
    with pytest.raises(SettingsError, match="<module>::<op>"):
        ops.NativeOp(name, reference=double_it, library=None)


def test_status_lists_every_op() -> None:
    ops.NativeOp("dispatch_test::one", reference=double_it, library=None, missing="no")
    ops.NativeOp("dispatch_test::two", reference=double_it, library=None, missing="no")
    assert [(s.op, s.implementation, s.reason) for s in ops.status() if s.device == "cpu"] == [
        ("dispatch_test::one", "reference", "no"),
        ("dispatch_test::two", "reference", "no"),
    ]
    with ops.use("reference"):
        assert {s.reason for s in ops.status()} == {"reference was asked for"}


def test_environment_chooses_the_mode_and_a_wrong_one_is_refused() -> None:
    code = "from ganart_zoo import ops; print({s.reason for s in ops.status()})"
    done = {
        mode: subprocess.run(
            [sys.executable, "-c", code], env={"GANART_OPS": mode}, capture_output=True, text=True, cwd=Path.cwd()
        )
        for mode in ("reference", "fast")
    }
    assert "{'reference was asked for'}" in done["reference"].stdout
    assert "GANART_OPS got 'fast'; expected one of auto, native, reference" in done["fast"].stderr


def test_constants_are_marked_for_the_compiler_as_torch_marks_them() -> None:
    ours, torchs = (lambda: None), (lambda: None)
    dispatch.constant_when_compiled(ours)
    torch.compiler.assume_constant_result(torchs)
    assert vars(ours) == vars(torchs) != {}
