"""A style-based generator, and one that works in steps: seeds, truncation, mixing, guidance, stopping."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from toy_diffusion.model import Denoise
from toy_styles.model import Styled

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, SettingsError, StepEvent, generator


@pytest.fixture
def styled(zoo: Zoo) -> Styled:
    torch.manual_seed(0)
    return cast(Styled, zoo.create("styled"))


@pytest.fixture
def denoise(zoo: Zoo) -> Denoise:
    torch.manual_seed(0)
    return cast(Denoise, zoo.create("denoise"))


def test_truncation_pulls_styles_towards_their_mean(zoo: Zoo, styled: Styled) -> None:
    latents = styled.sample_latents(2, rng=generator(1))
    ws = styled.map(latents)
    for truncation in (0.0, 0.3, 1.0):
        by_hand = styled.mean_w + truncation * (ws - styled.mean_w)
        made = styled(latents, options=zoo.options("styled", truncation=truncation))
        torch.testing.assert_close(made, styled.synthesize(by_hand))
    with pytest.raises(SettingsError, match=r"truncation is 1\.5, expected less than or equal to 1"):
        zoo.options("styled", truncation=1.5)


def test_mixing_takes_each_layer_from_its_own_row(styled: Styled) -> None:
    """With the later layers of another row, only what those layers do changes."""
    ws = styled.map(styled.sample_latents(2, rng=generator(1)))
    mixes = [torch.cat([ws[:1, :layer], ws[1:, layer:]], dim=1) for layer in range(styled.num_ws + 1)]
    pictures = styled.synthesize(torch.cat(mixes))
    plain = styled.synthesize(ws)
    torch.testing.assert_close(pictures[-1], plain[0])
    torch.testing.assert_close(pictures[0], plain[1])
    assert len({float(picture.sum()) for picture in pictures}) == styled.num_ws + 1


def test_noise_is_stored_or_drawn(styled: Styled) -> None:
    ws = styled.map(styled.sample_latents(2, rng=generator(1)))
    stored, one, other = (styled.synthesize(ws, rng=rng) for rng in (None, generator(1), generator(2)))
    assert not torch.equal(stored, one)
    assert not torch.equal(one, other)


def test_a_seed_a_row_makes_the_same_picture_in_any_batch(zoo: Zoo, styled: Styled) -> None:
    def picture(seeds: list[int]) -> torch.Tensor:
        latents = styled.sample_latents(len(seeds), rng=[generator(seed) for seed in seeds])
        return styled(latents, rng=[generator(seed + 100) for seed in seeds])

    batch = picture([5, 6, 7, 6])
    torch.testing.assert_close(batch[1], batch[3], rtol=0, atol=0)
    for row, seed in enumerate([5, 6, 7]):
        torch.testing.assert_close(picture([seed])[0], batch[row])


def test_labels_choose_a_class(styled: Styled) -> None:
    latents = styled.sample_latents(2, rng=generator(1))
    cats, dogs, both = (styled(latents, Condition(labels=torch.tensor(which))) for which in ([0], [1], [0, 1]))
    assert not torch.allclose(cats, dogs)
    torch.testing.assert_close(both, torch.stack([cats[0], dogs[1]]))
    with pytest.raises(SettingsError, match="label 2 is too large"):
        styled(latents, Condition(labels=torch.tensor([2])))
    with pytest.raises(SettingsError, match="3 rows of labels for 2 pictures"):
        styled(latents, Condition(labels=torch.tensor([0, 1, 0])))


def test_a_float64_model_agrees_with_its_float32_twin(zoo: Zoo, styled: Styled) -> None:
    double = zoo.create("styled", dtype=torch.float64)
    double.load_own_state(styled.own_state())
    latents = styled.sample_latents(3, rng=generator(1))
    exact = double(latents.double(), rng=generator(2))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(styled(latents, rng=generator(2)).double(), exact, rtol=1e-5, atol=1e-5)


def test_guidance_moves_away_from_the_negative_prompt(zoo: Zoo, denoise: Denoise) -> None:
    """With w the colour of the prompt and u of the negative one, guidance g aims at u + g (w - u): linear in g."""
    latents = denoise.sample_latents(1, rng=generator(1))

    def first_guess(guidance: float) -> torch.Tensor:
        options = zoo.options("denoise", guidance=guidance, negative_prompt="fog")
        return denoise(latents, Condition(prompts=["sea"]), rng=generator(2), options=options, on_step=lambda _: False)

    none, plain, strong = (first_guess(guidance) for guidance in (0.0, 1.0, 3.0))
    torch.testing.assert_close(strong - none, 3 * (plain - none))
    assert (plain - none).abs().max() > 1e-3


@pytest.mark.parametrize("stop_at", [1, 4, 10])
def test_stopping_gives_the_best_picture_so_far(zoo: Zoo, denoise: Denoise, stop_at: int) -> None:
    shown: list[torch.Tensor] = []

    def watch(event: StepEvent) -> bool:
        shown.append(event.preview())
        return event.step < stop_at

    latents = denoise.sample_latents(2, rng=generator(1))
    picture = denoise(latents, rng=generator(2), options=zoo.options("denoise", steps=20), on_step=watch)
    assert len(shown) == stop_at
    torch.testing.assert_close(picture.clamp(0, 1), shown[-1], rtol=0, atol=0)


def test_settings_of_the_steps_are_checked(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match=r"steps is 0, expected .*; guidance is 'much', expected a valid number"):
        zoo.options("denoise", steps=0, guidance="much")
    with pytest.raises(SettingsError, match="did you mean 'negative_prompt'"):
        zoo.options("denoise", negativ_prompt="fog")
    with pytest.raises(SettingsError, match="has no setting 'truncation'"):
        zoo.options("denoise", truncation=0.5)
