"""The options by which a command is told whose features to compare pictures by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import click

from ganart_zoo.cli.settings import parse_used_model
from ganart_zoo.registry import Zoo

__all__ = ["ChosenBackbone", "backbone_options"]


@dataclass(frozen=True)
class ChosenBackbone:
    """The backbone that the command line names."""

    model: str
    pairs: Sequence[str]

    def check(self, zoo: Zoo) -> dict[str, Any]:
        """Return it as tasks take it, `{"model": ..., **settings}`, its settings known to exist."""
        return parse_used_model(zoo, self.model, self.pairs, flag="--backbone-set")


def backbone_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as `backbone`, and `side` as it is."""

    def with_backbone(
        *arguments: Any, backbone: str, backbone_weights: str | None, backbone_pairs: tuple[str, ...], **options: Any
    ) -> Any:
        weights = () if backbone_weights is None else (f"weights={backbone_weights}",)
        return command(*arguments, backbone=ChosenBackbone(backbone, (*backbone_pairs, *weights)), **options)

    wrapped: Callable[..., Any] = update_wrapper(with_backbone, command)
    for add in (
        click.option("--side", type=int, help="Pixels to scale to for it. Default: 299 for Inception, else 128."),
        click.option(
            "--backbone-set", "backbone_pairs", metavar="NAME=VALUE", multiple=True, help="A setting of it. Repeatable."
        ),
        click.option("--backbone-weights", metavar="WEIGHTS", help="Of it: a variant, file, folder or hub:…."),
        click.option(
            "--backbone",
            default="ganart-backbones/efficientnet_lite0",
            show_default=True,
            help="Whose features are compared.",
        ),
    ):
        wrapped = add(wrapped)
    return wrapped
