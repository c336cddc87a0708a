"""The Gradio app: its form, and what its button does, by its own client's function."""

from __future__ import annotations

import pytest
from PIL import Image

gr = pytest.importorskip("gradio", reason="needs ganart-zoo[gradio]", exc_type=ImportError)

from ganart_zoo.adapters.gradio import app  # noqa: E402
from ganart_zoo.contract import SettingsError  # noqa: E402
from ganart_zoo.service import Jobs  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # gradio leaves sockets open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def function(blocks, name):
    (found,) = (one for one in blocks.fns.values() if one.api_name == name)
    return found


def test_the_form_has_every_option(zoo):
    with Jobs(zoo) as jobs:
        labels = [one.label for one in function(app(jobs, "blend"), "paint").inputs]
        with pytest.raises(SettingsError, match="is a backbone"):
            app(jobs, "pool")
    assert labels[:4] == ["Photo", "Style", "Size", "Seed"]
    assert {"steps", "alpha", "preserve_colour", "noise"} < set(labels)


def test_the_button_paints(zoo, photo, painting):
    with Jobs(zoo) as jobs:
        paint = function(app(jobs, "blend"), "paint")
        values = {one.label: one.value for one in paint.inputs}
        values |= {"Photo": Image.open(photo), "Style": Image.open(painting), "Size": 64, "steps": 2}
        *_, (pictures, status, current) = paint.fn(*values.values())
        assert [one.size for one in pictures] == [(40, 30)]
        assert (status, current) == ("finished", None)
        with pytest.raises(gr.Error, match="no photo"):
            list(paint.fn(*{**values, "Photo": None}.values()))


def test_a_generator_paints(shapes):
    with Jobs(shapes) as jobs:
        paint = function(app(jobs, "bands"), "paint")
        *_, (pictures, _, _) = paint.fn(*[one.value for one in paint.inputs])
        assert len(pictures) == 4
