"""The loop: what a run leaves, how it stops and goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ganart_zoo.contract import Condition, ModelError, SettingsError, load_tensors
from ganart_zoo.training import Augmentation, Penalty, TrainConfig, Trainer, open_data

from .networks import TinyCritic, TinyGenerator, TinyStyleGenerator, networks, write_npz

SHORT = {"batch": 8, "workers": 0, "log_every": 1, "sample_every": 4, "checkpoint_every": 2, "samples": 4}


def trainer(folder: Path, *, classes: int = 0, pair=None, size: int | None = None, **given) -> Trainer:
    hooks = {name: given.pop(name) for name in ("on_step", "on_event", "metric", "record") if name in given}
    data = open_data(write_npz(folder.parent / "data.npz", classes=classes), size)
    config = TrainConfig(**{**SHORT, "steps": 4, **given})
    conditions = ["labels"] if classes else []
    return Trainer(*(pair or networks(classes)), data, config, folder, conditions=conditions, **hooks)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    both = {part: load_tensors(folder / f"{part}.safetensors") for part in ("generator", "critic")}
    return {f"{part}.{name}": tensor for part, tensors in both.items() for name, tensor in tensors.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_all_that_it_promises(tmp_path: Path) -> None:
    run = tmp_path / "run"
    events: list[str] = []
    trained = trainer(run, steps=5, classes=3, on_event=lambda stage, path, details: events.append(stage)).fit()
    assert (trained.finished, trained.step, trained.skipped) == (True, 5, ())
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "README.md",
        "config.json",
        "critic.safetensors",
        "generator.safetensors",
        "metrics.jsonl",
        "samples/step-00000004.png",
        "samples/step-00000005.png",
        "checkpoints/step-00000004.safetensors",
        "checkpoints/step-00000005.safetensors",
    } <= names
    assert any(name.startswith("events/") for name in names)
    assert not [name for name in names if name.endswith(".part")]
    assert "checkpoints/step-00000002.safetensors" not in names  # only the newest two are kept
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5]
    assert json.loads((run / "config.json").read_text())["training"]["steps"] == 5
    assert (events[0], events[-1], events.count("saved")) == ("started", "finished", 5)


def test_the_saved_generator_is_the_average_of_the_trained(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run")
    made.fit()
    assert same(load_tensors(tmp_path / "run" / "generator.safetensors"), made.generator.own_state())


def test_it_learns_the_mean_colour(tmp_path: Path) -> None:
    firm = Penalty(weight=1, interval=4)  # at rates as high as these
    rates = {"generator_rate": 0.01, "critic_rate": 0.01, "ema_decay": 0.9, "r1": firm, "r2": firm}
    made = trainer(tmp_path / "run", steps=150, log_every=50, **rates)
    latents = made.generator.sample_latents(64, rng=torch.Generator().manual_seed(0))
    before = float(made.generator(latents).mean())
    made.fit()
    after = float(made.generator(latents).mean())
    real = float(open_data(tmp_path / "data.npz")._images.float().mean() / 255)  # 0.22, against an untrained 0.5
    assert abs(after - real) < 0.3 * abs(before - real)


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_a_stopped_run_goes_on_exactly(tmp_path: Path, stop_at: int) -> None:
    settings = {"steps": 7, "classes": 3, "augment": Augmentation(policy=("flip",), probability=0.2, target=0.5)}
    trainer(tmp_path / "whole", **settings).fit()
    run = tmp_path / "run"
    stopped = trainer(run, on_step=lambda event: event.step < stop_at, **settings).fit()
    assert (stopped.finished, stopped.step) == (False, stop_at)
    assert not (run / "generator.safetensors").exists()
    assert trainer(run, **settings).fit(resume=True).finished
    assert same(weights(run), weights(tmp_path / "whole"))
    keys = ("step", "critic", "generator")
    assert [[line[key] for key in keys] for line in lines(run)] == [
        [line[key] for key in keys] for line in lines(tmp_path / "whole")
    ]


def test_a_finished_run_can_be_resumed_without_effect(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    before = weights(tmp_path / "run")
    assert trainer(tmp_path / "run").fit(resume=True).finished
    assert same(weights(tmp_path / "run"), before)


def test_embedders_keep_their_random_numbers(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(tmp_path / "run").fit()
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_in_parts_is_the_same_batch(tmp_path: Path) -> None:
    """Where networks treat rows apart, parts differ only in the order of sums."""
    for name, parts in (("whole", 1), ("parts", 4)):
        pair = networks()
        pair[0].dropout.p = 0.0
        trainer(tmp_path / name, pair=pair, accumulate=parts, steps=6).fit()
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "parts"), strict=True):
        assert one.keys() == other.keys()
        for term in {"critic", "generator", "r1", "r2"} & one.keys():
            assert one[term] == pytest.approx(other[term], rel=1e-4)


def test_workers_change_nothing(tmp_path: Path) -> None:
    trainer(tmp_path / "none").fit()
    trainer(tmp_path / "two", workers=2).fit()
    assert same(weights(tmp_path / "none"), weights(tmp_path / "two"))


@pytest.mark.parametrize("loss", ["rpgan", "non_saturating", "hinge", "wasserstein", "least_squares"])
def test_every_loss_and_penalty_runs(tmp_path: Path, loss: str) -> None:
    pair = TinyStyleGenerator(), TinyCritic(own_loss=True)
    every = Penalty(weight=0.1, interval=2)
    policy = ("flip", "colour", "translation", "cutout", "affine")
    trainer(
        tmp_path / "run",
        pair=pair,
        loss=loss,
        r1=every,
        r2=every,
        gradient_penalty=every,
        path_length=every,
        critic_steps=2,
        accumulate=2,
        augment=Augmentation(policy=policy, probability=0.5),
        precision="bfloat16",
    ).fit()
    first, second, *_ = lines(tmp_path / "run")
    lazy = {"r1", "r2", "gradient_penalty", "path_length"}
    assert lazy <= first.keys()
    assert not lazy & second.keys()
    assert "critic_size" in second


def test_conditions_reach_both_networks(tmp_path: Path) -> None:
    seen: dict[str, list[Condition | None]] = {"generator": [], "critic": []}
    pair = networks(3)
    for name, network in zip(seen, pair, strict=True):
        network.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[1]))
    trainer(tmp_path / "run", pair=pair, classes=3).fit()
    for conditions in seen.values():
        assert all(condition is not None and condition.labels.dtype == torch.int64 for condition in conditions)
        assert {int(label) for condition in conditions for label in condition.labels} == {0, 1, 2}


def test_the_critic_is_frozen_while_the_generator_steps(tmp_path: Path) -> None:
    pair = networks()
    states = []
    pair[1].register_forward_pre_hook(
        lambda *_: states.append([next(network.parameters()).requires_grad for network in pair])
    )
    trainer(tmp_path / "run", pair=pair, steps=1, samples=1).fit()
    # after the check: real and generated in the critic's turn, real and generated in the generator's
    assert states[1:] == [[False, True], [False, True], [True, False], [True, False]]


def test_a_loss_that_is_not_finite_stops_it(tmp_path: Path) -> None:
    pair = networks(own_loss=True)
    calls = []

    def break_down(_, __, output):
        calls.append(1)
        bad = float("nan") if len(calls) > 4 * 3 + 1 else 1.0
        return output._replace(losses={"size": output.losses["size"] * bad})

    pair[1].register_forward_hook(break_down)
    with pytest.raises(ModelError, match=r"critic_size is nan at step 4; the last good checkpoint is .*step-00000002"):
        trainer(tmp_path / "run", pair=pair, steps=9, log_every=3).fit()


def test_the_best_measured_is_what_is_kept(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 2.0])
    averages = []

    def metric(generator):
        averages.append({name: tensor.clone() for name, tensor in generator.own_state().items()})
        return {"distance": next(values)}

    trainer(tmp_path / "run", steps=6, evaluate_every=2, metric=metric).fit()
    assert same(load_tensors(tmp_path / "run" / "generator.safetensors"), averages[1])
    assert "1 at step 4" in (tmp_path / "run" / "README.md").read_text()


def test_a_changed_setting_is_named_and_refused(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    with pytest.raises(
        SettingsError, match=r"training\.loss was 'rpgan', now 'hinge'; training\.r1\.weight was 0\.2, now 2\.0"
    ):
        trainer(tmp_path / "run", loss="hinge", r1=Penalty(weight=2, interval=4, final=0.1)).fit(resume=True)
    with pytest.raises(SettingsError, match=r"data\.sha256 was"):
        trainer(tmp_path / "run", pair=networks(3), classes=3).fit(resume=True)
    assert trainer(tmp_path / "run", loss="hinge", steps=6).fit(resume=True, allow_changes=True).step == 6


def test_a_run_is_not_begun_over_another(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    with pytest.raises(SettingsError, match="already holds a run; resume it"):
        trainer(tmp_path / "run").fit()


def test_what_does_not_fit_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"TinyGenerator makes pictures \[3, 8, 8\], and the data has \[3, 16, 16\]"):
        trainer(tmp_path / "run", size=16)
    with pytest.raises(ModelError, match="TinyCritic cannot judge pictures of 8×8"):
        trainer(tmp_path / "run", pair=(TinyGenerator(), TinyCritic(size=16)))
    with pytest.raises(SettingsError, match="path_length needs a style generator, and TinyGenerator is none"):
        trainer(tmp_path / "run", path_length=Penalty(weight=1))
    data = open_data(tmp_path / "data.npz")
    with pytest.raises(SettingsError, match="the data has no classes"):
        Trainer(*networks(), data, TrainConfig(), tmp_path / "run", conditions=["labels"])
    assert not (tmp_path / "run").exists()


def test_one_picture_is_enough(tmp_path: Path) -> None:
    data = open_data(write_npz(tmp_path / "one.npz", n=1))
    assert Trainer(*networks(), data, TrainConfig(**SHORT, steps=3), tmp_path / "run").fit().finished


def test_a_full_disk_is_one_line_and_costs_no_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def fill(stage, path, details) -> None:
        if stage == "saved" and path.suffix == ".safetensors":
            (run / "metrics.jsonl").unlink()
            (run / "metrics.jsonl").symlink_to("/dev/full")  # every write fails with ENOSPC

    with pytest.raises(ModelError, match=r"run: cannot be written: No space left on device$"):
        trainer(run, on_event=fill).fit()
    (run / "metrics.jsonl").unlink()
    assert trainer(run).fit(resume=True).finished
