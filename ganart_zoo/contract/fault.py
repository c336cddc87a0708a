"""What is known about a plugin that broke its contract. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Fault"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one plugin."""

    plugin: str
    """The entry point's name."""
    distribution: str
    """The normalised name of the distribution that declares it."""
    stage: str
    """metadata, api, import, hooks, models, recipes, spec, settings, uses, factory, weights,
    isolation, call, or the name of a hook or a task."""
    cause: str
    """One line."""
    model: str | None = None
    """The name of the model concerned; None where the fault concerns a recipe or the whole plugin."""
    traceback: str = field(default="", repr=False)
    recipe: str | None = None
    """The name of the recipe concerned, if it is one."""

    def __str__(self) -> str:
        subjects = {"model": self.model, "recipe": self.recipe}
        about = "".join(f" for {noun} {name!r}" for noun, name in subjects.items() if name)
        return f"plugin {self.plugin!r} (distribution {self.distribution}) failed at {self.stage}{about}: {self.cause}"
