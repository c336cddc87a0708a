"""Losses on a backbone's features, and gradient descent on pictures: what style transfer and dreams are built from.

    layers = backbone.role_layers("style")
    targets = {name: perceptual.GramTarget.of(features) for name, features in backbone(painting, layers).items()}

    seen = backbone(picture, layers)
    loss = perceptual.gram_term([targets[name] for name in layers], [seen[name] for name in layers], weights)

Everything here works on any `contract.Backbone` and on batches. Importing this module imports torch.
"""

from ganart_zoo.perceptual.acceleration import Precision, accelerate, can_accelerate, convolve_relu, fastest, warmed
from ganart_zoo.perceptual.checks import check_init, check_pictures, check_previous, check_region, check_styles
from ganart_zoo.perceptual.descent import LBFGS, Adam, Descent, Evaluation, NormalizedGradient, descend
from ganart_zoo.perceptual.memory import MemoryFit, fit_memory, peak_bytes
from ganart_zoo.perceptual.penalties import change_penalty, range_penalty, total_variation
from ganart_zoo.perceptual.progress import Progress
from ganart_zoo.perceptual.pyramid import from_pyramid, to_pyramid
from ganart_zoo.perceptual.reach import measure_reach, reach_of
from ganart_zoo.perceptual.regions import StyleGroup, group_maps, group_styles, guidance, guided_gram
from ganart_zoo.perceptual.scales import SMALLEST_SIDE, Scale, schedule
from ganart_zoo.perceptual.shifts import SHIFTS, UNSHIFTED, Margins, Shift, margins, shifts, with_margin
from ganart_zoo.perceptual.sliced import SlicedTarget, match_ranks, random_directions, resample_sorted, sort_rows
from ganart_zoo.perceptual.targets import ContentTarget, GramTarget, StatisticsTarget, Sums, Target, gram_term
from ganart_zoo.perceptual.tiled import Tiling, pixel_change, pixel_penalties, with_gradient

__all__ = [
    "LBFGS",
    "SHIFTS",
    "SMALLEST_SIDE",
    "UNSHIFTED",
    "Adam",
    "ContentTarget",
    "Descent",
    "Evaluation",
    "GramTarget",
    "Margins",
    "MemoryFit",
    "NormalizedGradient",
    "Precision",
    "Progress",
    "Scale",
    "Shift",
    "SlicedTarget",
    "StatisticsTarget",
    "StyleGroup",
    "Sums",
    "Target",
    "Tiling",
    "accelerate",
    "can_accelerate",
    "change_penalty",
    "check_init",
    "check_pictures",
    "check_previous",
    "check_region",
    "check_styles",
    "convolve_relu",
    "descend",
    "fastest",
    "fit_memory",
    "from_pyramid",
    "gram_term",
    "group_maps",
    "group_styles",
    "guidance",
    "guided_gram",
    "margins",
    "match_ranks",
    "measure_reach",
    "peak_bytes",
    "pixel_change",
    "pixel_penalties",
    "random_directions",
    "range_penalty",
    "reach_of",
    "resample_sorted",
    "schedule",
    "shifts",
    "sort_rows",
    "to_pyramid",
    "total_variation",
    "warmed",
    "with_gradient",
    "with_margin",
]
