"""What a plugin declares about a way of training: its networks by role, its settings, and its factory. Torch-free.

Declarations behave as those of models do: a constructor never raises, and `problems()` lists what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ganart_zoo.contract.declarations import as_items, as_mapping, line_problems, name_problems, path_problems
from ganart_zoo.contract.spec import RESERVED_SETTINGS, Use, use_problems

__all__ = ["RESERVED_ROLES", "RUN_SETTINGS", "RecipeSpec"]

RUN_SETTINGS = "ganart_zoo.training.settings:RunSettings"
"""What the config class of every recipe derives from."""

RESERVED_ROLES = frozenset(
    {"average", "conditions", "config", "crop", "data", "flip", "recipe", "size", "training", *RESERVED_SETTINGS}
)
"""Names that settings files, checkpoints and run folders take themselves; no role and no `uses` key may have them."""


@dataclass(frozen=True)
class RecipeSpec:
    """One way of training that a plugin offers, run by `ganart train --recipe NAME`.

    Example:
        >>> from dataclasses import replace
        >>> copy = RecipeSpec(
        ...     name="copy",
        ...     summary="Trains a painter to copy photos.",
        ...     license="MIT",
        ...     factory="mine.recipe:Copy",
        ...     networks={"painter": "style_transfer"},
        ...     main="painter",
        ... )
        >>> copy.problems()
        []
        >>> replace(copy, main="critic").problems()
        ["main is 'critic', expected one of the roles painter"]
    """

    name: str
    """Lower case, unique in its distribution; `distribution/name` is the canonical name."""
    summary: str
    """One line for `ganart list`."""
    license: str
    """SPDX expression of the code."""
    factory: str
    """`"module:Class"` of a subclass of `ganart_zoo.training.Recipe`, called as `factory(config, networks, **uses)`."""
    config: str = RUN_SETTINGS
    """`"module:Class"` of a subclass of `ganart_zoo.training.RunSettings` in a torch-free module.

    None stands for the settings of every run, and no others.
    """
    uses: Mapping[str, Use] = field(default_factory=dict, hash=False)
    """Keyword of the factory -> the kind of model it gets, frozen and in eval mode."""
    networks: Mapping[str, Use | str] = field(default_factory=dict, hash=False)
    """Role -> the kind of network that is trained: `"generator"`, or `Use("generator", default="dist/model")`.

    Kinds are kept as a `Use`; read them from `roles`.
    """
    main: str = ""
    """The role whose network `zoo.create(run)` builds."""
    pretrained: tuple[str, ...] = ()
    """Roles whose networks start from their default weights; the others start untrained."""
    paper: str | None = None
    """URL."""

    def __post_init__(self) -> None:
        if self.config is None:
            object.__setattr__(self, "config", RUN_SETTINGS)
        object.__setattr__(self, "uses", as_mapping(self.uses))
        networks: Any = as_mapping(self.networks)
        if isinstance(networks, dict):
            networks = {role: Use(use) if isinstance(use, str) else use for role, use in networks.items()}
        object.__setattr__(self, "networks", networks)
        object.__setattr__(self, "pretrained", as_items(self.pretrained))

    @property
    def roles(self) -> Mapping[str, Use]:
        """`networks`, each as a `Use`."""
        return cast("Mapping[str, Use]", self.networks)

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration, one line each; an empty list where all is well."""
        found = name_problems(self.name)
        found += line_problems(self, "summary", "license")
        found += path_problems(self, required=("factory", "config"), optional=())
        found += use_problems(self.uses)
        found += self._network_problems()
        if self.paper is not None and not (
            isinstance(self.paper, str) and self.paper.startswith(("https://", "http://"))
        ):
            found.append(f"paper is {self.paper!r}, expected a URL")
        return found

    def _network_problems(self) -> list[str]:
        if not isinstance(self.networks, Mapping) or not self.networks:
            return [f"networks is {self.networks!r}, expected a mapping of role to a kind or a Use"]
        found: list[str] = []
        for role, use in self.networks.items():
            if not isinstance(role, str) or not role.isidentifier() or role != role.lower():
                found.append(f"role {role!r} is not a lower-case identifier")
            elif role in RESERVED_ROLES or role.startswith("average_") or role.endswith("_optimizer"):
                found.append(f"role {role!r} is reserved; choose another name")
            if isinstance(use, Use):
                found += [f"role {role!r}: {problem}" for problem in use.problems()]
            else:
                found.append(f"role {role!r} is {use!r}, expected a kind or a Use")
        roles = ", ".join(map(str, self.networks))
        for key in self.uses if isinstance(self.uses, Mapping) else ():
            if key in self.networks:
                found.append(f"uses key {key!r} is also a role; rename one")
            elif key in RESERVED_ROLES - RESERVED_SETTINGS:
                found.append(f"uses key {key!r} is reserved; choose another name")
        if not isinstance(self.main, str) or self.main not in self.networks:
            found.append(f"main is {self.main!r}, expected one of the roles {roles}")
        found += [
            f"pretrained names {role!r}, expected of the roles {roles}"
            for role in self.pretrained
            if not isinstance(role, str) or role not in self.networks
        ]
        return found
