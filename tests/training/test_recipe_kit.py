"""The kit for recipes: the GAN passes it, and a recipe that breaks its contract is found out by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganart_zoo import ModelSpec, RecipeSpec, Zoo, hookimpl
from ganart_zoo.contract import Critic, Generator, PluginFaultError, SettingsError, randn
from ganart_zoo.data import Batch
from ganart_zoo.tasks.train import train_recipe
from ganart_zoo.testing import RecipeSubject, recipe_checks
from ganart_zoo.training import Recipe

from .networks import SIZE, write_npz


class Plain(Generator):
    """Latents of 4 numbers to pictures; rows do not see each other."""

    latent_shape = (4,)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.Linear(4, 3 * SIZE * SIZE)

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:
        return randn((n, 4), rng, self.device)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        return self.layers(latents.to(self.compute_dtype)).sigmoid().view(-1, 3, SIZE, SIZE).to(self.picture_dtype)


class Judge(Critic):
    """One vote per picture."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.Linear(3 * SIZE * SIZE, 1)

    def forward(self, images, condition=None) -> Tensor:
        return self.layers(images.flatten(1).to(self.compute_dtype)).to(self.picture_dtype)


class Fit(Recipe):
    """Fits a generator to pictures, one row to one picture; sound."""

    takes = ()

    def begin(self) -> None:
        self.network = self.engine.wrap("painter")
        parameters = self.networks["painter"].own_parameters()
        self.optimizer = self.engine.optimizer("painter", torch.optim.Adam(parameters, lr=0.01))

    def noise(self, rows: range) -> Tensor:
        return randn((len(rows), 4), self.engine.generators(rows, "noise"))

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        total: Tensor | float = 0.0
        for part in self.engine.parts(batches, "painter"):
            loss = (self.network(self.noise(part.rows)) - part.images).square().mean()
            self.engine.backward(loss)
            total = total + loss.detach() / len(batches)
        self.engine.step(self.optimizer)
        return {"loss": total}

    @torch.no_grad()
    def preview(self) -> Tensor:
        return self.engine.average()(torch.ones(4, 4))


class Forgets(Fit):
    """Keeps a running mean that is not in its state."""

    mean = 0.0

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        terms = super().step(batches)
        self.mean += float(terms["loss"])
        return {**terms, "mean": self.mean}


class Draws(Fit):
    """Has a generator of its own that outlives a step."""

    def begin(self) -> None:
        super().begin()
        self.generator = torch.Generator().manual_seed(0)

    def noise(self, rows: range) -> Tensor:
        return randn((len(rows), 4), self.generator)


class Peeks(Fit):
    """Changes its network in a preview."""

    def preview(self) -> Tensor:
        with torch.no_grad():
            next(self.networks["painter"].parameters()).mul_(0.9)
        return super().preview()


class Same(Fit):
    """Draws the same noise for every process."""

    def noise(self, rows: range) -> Tensor:
        return super().noise(range(len(rows)))


class Breaks(Fit):
    """Divides by zero."""

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        raise ZeroDivisionError("no easel")


class Constructs(Fit):
    """Cannot be made."""

    def __init__(self, *arguments: Any, **uses: Any) -> None:
        raise LookupError("no canvas")


class Takes(Fit):
    """Has a name in its state that the run uses."""

    def state(self) -> dict[str, Tensor]:
        return {"painter.mine": torch.zeros(1)}


def plugin(**recipes: type[Recipe] | Callable[..., Any]) -> ModuleType:
    module = ModuleType("ganart_fit")
    models = [
        ModelSpec(name, kind, "One.", "MIT", f"{__name__}:{made.__name__}", capabilities={"trainable"})
        for name, kind, made in (("plain", "generator", Plain), ("judge", "critic", Judge))
    ]
    specs = [
        RecipeSpec(
            name, "One.", "MIT", f"{__name__}:{made.__name__}", networks={"painter": "generator"}, main="painter"
        )
        for name, made in recipes.items()
    ]
    module.ganart_models = hookimpl(lambda: models)  # type: ignore[attr-defined]
    module.ganart_models.__name__ = "ganart_models"
    module.ganart_recipes = hookimpl(lambda: specs)  # type: ignore[attr-defined]
    module.ganart_recipes.__name__ = "ganart_recipes"
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "data.npz", n=10)


def subject(data: Path, made: type[Recipe]) -> RecipeSubject:
    zoo = Zoo(plugins=[plugin(it=made)], strict=True)
    return RecipeSubject(zoo, "it", data, networks={"painter": "plain"}, batch_wise=True)


def failures(one: RecipeSubject) -> dict[str, str]:
    found = {}
    for check in recipe_checks(one):
        try:
            check(one)
        except AssertionError as error:
            found[check.__name__] = str(error)
    return found


def test_a_sound_recipe_passes(data: Path) -> None:
    assert failures(subject(data, Fit)) == {}


def test_the_gan_passes(data: Path) -> None:
    zoo = Zoo(plugins=[plugin()], strict=True)
    networks = {"generator": "plain", "critic": "judge"}
    settings = {"augment": {"policy": ["flip", "colour"], "probability": 0.3, "target": 0.5}, "critic_steps": 2}
    assert failures(RecipeSubject(zoo, "gan", data, networks, settings=settings, batch_wise=True)) == {}


@pytest.mark.slow
def test_the_gan_passes_in_two_processes(data: Path) -> None:
    pytest.importorskip("ganart_dcgan")
    rng = np.random.default_rng(0)
    np.savez(data, images=rng.integers(0, 256, (10, 16, 16, 3), dtype=np.uint8))
    networks = {"generator": {"model": "dcgan", "width": 4}, "critic": {"model": "dcgan_critic", "width": 4}}
    one = RecipeSubject(Zoo(), "gan", data, networks, settings={"recalibrate": 2})
    *_, two_processes = recipe_checks(one)
    assert two_processes.__name__ == "two_processes_are_one"
    two_processes(one)


@pytest.mark.parametrize(
    ("made", "check", "said"),
    [
        (Forgets, "a_killed_run_resumes_exactly", "has another journal"),
        (Draws, "a_killed_run_resumes_exactly", "is it part of state()?"),
        (Peeks, "looking_changes_nothing", "differs in"),
    ],
)
def test_a_broken_recipe_is_found_out(data: Path, made: type[Recipe], check: str, said: str) -> None:
    found = failures(subject(data, made))
    assert said in found[check]


def test_an_exception_of_a_recipe_is_a_fault_that_names_it(data: Path, tmp_path: Path) -> None:
    zoo = Zoo(plugins=[plugin(breaks=Breaks, constructs=Constructs, none=write_npz)])
    for name, stage, cause in (
        ("breaks", "train", "ZeroDivisionError: no easel"),
        ("constructs", "factory", "LookupError: no canvas"),
        ("none", "factory", "is not a class that derives from ganart_zoo.training.Recipe"),
    ):
        with pytest.raises(PluginFaultError, match=f"failed at {stage} for recipe '{name}': .*{cause}"):
            train_recipe(zoo, name, {"painter": "plain"}, data, tmp_path / name)
        assert zoo.faults[-1].recipe == name


def test_a_callback_s_exception_is_the_caller_s_own(data: Path, tmp_path: Path) -> None:
    def broken(event: object) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        train_recipe(Zoo(plugins=[plugin(it=Fit)]), "it", {"painter": "plain"}, data, tmp_path / "run", on_step=broken)


def test_what_does_not_fit_is_refused(data: Path, tmp_path: Path) -> None:
    zoo = Zoo(plugins=[plugin(it=Fit, takes=Takes)])
    for networks, how, said in (
        ({}, {}, "needs a generator as 'painter', and has no default for it"),
        ({"painter": "judge"}, {}, "judge is a critic, expected a generator"),
        ({"painter": "plain", "critic": "judge"}, {}, "has no network 'critic'; it has painter"),
        ({"painter": "plain"}, {"conditions": ["labels"]}, "the recipe has no use for the condition 'labels'"),
    ):
        with pytest.raises(SettingsError, match=said):
            train_recipe(zoo, "it", networks, data, tmp_path / "run", **how)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"Takes\.state\(\) has 'painter\.mine', a name that the run uses itself"):
        train_recipe(zoo, "takes", {"painter": "plain"}, data, tmp_path / "run")
