"""Export: a run becomes a package, and networks become ONNX that takes pictures of any size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ganart_backbones
import ganart_faststyle
import pytest
import torch
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract import ModelError, SettingsError, Style, generator
from ganart_zoo.registry.runs import describe_parts
from ganart_zoo.tasks.export import export, export_onnx

ZOO = Zoo(plugins=[ganart_faststyle, ganart_backbones])
SHAPE = {"channels": (6, 8, 8), "blocks": 1, "expand": (8, 6), "skips": True}
NAMES = ("calm", "loud", "odd")


def run_of(folder: Path, model: str, **settings) -> Path:
    torch.manual_seed(0)
    stylist = ZOO.create(model, weights=None, **settings)
    with torch.no_grad():
        for name, parameter in stylist.named_parameters():
            if ".norm." in name:
                parameter += torch.rand(parameter.shape, generator=generator(len(name)))
    folder.mkdir()
    described = {**describe_parts({"stylist": stylist.provenance}), "main": "stylist"}
    (folder / "config.json").write_text(json.dumps(described))
    save_file(stylist.own_state(), folder / "stylist.safetensors")
    return folder


def picture(*size: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=generator(seed))


def test_a_run_becomes_a_package_with_its_styles(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", "multistyle", style_names=NAMES, **SHAPE)
    made = export(ZOO, run, tmp_path / "three", license="CC0-1.0", onnx=False)
    assert [str(file.relative_to(made.folder)) for file in made.files] == [
        "README.md",
        "pyproject.toml",
        "src/ganart_three/__init__.py",
        "src/ganart_three/weights/stylist.safetensors",
    ]
    assert "ganart stylize photo.jpg -m three" in (made.folder / "README.md").read_text()
    monkeypatch.syspath_prepend(made.folder / "src")
    import ganart_three

    try:
        (spec,) = ganart_three.ganart_models()
        assert (spec.name, spec.style_names) == ("three", NAMES)
    finally:
        del sys.modules["ganart_three"]
    weights = made.files[3]
    config = spec.weights[0].config
    photo = picture(40, 52)
    wanted = ZOO.create(run).stylize(photo, [Style(name="odd")])
    assert torch.equal(ZOO.create("multistyle", weights=weights, **config).stylize(photo, [Style(name="odd")]), wanted)


def test_onnx_of_multistyle_takes_photos_of_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = run_of(tmp_path / "run", "multistyle", style_names=NAMES, **SHAPE)
    file = tmp_path / "three.onnx"
    assert main(["export", str(run), "-o", str(file), "-q"], zoo=ZOO) == 0
    session = onnxruntime.InferenceSession(str(file))
    assert [given.name for given in session.get_inputs()] == ["content", "style"]
    stylist = ZOO.create(run)
    blend = [Style(name="calm", weight=1.0), Style(name="odd", weight=3.0)]
    shares = torch.tensor([[0.25, 0.0, 0.75]])
    for size in ((64, 64), (70, 131), (200, 96)):
        photo = picture(*size)
        (found,) = session.run(["images"], {"content": photo.numpy(), "style": shares.numpy()})
        # as the model computes it afterwards: nothing of the export stays behind
        torch.testing.assert_close(torch.from_numpy(found), stylist.stylize(photo, blend), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_onnx_of_johnson_takes_photos_alone(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = run_of(tmp_path / "run", "johnson", channels=(4, 6, 8), blocks=1)
    made = export_onnx(ZOO, run, tmp_path / "one.onnx")
    assert made.onnx_error < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"))
    photo = picture(81, 67)
    (found,) = session.run(None, {"content": photo.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), ZOO.create(run).stylize(photo, []), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_onnx_of_adain_takes_a_style_picture_of_another_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = run_of(tmp_path / "run", "adain", widths=(8, 6, 6), blocks=(1, 0, 0), last=4, code=8)
    export_onnx(ZOO, run, tmp_path / "any.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "any.onnx"))
    photo, style = picture(90, 131), picture(80, 72, seed=2)
    (found,) = session.run(None, {"content": photo.numpy(), "style": style.numpy()})
    expected = ZOO.create(run).stylize(photo, [Style(image=style)])
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


def test_what_does_not_fit_is_said_and_leaves_no_file(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", "multistyle", style_names=NAMES, **SHAPE)
    with pytest.raises(SettingsError, match="efficientnet_lite0 is a backbone, expected one of generator"):
        export_onnx(ZOO, "efficientnet_lite0", tmp_path / "a.onnx")
    with pytest.raises(SettingsError, match=r"ends in \.onnx"):
        export_onnx(ZOO, run, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"the folder .* does not exist"):
        export_onnx(ZOO, run, tmp_path / "none" / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"ONNX needs onnxruntime; pip install 'ganart-zoo\[onnx\]'"):
        export_onnx(ZOO, run, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("*.onnx"))
    monkeypatch.undo()
    assert main(["export", str(run), "-o", str(tmp_path / "a.onnx"), "--license", "MIT", "-q"], zoo=ZOO) == 2
    assert main(["export", str(run), "-o", str(tmp_path / "out"), "--weights", "x", "-q"], zoo=ZOO) == 2
