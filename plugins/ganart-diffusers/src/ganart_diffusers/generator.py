"""A pipeline of diffusers as a generator.

Latent diffusion: Rombach et al. 2021, https://arxiv.org/abs/2112.10752. Pipelines keep the state of a call on
themselves, on their scheduler and on their tokenizers, so every call gets its own pipeline around the shared networks.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoPipelineForImage2Image
from torch import Tensor, nn
from torch.nn import functional

from ganart_diffusers.config import Config, Options
from ganart_diffusers.loading import Parts, read_folder, untrained
from ganart_zoo.contract import (
    Condition,
    Generator,
    ImageError,
    ModelError,
    OnStep,
    Rng,
    Settings,
    SettingsError,
    StepEvent,
    WeightsError,
    per_row,
    randn,
)

__all__ = ["Diffusion"]

_SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "heun": "HeunDiscreteScheduler",
    "lcm": "LCMScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
}
_TRUE_GUIDANCE = 4.0
"""Guidance for a negative prompt in pipelines that have another for plain prompts, as diffusers recommends."""
_OFFLOAD = threading.Lock()


class _StoppedError(Exception):
    """Carries the latents out of a pipeline that was told to stop."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.latents = latents


class Diffusion(Generator):
    """Pictures of prompts by a pipeline of diffusers.

    Args:
        config: What is built. The pipeline comes with its weights, or from `config.architecture`.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.networks = nn.ModuleDict()
        self._home = torch.device("cpu")
        if config.architecture is not None:
            self._take(untrained(Path(config.architecture)))

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load a folder in the layout of diffusers.

        Raises:
            WeightsError: It cannot be read, or is no pipeline of diffusers.
            ModelError: The pipeline cannot be used here.
        """
        if "model_index.json" not in files:
            raise WeightsError("the weights folder has no model_index.json; take the pipeline's whole folder")
        self._home = device
        variant = "fp16" if any(".fp16." in name or ".fp16-" in name for name in files) else None
        self._take(read_folder(files["model_index.json"].parent, dtype=dtype, variant=variant))

    def to(self, *arguments: Any, **named: Any) -> Any:
        """Move and convert the networks; with `offload` they stay on the CPU until they are used."""
        if self.config.offload:
            _, dtype, _, _ = torch._C._nn._parse_to(*arguments, **named)
            return super().to(dtype=dtype) if dtype is not None else self
        return super().to(*arguments, **named)

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return the noise that pictures start from, `[n, *latent_shape]`."""
        self._check_loaded()
        return randn((n, *self.latent_shape), rng, device=self.device)

    @torch.no_grad()
    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
        init: Tensor | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]`.

        Args:
            latents: `[n, *latent_shape]`: the noise they start from; with `init`, only their number counts.
            condition: `prompts`, 1 or n.
            rng: For schedulers that add noise, and for the noise on `init`; None draws from seed 0.
            options: An instance of `Options`; None for its defaults.
            on_step: Called after each step; returning False decodes the latents as they are then.
            init: Pictures `[1 or n, 3, H, W]` in 0..1 to start from; `options.strength` says how much may change.

        Raises:
            SettingsError: There are no prompts, or the pipeline lacks what an option asks for.
            ImageError: `init` is not such pictures.
            ModelError: The pipeline has no weights.
        """
        self._check_loaded()
        chosen = options if isinstance(options, Options) else Options()
        n = len(latents)
        prompts = condition.rows(n).prompts if condition is not None else None
        if prompts is None:
            raise SettingsError("diffusion paints what a text says; give Condition(prompts=...)")
        if n == 0:
            return torch.empty(0, 3, self._side, self._side, dtype=self.picture_dtype)
        pipeline = self._pipeline(chosen.scheduler, init is not None)
        arguments = self._arguments(pipeline, prompts, chosen)
        arguments["generator"] = per_row(rng if rng is not None else torch.Generator().manual_seed(0), n)
        if init is None:
            arguments["latents"] = latents.to(self.compute_dtype)
        else:
            arguments |= {"image": self._prepared(init, n), "strength": chosen.strength}
        with self._offloaded(pipeline):
            try:
                result = self._run(pipeline, arguments, on_step)
            except _StoppedError as stopped:
                result = stopped.latents
            return self._decode(pipeline, result, checked=True)

    def _take(self, parts: Parts) -> None:
        self.networks = nn.ModuleDict(parts.networks)
        self._parts = Parts(parts.pipeline, {}, parts.others)
        pipeline = self._pipeline(None, False)
        if not hasattr(pipeline, "vae"):
            raise ModelError(f"{parts.pipeline.__name__} does not paint in the latents of an autoencoder")
        denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
        if denoiser is None:
            raise ModelError(f"{parts.pipeline.__name__} has neither unet nor transformer")
        self._packed = hasattr(pipeline, "_unpack_latents")
        scale = pipeline.vae_scale_factor
        trained: Any = getattr(pipeline, "default_sample_size", None) or getattr(denoiser.config, "sample_size", None)
        self._side = self.config.resolution or int(trained if isinstance(trained, int) else trained[0]) * scale
        step = scale * (2 if self._packed else 1)
        if self._side % step:
            raise SettingsError(f"resolution is {self._side}, and {parts.pipeline.__name__} takes multiples of {step}")
        across = self._side // scale
        channels = denoiser.config.in_channels
        self.latent_shape = ((across // 2) ** 2, channels) if self._packed else (channels, across, across)
        if hasattr(denoiser, "cache_context"):  # its first use leaves a registry on the network
            with denoiser.cache_context("cond"):
                pass
        if self.config.attention_slicing:
            pipeline.enable_attention_slicing()
        if self.config.vae_tiling:
            pipeline.vae.enable_tiling()

    def _check_loaded(self) -> None:
        if not self.networks:
            raise ModelError("diffusion has no pipeline; give weights=FOLDER or hub:org/name@<commit>")

    def _pipeline(self, scheduler: str | None, from_picture: bool) -> Any:
        """Return a pipeline for one call, around the networks that all calls share."""
        own = {
            name: copy.deepcopy(part) if name.startswith(("scheduler", "tokenizer")) else part
            for name, part in self._parts.others.items()
        }
        if scheduler is not None:
            kind = getattr(diffusers, _SCHEDULERS[scheduler])
            own["scheduler"] = kind.from_config(own["scheduler"].config)
        pipeline = self._parts.pipeline(**dict(self.networks.items()), **own)
        if from_picture:
            try:
                pipeline = AutoPipelineForImage2Image.from_pipe(pipeline)
            except ValueError:
                name = self._parts.pipeline.__name__
                raise SettingsError(f"{name} cannot start from a picture; leave out init") from None
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _arguments(self, pipeline: Any, prompts: Sequence[str], options: Options) -> dict[str, Any]:
        """Return what the pipeline's call takes, of all that pipelines differ in."""
        takes = inspect.signature(pipeline.__call__).parameters
        wanted: dict[str, Any] = {
            "prompt": [_encodable(prompt) for prompt in prompts],
            "height": self._side,
            "width": self._side,
            "output_type": "latent",
            "use_resolution_binning": False,
            "clean_caption": False,
        }
        if options.steps is not None:
            wanted["num_inference_steps"] = options.steps
        if options.guidance is not None:
            wanted["guidance_scale"] = options.guidance
        if options.negative_prompt:
            if "negative_prompt" not in takes:
                raise SettingsError(f"{type(pipeline).__name__} takes no negative prompt; leave it out")
            wanted["negative_prompt"] = [_encodable(options.negative_prompt)] * len(prompts)
            wanted["true_cfg_scale"] = _TRUE_GUIDANCE
        return {name: value for name, value in wanted.items() if name in takes}

    def _run(self, pipeline: Any, arguments: dict[str, Any], on_step: OnStep | None) -> Tensor:
        """Return the latents that a pipeline ends with."""
        takes = inspect.signature(pipeline.__call__).parameters
        done = 0

        def report(latents: Tensor) -> None:
            nonlocal done
            done += 1
            assert on_step is not None
            preview = lambda: self._decode(pipeline, latents, checked=False).clamp(0, 1)  # noqa: E731
            if on_step(StepEvent(done, getattr(pipeline, "_num_timesteps", None), "denoise", {}, preview)) is False:
                raise _StoppedError(latents)

        def at_step_end(_: Any, step: int, time: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
            report(given["latents"])
            return given

        if on_step is not None and "callback_on_step_end" in takes:
            arguments |= {"callback_on_step_end": at_step_end, "callback_on_step_end_tensor_inputs": ["latents"]}
        elif on_step is not None and "callback" in takes:
            arguments |= {"callback": lambda step, time, latents: report(latents), "callback_steps": 1}
        result: Tensor = pipeline(**arguments).images
        return result

    def _decode(self, pipeline: Any, latents: Tensor, *, checked: bool) -> Tensor:
        """Return pictures `[n, 3, H, W]`, after the pipeline's safety checker where `checked`."""
        vae = pipeline.vae
        if self._packed:
            latents = pipeline._unpack_latents(latents, self._side, self._side, pipeline.vae_scale_factor)
        mean, std = (getattr(vae.config, f"latents_{part}", None) for part in ("mean", "std"))
        latents = latents / vae.config.scaling_factor
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            latents = latents * torch.tensor(std).to(latents).view(shape) + torch.tensor(mean).to(latents).view(shape)
        else:
            latents = latents + (getattr(vae.config, "shift_factor", None) or 0.0)
        pictures: Tensor = vae.decode(latents.to(self.compute_dtype), return_dict=False)[0]
        if checked and getattr(pipeline, "safety_checker", None) is not None:
            pictures, _ = pipeline.run_safety_checker(pictures, pictures.device, self.compute_dtype)
        return pictures.to(self.picture_dtype) / 2 + 0.5

    def _prepared(self, init: Tensor, n: int) -> Tensor:
        if init.ndim != 4 or init.shape[1] != 3 or len(init) not in (1, n) or not init.is_floating_point():
            shape = list(init.shape)
            raise ImageError(f"init is {init.dtype} {shape}, expected floating point [1 or {n}, 3, H, W] in 0..1")
        side = (self._side, self._side)
        if tuple(init.shape[2:]) != side:
            init = functional.interpolate(init, size=side, mode="bilinear", antialias=True)
        return init.to(self.device, self.compute_dtype).expand(n, -1, -1, -1).clamp(0, 1)

    def _offloaded(self, pipeline: Any) -> Any:
        """Return a context in which networks come to the accelerator when they are used; empty without `offload`."""
        if not self.config.offload or self._home.type == "cpu":
            return nullcontext()
        return _Offloaded(pipeline, self._home)


class _Offloaded:
    """Moves networks to a device one at a time. The hooks sit on the shared networks, so calls take turns."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self._pipeline, self._device = pipeline, device

    def __enter__(self) -> None:
        _OFFLOAD.acquire()
        try:
            self._pipeline.enable_model_cpu_offload(device=self._device)
        except BaseException:
            _OFFLOAD.release()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._pipeline.remove_all_hooks()
        finally:
            _OFFLOAD.release()


def _encodable(prompt: str) -> str:
    """A prompt without what no tokenizer can encode."""
    return prompt.encode("utf-8", "replace").decode("utf-8")
