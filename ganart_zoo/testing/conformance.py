"""Selects the checks that apply to a model's kind and capabilities."""

from __future__ import annotations

from ganart_zoo.contract import StyleGenerator
from ganart_zoo.testing import any_kind, backbones, behaviour, critics, generators, kernels, steps, style_transfer
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["checks_for"]

_KINDS: dict[str, tuple[Check, ...]] = {
    "generator": generators.CHECKS,
    "critic": critics.CHECKS,
    "style_transfer": style_transfer.CHECKS,
    "backbone": backbones.CHECKS,
}
_CAPABILITIES: dict[tuple[str, str], tuple[Check, ...]] = {
    ("generator", "unconditional"): (generators.works_without_condition,),
    ("generator", "labels"): (generators.one_label_serves_all_rows,),
    ("generator", "reference"): (generators.one_reference_serves_all_rows,),
    ("generator", "prompt"): (behaviour.heeds_the_prompt,),
    ("critic", "prompt"): (critics.prompts_embed_once, behaviour.heeds_the_prompt),
    ("style_transfer", "init"): (behaviour.heeds_init,),
    ("style_transfer", "image_styles"): (style_transfer.only_shares_of_styles_count,),
    ("style_transfer", "named_styles"): (style_transfer.names_are_known_and_checked,),
    ("style_transfer", "no_style"): (style_transfer.works_without_style,),
    ("style_transfer", "temporal"): (style_transfer.keeps_what_was_painted,),
}

_IN_THIS_PROCESS = (backbones.stops_at_the_deepest_layer, backbones.reach_is_as_declared)
"""They count operations or follow gradients, which is not possible for a model in a process of its own."""


def checks_for(subject: Subject) -> tuple[Check, ...]:
    """Return every check that applies to the subject's model, by its kind, capabilities and settings."""
    spec = subject.spec
    checks = [*any_kind.CHECKS, *behaviour.CHECKS, *kernels.CHECKS, *_KINDS[spec.kind]]
    for capability in sorted(spec.capabilities):
        checks += _CAPABILITIES.get((spec.kind, capability), ())
    if "differentiable" in spec.capabilities:
        checks.append(any_kind.gradients_reach_inputs_even_outside_0_to_1)
    if "trainable" in spec.capabilities:
        checks.append(any_kind.training_touches_only_own_parts)
    options = subject.zoo.settings(subject.name).option_names
    if spec.kind in ("generator", "style_transfer") and options:
        checks.append(behaviour.no_options_means_the_defaults)
    if spec.kind in ("generator", "style_transfer") and "steps" in options:
        checks += steps.CHECKS
    if spec.kind == "generator" and isinstance(subject.create(), StyleGenerator):
        checks += generators.STYLE_CHECKS
    if subject.zoo.entry(subject.name).plugin.isolation is not None:
        checks = [check for check in checks if check not in _IN_THIS_PROCESS]
    return tuple(checks)
