"""Writes folders of tiny random CLIP and SigLIP networks, in the layout that transformers publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

SIDE = 24
_LAYERS = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {
    **_LAYERS,
    "vocab_size": 400,
    "max_position_embeddings": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_VISION = {**_LAYERS, "image_size": SIDE, "patch_size": 8}


def write_tiny(family: str, folder: Path) -> None:
    """Write a network of `"clip"` or `"siglip"`, in two shards, and its tokenizer."""
    torch.manual_seed(0)
    network: Any
    if family == "clip":
        network = CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=8))
    else:
        network = SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION))
        torch.nn.init.constant_(network.logit_bias, -3.0)
    for parameter in network.parameters():  # the usual 0.02 would make all pictures alike
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.25)
    folder.mkdir(exist_ok=True)
    # as transformers writes it, without its progress bar
    (folder / "config.json").write_text(network.config.to_json_string(use_diff=False))
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    half = len(tensors) // 2
    parts = list(tensors.items())
    save_file(dict(parts[:half]), folder / "model-00001-of-00002.safetensors")
    save_file(dict(parts[half:]), folder / "model-00002-of-00002.safetensors")
    place = {name: f"model-0000{1 if i < half else 2}-of-00002.safetensors" for i, name in enumerate(tensors)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    """Write the files of a tokenizer of bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "<unk>", "<end>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["a red square", "a green circle", "a lion"], trainer)
    kind: Any = PreTrainedTokenizerFast
    fast = kind(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<end>")
    fast.save_pretrained(folder)
