"""What every backbone must do."""

from __future__ import annotations

from typing import cast

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ganart_zoo.contract import Backbone, SettingsError, generator
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]

_ROLES = frozenset({"style", "content", "dream", "critic"})


def layers_are_as_declared(subject: Subject) -> None:
    """Each layer has the channels it declares, and sides within one pixel of `side / stride`.

    A network without padding may have sides up to four pixels shorter. In that case, pictures that are eight strides
    larger must give sides that are eight pixels larger.
    """
    model = cast(Backbone, subject.create())
    features = model(subject.images(2), tuple(model.layers))
    assert tuple(features) == tuple(model.layers), f"all layers were asked for, and {tuple(features)} came"
    for name, info in model.layers.items():
        shape = tuple(features[name].shape)
        assert shape[:2] == (2, info.channels), f"layer {name} is {shape}, expected {info.channels} channels"
        for side, input_side in zip(shape[2:], subject.size, strict=False):
            what = f"layer {name} has a side of {side} for {input_side}, {info}"
            assert -4 <= side - input_side / info.stride <= 1, what
            if side - input_side / info.stride < -1:
                larger = functional.pad(subject.images(1), (0, 8 * info.stride, 0, 8 * info.stride))
                sides = model(larger, [name])[name].shape[2:]
                assert tuple(sides) == tuple(extent + 8 for extent in shape[2:]), f"{what}, expected {info.stride}"
        assert len(shape) == (2 if name == "logits" else 4), f"layer {name} is {shape}"


def layers_come_as_asked(subject: Subject) -> None:
    """Any selection of layers is returned in the order requested, with the same values as each layer alone."""
    model = cast(Backbone, subject.create())
    images = subject.images(1)
    names = tuple(model.layers)[::-1]
    features = model(images, names)
    assert tuple(features) == names, f"layers {names} were asked for, and {tuple(features)} came"
    for name in names:
        alone = model(images, [name])
        assert tuple(alone) == (name,), f"layer {name} was asked for, and {tuple(alone)} came"
        assert torch.equal(alone[name], features[name]), f"layer {name} has other values when requested alone"


def stops_at_the_deepest_layer(subject: Subject) -> None:
    """Asking for a shallower layer costs fewer operations."""
    model = cast(Backbone, subject.create())
    costs = []
    for name in model.layers:
        with FlopCounterMode(display=False) as counter:
            model(subject.images(1), [name])
        costs.append(counter.get_total_flops())
    assert costs == sorted(costs), f"layers are not in the order they are computed: {costs} operations"
    assert len(costs) == 1 or costs[0] < costs[-1], f"the first layer costs as much as the last, {costs[0]} operations"


def taps_are_layers(subject: Subject) -> None:
    """Taps belong to known roles and name layers; an unknown layer or role is refused."""
    model = cast(Backbone, subject.create())
    for role, names in model.taps.items():
        assert role in _ROLES, f"role {role!r} is not one of {', '.join(sorted(_ROLES))}"
        unknown = set(names) - set(model.layers)
        assert not unknown, f"taps for {role} name {', '.join(sorted(unknown))}, which are not layers"
        assert model.role_layers(role) == tuple(names), f"role_layers({role!r}) is not the taps"
    for call in (lambda: model(subject.images(1), ["no such layer"]), lambda: model.role_layers("no such role")):
        try:
            call()
        except SettingsError:
            continue
        raise AssertionError("an unknown layer or role was accepted, expected a SettingsError")


def reach_is_as_declared(subject: Subject) -> None:
    """No pixel beyond the reach that a layer declares changes its cells; checked for the layers of its taps.

    Pictures in tiles rely on this. A layer that declares no reach is not checked.
    """
    model = cast(Backbone, subject.create())
    taps = {name for names in model.taps.values() for name in names}
    names = [name for name, info in model.layers.items() if name in taps and info.reach is not None]
    if not names:
        return
    most = max(model.layers[name].reach or 0 for name in names)
    stride = max(model.layers[name].stride for name in names)
    # an even and an odd side, because a network may pad them differently
    for across, side in ((False, 2 * most + 4 * stride), (True, 2 * most + 4 * stride + 1)):
        noise = torch.rand((1, 3, side, max(2 * stride, min(subject.size))), generator=generator(0))
        pixels = (noise.mT if across else noise).to(model.picture_dtype).requires_grad_()
        features = model(pixels, names)
        for name in names:
            info, cells = model.layers[name], features[name].mT if across else features[name]
            cell = cells.shape[2] // 2
            (gradient,) = torch.autograd.grad(cells[:, :, cell].float().sum(), pixels, retain_graph=True)
            touched = (gradient.mT if across else gradient).ne(0).any(dim=3).any(dim=1)[0].nonzero()
            if len(touched):
                before, after = cell * info.stride - int(touched.min()), int(touched.max()) - (cell + 1) * info.stride
                found, declared = max(before, after + 1), info.reach or 0
                assert found <= declared, f"layer {name} depends on pixels {found} beyond its own, {info}"


CHECKS: tuple[Check, ...] = (
    layers_are_as_declared,
    layers_come_as_asked,
    stops_at_the_deepest_layer,
    reach_is_as_declared,
    taps_are_layers,
)
