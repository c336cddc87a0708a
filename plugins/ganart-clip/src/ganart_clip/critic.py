"""CLIP and SigLIP as critics, on the networks of `transformers`.

Radford et al. 2021, https://arxiv.org/abs/2103.00020; Zhai et al. 2023, https://arxiv.org/abs/2303.15343.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer, CLIPModel, SiglipModel

from ganart_clip.config import Config
from ganart_clip.preprocessing import Preprocessing
from ganart_zoo.contract import Condition, Critic, ModelError, SettingsError, WeightsError, load_tensors
from ganart_zoo.contract.draws import key_generator

__all__ = ["Clip"]

_NETWORKS = {"clip": CLIPModel, "siglip": SiglipModel}
_LEAST_CROP = 0.6
_TOKENIZER = threading.Lock()
"""The tokenizers of `transformers` keep their padding as state, which threads would change under each other."""


class Clip(Critic):
    """Scores pictures against prompts, reference pictures, or the mean of both.

    Args:
        config: What is built. The network comes with its weights, or from `config.architecture`.
    """

    config: Config
    network: nn.Module

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.architecture is not None:
            self._build(Path(config.architecture))

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Build the network that a folder describes, and load its tensors.

        Raises:
            WeightsError: A file is missing or damaged.
            ModelError: The folder is of another family, or tensors do not fit.
        """
        if "config.json" not in files:
            raise WeightsError("the weights folder has no config.json; take the whole folder of the model")
        self._build(files["config.json"].parent)
        self.network.to(dtype)
        tensors: dict[str, Tensor] = {}
        for name, path in files.items():
            if name.endswith(".safetensors"):
                tensors |= load_tensors(path, "safetensors")
        wanted = self.network.state_dict()
        # older releases of transformers saved these, which follow from the configuration
        tensors = {
            name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids") or name in wanted
        }
        wrong = sorted({*tensors} ^ {*wanted})
        wrong += [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise ModelError(f"weights do not fit {type(self.network).__name__}: {', '.join(wrong[:3])}{more}")
        self.network.load_state_dict(tensors)

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Return votes `[n, 1 + crops]`: the network's logits of a match, for the whole picture and then for its parts.

        Args:
            images: `[n, 3, H, W]` in 0..1, of any size.
            condition: `prompts`, `images` or both, in which case their logits are averaged; or the `embedding` that
                `embed` made of them. 1 row or n.

        Raises:
            SettingsError: There is neither, or it has neither 1 row nor n.
            ModelError: The network has no weights.
        """
        wanted = self._wanted(condition)
        if len(wanted) not in (1, len(images)):
            raise SettingsError(f"condition: {len(wanted)} rows for {len(images)} pictures; give 1 or {len(images)}")
        views = [self._picture_vectors(view) for view in self._views(images)]
        cosines = torch.stack([(view.unsqueeze(1) * wanted).sum(dim=2).mean(dim=1) for view in views], dim=1)
        return cosines * self._network().logit_scale.exp().to(cosines) + self._bias(cosines)

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with the vectors of its prompts and pictures, `[n, 1 or 2, d]`, as its embedding."""
        if condition.embedding is not None or (condition.prompts is None and condition.images is None):
            return condition
        parts = []
        if condition.prompts is not None:
            parts.append(self._text_vectors(condition.prompts))
        if condition.images is not None:
            parts.append(self._picture_vectors(condition.images))
        rows = max(map(len, parts))
        if any(len(part) not in (1, rows) for part in parts):
            raise SettingsError(f"condition: {len(parts[0])} prompts and {len(parts[1])} pictures; give as many, or 1")
        return condition._replace(embedding=torch.stack([part.expand(rows, -1) for part in parts], dim=1))

    def _wanted(self, condition: Condition | None) -> Tensor:
        embedding = None if condition is None else self.embed(condition).embedding
        if embedding is None:
            raise SettingsError(
                "clip compares pictures with a text or a picture; give Condition(prompts=...) or images"
            )
        return embedding.to(self.picture_dtype)

    def _network(self) -> Any:
        if not hasattr(self, "network"):
            raise ModelError("clip has no network; give weights=FOLDER or hub:org/name@<commit>")
        return self.network

    def _build(self, folder: Path) -> None:
        described = _json(folder / "config.json")
        family = described.get("model_type")
        if family not in _NETWORKS:
            known = ", ".join(_NETWORKS)
            raise ModelError(f"{folder / 'config.json'} is of model_type {family!r}, expected one of {known}")
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
            raise WeightsError(f"{folder} cannot be read: {' '.join(str(error).split())[:300]}") from error
        self._length = config.text_config.max_position_embeddings
        optional = folder / "preprocessor_config.json"
        self._preprocess = Preprocessing.read(
            _json(optional) if optional.is_file() else {}, family, config.vision_config.image_size
        )
        with torch.random.fork_rng(devices=[]):  # transformers initialises by torch's global generator
            self.network = _NETWORKS[family](config)

    def _views(self, images: Tensor) -> list[Tensor]:
        """Return the pictures, and parts of them at places that are the same at each call."""
        views = [images]
        height, width = images.shape[-2:]
        for crop in range(self.config.crops):
            drawn = torch.rand(3, generator=key_generator("clip crops", self.config.crop_seed, crop)).tolist()
            share = _LEAST_CROP + (1 - _LEAST_CROP) * drawn[0]
            h, w = max(1, round(height * share)), max(1, round(width * share))
            top, left = round((height - h) * drawn[1]), round((width - w) * drawn[2])
            views.append(images[:, :, top : top + h, left : left + w])
        return views

    def _picture_vectors(self, images: Tensor) -> Tensor:
        network = self._network()
        pixels = self._preprocess(images.to(self.picture_dtype)).to(self.compute_dtype)
        features = network.get_image_features(pixel_values=pixels)
        return self._unit(features)

    def _text_vectors(self, prompts: Sequence[str]) -> Tensor:
        network = self._network()
        with _TOKENIZER:
            tokens = self._tokenizer(
                [_printable(prompt) for prompt in prompts],
                padding="max_length",
                max_length=self._length,
                truncation=True,
                return_tensors="pt",
            )
        inputs = {"input_ids": tokens["input_ids"].to(self.device)}
        if isinstance(network, CLIPModel):  # SigLIP was trained without a mask
            inputs["attention_mask"] = tokens["attention_mask"].to(self.device)
        return self._unit(network.get_text_features(**inputs))

    def _unit(self, features: Any) -> Tensor:
        # a tensor up to transformers 4
        pooled = features if isinstance(features, Tensor) else features.pooler_output
        return functional.normalize(pooled.to(self.picture_dtype), dim=1)

    def _bias(self, like: Tensor) -> Tensor:
        bias = getattr(self._network(), "logit_bias", None)
        return like.new_zeros(()) if bias is None else bias.to(like)


def _printable(prompt: str) -> str:
    """A prompt without what no tokenizer can encode."""
    return prompt.encode("utf-8", "replace").decode("utf-8")


def _json(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(described, dict):
        raise WeightsError(f"{path} holds a {type(described).__name__}, expected a JSON object")
    return described
