"""ComfyUI nodes, against the recorded contract of its V3 API."""

from __future__ import annotations

import sys

import ganart_shapes
import ganart_tiny
import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.adapters.comfyui import ComfyNodes
from ganart_zoo.running.stylists import Stylizer
from tests.adapters import comfy_contract


@pytest.fixture
def nodes():
    made = ComfyNodes(Zoo(plugins=[ganart_tiny, ganart_shapes]), io=comfy_contract)
    return made.zoo, {node.GET_SCHEMA().node_id: node for node in made.nodes}


def test_every_restyler_and_painter_is_a_node(nodes):
    zoo, found = nodes
    assert len(found) == len(zoo.list(kind="style_transfer")) + len(zoo.list(kind="generator"))
    schema = found["Ganart_ganart_tiny_blend"].GET_SCHEMA()
    assert schema.category == "ganart-zoo/style_transfer"
    inputs = {one.id: one for one in schema.inputs}
    assert list(inputs)[:4] == ["content", "style", "seed", "size"]
    assert (inputs["steps"].default, inputs["steps"].min, inputs["steps"].max) == (4, 1, 100)
    assert inputs["preserve_colour"].options == ["off", "luminance"]
    assert inputs["noise"].default is True
    assert inputs["steps"].tooltip == "Steps."
    assert "style" not in {one.id for one in found["Ganart_ganart_tiny_negative"].GET_SCHEMA().inputs}


def test_a_node_restyles_each_picture_of_a_batch(nodes):
    zoo, found = nodes
    contents, style = torch.rand(2, 20, 24, 3), torch.rand(1, 18, 18, 3)
    output = found["Ganart_ganart_tiny_blend"].execute(
        content=contents, style=style, seed=3, size=64, steps=2, preserve_colour="off"
    )
    (pictures,) = output.args
    assert pictures.shape == (2, 20, 24, 3)
    stylizer = Stylizer(zoo, "blend", [style.permute(0, 3, 1, 2)], seed=3, size=64, settings={"steps": 2})
    wanted = stylizer(contents[1:].permute(0, 3, 1, 2)).images.clamp(0, 1)
    assert torch.equal(pictures[1:].permute(0, 3, 1, 2), wanted)


def test_a_node_paints(nodes):
    _, found = nodes
    (pictures,) = found["Ganart_ganart_shapes_bands"].execute(seed=1, count=3, truncation=0.5).args
    assert pictures.shape == (3, 8, 8, 3)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    (pictures,) = found["Ganart_ganart_shapes_slow"].execute(seed=1, count=1, prompt="a").args
    assert pictures.shape == (1, 8, 8, 3)


def test_cancelling_the_prompt_ends_the_node(nodes, monkeypatch):
    class InterruptError(Exception):
        pass

    class Bar:
        seen: list[int] = []  # noqa: RUF012

        def __init__(self, total):
            self.total = total

        def update_absolute(self, value):
            self.seen.append(value)

    def interrupted():
        if len(Bar.seen) == 2:
            raise InterruptError

    management = type(sys)("comfy.model_management")
    management.throw_exception_if_processing_interrupted = interrupted
    utils = type(sys)("comfy.utils")
    utils.ProgressBar = Bar
    for name, module in (("comfy", type(sys)("comfy")), ("comfy.model_management", management), ("comfy.utils", utils)):
        monkeypatch.setitem(sys.modules, name, module)
    _, found = nodes
    with pytest.raises(InterruptError):
        found["Ganart_ganart_tiny_blend"].execute(
            content=torch.rand(1, 20, 24, 3), style=torch.rand(1, 18, 18, 3), seed=3, size=64
        )
    assert Bar.seen == [1, 2]
