"""What embedders met: pictures that are no files, options of one call, typed models, downloads that can be watched."""

from __future__ import annotations

import hashlib

import ganart_wishes
import pytest
import torch
from ganart_tiny.fixtures import picture

from ganart_zoo import Weights, WeightsFile, Zoo
from ganart_zoo.contract import Backbone, Generator, StyleGenerator, StyleTransfer
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.running.stylists import Stylizer
from ganart_zoo.service import Jobs, pictures_of
from ganart_zoo.tasks.rank import rank
from ganart_zoo.tasks.reproduce import reproduce
from tests.registry.making import plugin, spec


def test_a_model_is_of_the_kind_asked_for(zoo, shapes):
    assert isinstance(zoo.create_as(StyleTransfer, "blend"), StyleTransfer)
    with pytest.raises(SettingsError, match="blend is a style_transfer, expected a Backbone"):
        zoo.create_as(Backbone, "blend")
    generators = [entry.spec.name for entry in shapes.list(kind="generator")]
    for name in generators:
        assert isinstance(shapes.create_as(Generator, name, weights=None), Generator)
    with pytest.raises(SettingsError, match="expected a StyleGenerator"):
        Zoo(plugins=[ganart_wishes]).create_as(StyleGenerator, "flat")


def test_a_stylizer_takes_other_options_for_one_call(zoo, photo, painting):
    stylizer = Stylizer(zoo, "blend", [painting], settings={"steps": 2, "alpha": 0.25})
    other = stylizer.with_options(steps=3)
    assert (other(photo).record.options["steps"], other(photo).record.options["alpha"]) == (3, 0.25)
    assert stylizer(photo).record.options["steps"] == 2
    fresh = Stylizer(zoo, "blend", [painting], settings={"steps": 3, "alpha": 0.25})
    assert torch.equal(other(photo).images, fresh(photo).images)
    with pytest.raises(SettingsError, match="no setting 'step'"):
        stylizer.with_options(step=3)


def test_pictures_in_memory_are_ranked(tmp_path):
    zoo = Zoo(plugins=[ganart_wishes])
    file = picture(tmp_path / "a.png", 8, 8, 1)
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    found = rank(zoo, "wish", [file.read_bytes(), red, file], prompt="red")
    assert [(one.number, one.path) for one in found.pictures] == [(2, None), (1, None), (3, file)]
    with Jobs(zoo) as jobs:
        again = jobs.submit("rank", model="wish", pictures=[file.read_bytes(), red], prompt="red").result(60)
    assert [one.score for one in again.pictures] == [one.score for one in found.pictures[:2]]
    with pytest.raises(SettingsError, match="copies of files"):
        rank(zoo, "wish", [red], prompt="red", output=tmp_path / "best")


def test_a_grid_of_mixtures_has_its_record(shapes, tmp_path):
    with Jobs(shapes) as jobs:
        job = jobs.submit("mix", model="bands", rows=[1], columns=[2, 3], layers=[0, 1])
        job.result(60)
        (made,) = pictures_of(job.result(0))
    (tmp_path / "grid.png").write_bytes(made.encoded())
    assert reproduce(shapes, tmp_path / "grid.png").pixels.agree


def test_a_download_is_watched_and_can_be_ended(tmp_path):
    content = b"x" * 300_000
    (tmp_path / "there.bin").write_bytes(content)
    file = WeightsFile(
        urls=((tmp_path / "there.bin").as_uri(),),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        license="MIT",
    )
    given = spec("one", weights=[Weights("default", files=[file])])
    zoo = Zoo(plugins=[plugin("ganart_one", given)], store=WeightsStore(tmp_path / "store"))
    seen = []

    class EndedError(Exception):
        pass

    def progress(here, total):
        seen.append((here, total))
        if here:
            raise EndedError

    with pytest.raises(EndedError):
        zoo.create("one", fetch=progress)
    assert seen[0] == (0, len(content))
    assert not zoo.store.locate(file)


def test_a_refusal_says_its_words_once():
    with pytest.raises(SettingsError) as caught:
        Zoo().create("dcgan", resolution=100)
    assert str(caught.value) == "ganart-dcgan/dcgan: resolution is 100, expected a power of two from 8 to 512"
