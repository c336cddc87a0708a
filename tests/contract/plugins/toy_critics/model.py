"""A projected critic (Sauer et al. 2021, in small) and one that scores pictures against prompts."""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo.contract import (
    Backbone,
    Condition,
    Critic,
    CriticOutput,
    Settings,
    SettingsError,
    generator,
    randn,
)
from toy_critics.config import Config

_WORDS = 16


class Projected(Critic):
    """Votes at each place of each layer; its own loss keeps the votes small."""

    def __init__(self, config: Config, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        self.taps = backbone.role_layers("critic", config.layers)
        self.vote = nn.ModuleDict({name: nn.Conv2d(backbone.layers[name].channels, 1, 1) for name in self.taps})

    def forward(self, images: Tensor, condition: Condition | None = None) -> CriticOutput:
        features = self.backbone(images, self.taps)
        votes = torch.cat([self.vote[name](features[name]).flatten(1) for name in self.taps], dim=1)
        votes = votes.to(self.picture_dtype)
        return CriticOutput(votes, {"drift": votes.square().mean()})


class Prompted(Critic):
    """The cosine of the pictures' deep features, projected, and a bag of hashed words."""

    def __init__(self, config: Settings, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        (self.layer,) = backbone.role_layers("dream")
        self.project = nn.Linear(backbone.layers[self.layer].channels, _WORDS, bias=False)

    def embed(self, condition: Condition) -> Condition:
        if condition.embedding is not None:
            return condition
        if condition.prompts is None:
            raise SettingsError("this critic compares pictures with prompts, and got none")
        rows = torch.stack([sum(map(_word, prompt.split()), torch.zeros(_WORDS)) for prompt in condition.prompts])
        return condition._replace(embedding=rows.to(self.device, self.picture_dtype))

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        text = self.embed(condition or Condition()).rows(len(images)).embedding
        seen = self.project(self.backbone(images, [self.layer])[self.layer].mean(dim=(2, 3)))
        return functional.cosine_similarity(seen.to(self.picture_dtype), text, dim=1)[:, None]


def _word(word: str) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return randn((1, _WORDS), generator(seed))[0]
