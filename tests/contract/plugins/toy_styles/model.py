"""A mapping network, and modulated convolutions with noise between them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo.contract import Condition, Rng, SettingsError, StyleGenerator, per_row, randn
from toy_styles.config import Config, Options

_CHANNELS = 4


class Styled(StyleGenerator):
    """Latents and a label give one style a layer; each layer scales its channels by it and adds noise."""

    latent_shape = (5,)
    num_ws = 3

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.w_dim = config.w_dim
        self.mapping = nn.Sequential(
            nn.Linear(*self.latent_shape, self.w_dim), nn.Tanh(), nn.Linear(self.w_dim, self.w_dim)
        )
        self.label = nn.Embedding(max(1, len(config.class_names)), self.w_dim)
        self.register_buffer("mean_w", torch.randn(self.w_dim))
        self.start = nn.Parameter(torch.randn(1, _CHANNELS, config.resolution // 4, config.resolution // 4))
        self.scale = nn.ModuleList(nn.Linear(self.w_dim, _CHANNELS) for _ in range(self.num_ws))
        self.convolution = nn.ModuleList(nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1) for _ in range(self.num_ws))
        self.noise = nn.ParameterList(torch.randn(1, 1, side, side) for side in self._sides())
        self.paint = nn.Conv2d(_CHANNELS, 3, 1)

    def _sides(self) -> list[int]:
        return [self.config.resolution // 4 * 2 ** max(0, layer) for layer in range(self.num_ws)]

    def sample_latents(self, n: int, *, rng: Rng = None, options: Options | None = None) -> Tensor:
        return randn((n, *self.latent_shape), rng, self.device, self.compute_dtype)

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        w = self.mapping(latents.to(self.compute_dtype))
        if condition is not None and condition.labels is not None:
            labels = condition.rows(len(latents)).labels
            if int(labels.max()) >= self.label.num_embeddings:
                raise SettingsError(
                    f"label {int(labels.max())} is too large; there are {self.label.num_embeddings} classes"
                )
            w = w + self.label(labels)
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesize(self, ws: Tensor, *, rng: Rng = None) -> Tensor:
        ws = ws.to(self.compute_dtype)
        features = self.start.expand(len(ws), -1, -1, -1)
        rows = per_row(rng, len(ws))
        for layer, side in enumerate(self._sides()):
            if layer:
                features = functional.interpolate(features, size=(side, side))
            scale = 1 + self.scale[layer](ws[:, layer])
            features = functional.silu(self.convolution[layer](features) * scale[:, :, None, None])
            features = features + 0.1 * self._noise(layer, side, rows, len(ws))
        return self.paint(features).to(self.picture_dtype) + 0.5

    def _noise(self, layer: int, side: int, rows: list[torch.Generator] | None, n: int) -> Tensor:
        if rows is None and not self.training:
            return self.noise[layer]
        return randn((n, 1, side, side), rows, self.device, self.compute_dtype)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        options = options or Options()
        return self.synthesize(self.truncate(self.map(latents, condition), options.truncation), rng=rng)
