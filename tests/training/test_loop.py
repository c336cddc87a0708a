"""The loop: what a run leaves, how it stops and goes on, and what it refuses."""

from __future__ import annotations

import copy
import io
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import RecordWriter

from ganart_zoo.contract import Condition, ModelError, SettingsError, StepEvent, load_tensors
from ganart_zoo.data import open_data
from ganart_zoo.training import Augmentation, Penalty, TrainConfig, Trainer, checkpoint, launch
from ganart_zoo.training.card import LICENCE_TO_FILL_IN
from ganart_zoo.training.checkpoint import Checkpoints, under

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


class _JoiningCritic(TinyCritic):
    """Counts the batches that come in one call."""

    takes_batches = True

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.calls: list[int] = []

    def forward(self, images, condition=None, *, batches: int = 1):
        self.calls.append(batches)
        return super().forward(images, condition)


def test_real_and_generated_pictures_are_judged_in_one_call_where_the_critic_takes_it(tmp_path: Path) -> None:
    generator, critic = networks(3)
    joining = _JoiningCritic(3)
    joining.load_state_dict(critic.state_dict())
    settings = {"classes": 3, "precision": "float64", "r1": Penalty(weight=0.1, interval=2), "accumulate": 2}
    settings["augment"] = Augmentation(policy=("flip",), probability=0.5, target=None)
    trainer(tmp_path / "apart", pair=(copy.deepcopy(generator), critic), **settings).fit()
    trainer(tmp_path / "joined", pair=(generator, joining), **settings).fit()
    # two parts of the critic's turn, then of the generator's, each with its own pictures; before all, a check of sizes
    penalised, plain = [1] * 4 + [1] * 4, [2] * 2 + [1] * 4
    assert joining.calls == [1, *penalised, *plain, *penalised, *plain]
    joined, apart = weights(tmp_path / "joined"), weights(tmp_path / "apart")
    for name, tensor in apart.items():
        assert torch.allclose(joined[name], tensor, rtol=0, atol=1e-12), name


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
    with pytest.raises(SettingsError, match="path_length needs a style generator, and TinyGenerator is not one"):
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


def test_a_batch_in_parts_has_the_same_path_lengths(tmp_path: Path) -> None:
    for name, parts in (("whole", 1), ("parts", 4)):
        torch.manual_seed(0)
        pair = TinyStyleGenerator(), TinyCritic()
        every = Penalty(weight=0.1)
        trainer(tmp_path / name, pair=pair, accumulate=parts, path_length=every, steps=6).fit()
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "parts"), strict=True):
        assert one["path_length"] == pytest.approx(other["path_length"], rel=1e-4)


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    pair = networks()

    def poison(event: StepEvent) -> None:
        if event.step == 4:  # after the loss of the step was found sound
            pair[1].last.weight.data[0, 0] = float("inf")

    with pytest.raises(ModelError, match=r"critic\.last\.weight is not finite after step 4; .*step-00000002"):
        trainer(tmp_path / "run", pair=pair, steps=9, on_step=poison).fit()
    assert list(Checkpoints(tmp_path / "run" / "checkpoints", 2).steps()) == [2]


def test_nothing_unsound_is_shown_measured_or_saved(tmp_path: Path) -> None:
    """A bad loss is found before the grid, the measurement and the best checkpoint of its step."""
    pair = networks(own_loss=True)
    calls, measured = [], []

    def break_down(_, __, output):
        calls.append(1)
        bad = float("nan") if len(calls) > 4 * 2 + 1 else 1.0
        return output._replace(losses={"size": output.losses["size"] * bad})

    pair[1].register_forward_hook(break_down)
    quiet = {"log_every": 100, "checkpoint_every": 100, "steps": 9}
    metric = {"evaluate_every": 3, "sample_every": 3, "metric": lambda generator: measured.append(1) or {"distance": 1}}
    with pytest.raises(ModelError, match=r"critic_size is nan at step 3"):
        trainer(tmp_path / "run", pair=pair, **quiet, **metric).fit()
    assert not measured
    assert not list((tmp_path / "run").rglob("step-*"))
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


def test_advice_after_a_bad_loss_can_be_followed(tmp_path: Path) -> None:
    pair = networks(own_loss=True)
    pair[1].register_forward_hook(lambda _, __, out: out._replace(losses={"size": out.losses["size"] * float("nan")}))
    with pytest.raises(ModelError, match=r"lower the learning rates .* resume with changes allowed .*--allow-changes"):
        trainer(tmp_path / "run", pair=pair).fit()
    changed = trainer(tmp_path / "run", pair=networks(own_loss=True), critic_rate=1e-4)
    assert changed.fit(resume=True, allow_changes=True).finished


def test_a_measurement_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    values = iter([float("nan"), 5.0, float("nan"), float("-inf")])
    trainer(tmp_path / "run", steps=8, evaluate_every=2, metric=lambda generator: {"distance": next(values)}).fit()
    assert "5 at step 4" in (tmp_path / "run" / "README.md").read_text()


def test_a_kill_between_the_best_and_its_checkpoint_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the newest checkpoint says of the best is true of the best there is."""
    values = {2: 3.0, 4: 1.0, 6: 2.0}
    steps = []

    def metric(generator):
        return {"distance": values[steps[-1]]}

    def made() -> Trainer:
        return trainer(
            tmp_path / "run", steps=6, evaluate_every=2, metric=metric, on_step=lambda event: steps.append(event.step)
        )

    class Killed(BaseException):
        pass

    copy = checkpoint._copy

    def dying_copy(source: Path, target: Path) -> None:
        if steps[-1] == 4:
            raise Killed
        copy(source, target)

    monkeypatch.setattr(checkpoint, "_copy", dying_copy)
    with pytest.raises(Killed):
        made().fit()
    monkeypatch.undo()
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", 2)
    best, newest = (checkpoints.load(path)[1] for path in (checkpoints.best, checkpoints.latest()))
    assert newest["best"]["step"] <= best["step"]
    assert made().fit(resume=True).finished
    assert "1 at step 4" in (tmp_path / "run" / "README.md").read_text()
    kept, average = load_tensors(tmp_path / "run" / "generator.safetensors"), checkpoints.load(checkpoints.best)[0]
    assert same(kept, under("average", average))


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert trainer(run).fit().new
    card = run / "README.md"
    assert "| Last losses | critic" in card.read_text()
    card.write_text(card.read_text().replace(LICENCE_TO_FILL_IN, "CC0-1.0"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    events: list[str] = []
    again = trainer(run, on_event=lambda stage, path, details: events.append(stage))
    trained = again.fit(resume=True)
    assert (trained.finished, trained.new, trained.step) == (True, False, 4)
    assert not events
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert same(again.generator.own_state(), load_tensors(run / "generator.safetensors"))
    trainer(run, loss="hinge").fit(resume=True, allow_changes=True)  # nothing was learned with it
    assert json.loads((run / "config.json").read_text())["training"]["loss"] == "rpgan"


def test_a_longer_run_gets_a_card_beside_the_one_that_was_edited(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    (tmp_path / "run" / "README.md").write_text("mine")
    trainer(tmp_path / "run", steps=6).fit(resume=True, allow_changes=True)
    assert (tmp_path / "run" / "README.md").read_text() == "mine"
    assert "6 of 8 pictures" in (tmp_path / "run" / "README-6.md").read_text()


def test_a_run_killed_while_it_wrote_its_networks_still_finishes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(run).fit()
    card, kept = (run / "README.md").read_text(), weights(run)
    for name in ("README.md", "critic.safetensors"):
        (run / name).unlink()
    assert trainer(run).fit(resume=True).new
    assert same(weights(run), kept)
    told = [line for line in card.splitlines() if "Time" not in line]
    assert [line for line in (run / "README.md").read_text().splitlines() if "Time" not in line] == told


def test_checkpoints_without_a_config_are_not_taken_up_unasked(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(SettingsError, match="already holds a run; resume it"):
        trainer(tmp_path / "run").fit()
    assert not (tmp_path / "run" / "config.json").exists()


def test_two_trainings_of_one_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_PATIENCE", 0.0)
    refused = []

    def second(event: StepEvent) -> None:
        with pytest.raises(SettingsError, match=r"run: another training is writing it; let it end") as caught:
            trainer(tmp_path / "run").fit(resume=True)
        refused.append(str(caught.value).count("\n"))

    trainer(tmp_path / "run", steps=1, on_step=second).fit()
    assert refused == [0]
    assert trainer(tmp_path / "run", steps=2).fit(resume=True, allow_changes=True).finished


def test_the_device_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(write_npz(tmp_path / "data.npz"))

    def refused(device: str, match: str) -> None:
        with pytest.raises(SettingsError, match=match):
            Trainer(*networks(), data, TrainConfig(**SHORT), tmp_path / "run", device=device)

    refused("gpu", "device is 'gpu', expected 'cpu' or 'cuda")
    refused("meta", "device is 'meta', and accelerate is set up for another in this process")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused("cuda", "device is 'cuda', but this machine has no usable CUDA device; use 'cpu'")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused("cuda:1", "CUDA_VISIBLE_DEVICES says which GPU")
    assert not (tmp_path / "run").exists()


def test_a_process_that_stands_alone_among_several_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(tmp_path / "one").fit()  # accelerate has settled on one process
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"started 2 processes \(WORLD_SIZE\), and this one trains among 1"):
        trainer(tmp_path / "run")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(SettingsError, match="WORLD_SIZE is 'two' in the environment, expected the number of processes"):
        trainer(tmp_path / "run")


def test_a_second_training_may_be_on_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "meta")  # stands for a GPU
    assert Accelerator().device.type == "meta"
    monkeypatch.delenv("ACCELERATE_TORCH_DEVICE")
    assert trainer(tmp_path / "run").fit().finished
    assert Accelerator().device.type == "cpu"


def test_the_environment_of_accelerate_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(name: str) -> dict[str, torch.Tensor]:
        AcceleratorState._reset_state(reset_partial_state=True)
        assert trainer(tmp_path / name).fit().finished
        return weights(tmp_path / name)

    (tmp_path / "plain").mkdir()
    plain = train("plain/run")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "eager")
    monkeypatch.setenv("ACCELERATE_DYNAMO_USE_FULLGRAPH", "true")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    assert same(train("run"), plain)


@pytest.mark.parametrize("name", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"])
def test_ways_of_training_that_a_run_lacks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(SettingsError, match=rf"{name} is 'true' in the environment, and a run trains by plain PyTorch"):
        trainer(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_events_that_cannot_be_written_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(file: io.BufferedWriter) -> RecordWriter:
        file.close()
        return RecordWriter(Path("/dev/full").open("wb"))  # every write fails with ENOSPC, and so does closing

    monkeypatch.setattr("ganart_zoo.training.journal.RecordWriter", full)
    stages = []
    with pytest.raises(ModelError, match=r"run: cannot be written: No space left on device$"):
        trainer(tmp_path / "run", on_event=lambda stage, path, details: stages.append(stage)).fit()
    assert stages == ["started", "failed"]
    assert capfd.readouterr().err == ""


def test_a_journal_that_cannot_be_begun_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events").write_text("no folder")
    stages = []
    with pytest.raises(ModelError, match=r"run: cannot be written: "):
        trainer(tmp_path / "run", on_event=lambda stage, path, details: stages.append(stage)).fit()
    assert stages == ["started", "failed"]


def test_pace_and_losses_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("ganart_zoo.training.run.time.monotonic", lambda: next(clock) / 2)
    told: list[StepEvent] = []
    trainer(tmp_path / "run", steps=3, critic_steps=2, on_step=told.append).fit()
    # half a second from reading to reading of the clock, one reading a step, 2 critic steps of 8 pictures each
    assert [event.phase for event in told] == ["32 pictures/s"] * 3
    assert [(event.step, event.total) for event in told] == [(1, 3), (2, 3), (3, 3)]
    assert [event.losses.keys() >= {"critic", "generator"} for event in told] == [False, True, True]


def test_prompts_reach_both_networks(tmp_path: Path) -> None:
    """Each row's text goes with its picture to the critic, and with the picture made for it."""
    root = tmp_path / "pictures"
    root.mkdir()
    rows = []
    for level in range(0, 240, 40):
        Image.new("RGB", (8, 8), (level,) * 3).save(root / f"{level}.png")
        rows.append(json.dumps({"file_name": f"{level}.png", "text": f"grey {level}"}))
    (root / "metadata.jsonl").write_text("\n".join(rows))
    seen: dict[str, list[tuple[torch.Tensor, Condition]]] = {"generator": [], "critic": []}
    pair = networks()
    for name, network in zip(seen, pair, strict=True):
        network.register_forward_pre_hook(
            lambda _, inputs, name=name: seen[name].append((inputs[0].detach(), inputs[1]))
        )
    config = TrainConfig(**SHORT, steps=1)
    Trainer(*pair, open_data(root, 8), config, tmp_path / "run", conditions=["prompt"]).fit()
    # the first pass of each is the check of the networks; the generator's last makes the grid
    made = [told.prompts for _, told in seen["generator"][1:3]]
    real, fake, opposite, shown = seen["critic"][1:]
    batch = real[1].prompts
    assert len(batch) == 8
    assert [f"grey {round(float(image.mean()) * 255)}" for image in real[0]] == list(batch)
    assert all(told == batch for told in (*made, fake[1].prompts, opposite[1].prompts, shown[1].prompts))


def events_of(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "events"), size_guidance={"images": 0, "scalars": 0})
    return found.Reload()


def test_tensorboard_shows_what_was_logged(tmp_path: Path) -> None:
    """Also after a run was killed behind its last checkpoint: each step once."""
    run = tmp_path / "run"

    class Killed(BaseException):
        pass

    def kill(event: StepEvent) -> None:
        if event.step == 6:
            raise Killed

    with pytest.raises(Killed):
        trainer(run, steps=8, checkpoint_every=4, on_step=kill).fit()
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5]
    trainer(run, steps=8, checkpoint_every=4).fit(resume=True)
    events = events_of(run)
    logged = lines(run)
    assert [line["step"] for line in logged] == list(range(1, 9))
    assert set(events.Tags()["scalars"]) == {name for line in logged for name in line} - {"step"}
    for name in ("critic", "generator", "r1"):
        assert [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events.Scalars(name)] == [
            (line["step"], line[name]) for line in logged if name in line
        ]
    assert [event.step for event in events.Images("samples")] == [4, 8]
    shown = Image.open(io.BytesIO(events.Images("samples")[-1].encoded_image_string))
    saved = Image.open(run / "samples" / "step-00000008.png")
    difference = np.abs(np.asarray(shown, dtype=int) - np.asarray(saved.convert("RGB"), dtype=int))
    assert difference.max() <= 1  # one rounds, the other cuts


def test_pictures_that_cannot_be_read_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    for level in range(6):
        Image.new("RGB", (8, 8), (level,) * 3).save(root / f"{level}.png")
    for name in (b"bad.png", b"b\xe9d.png"):
        (root / os.fsdecode(name)).write_bytes(b"no picture")

    def made() -> Trainer:
        return Trainer(
            *networks(), open_data(root, 8), TrainConfig(**SHORT, steps=4), tmp_path / "run",
            on_step=lambda event: len(skips) > 1 or event.step < 3,
        )  # fmt: skip

    skips: list[tuple[str, ...]] = []
    for _ in range(2):
        skips.append(made().fit(resume=True).skipped)
    first, whole = skips
    assert len(first) == 2
    assert first == whole, "each once, though they come again every epoch"
    assert {line.partition(": ")[0] for line in whole} == {str(root / "bad.png"), str(root / "b\\xe9d.png")}
    assert (tmp_path / "run" / "skipped.txt").read_text().splitlines() == list(whole)
    assert "2 pictures unreadable" in (tmp_path / "run" / "README.md").read_text()
    assert sum("skipped" in record.getMessage() for record in caplog.records) == 2
    assert made().fit(resume=True).skipped == whole


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_of_the_program_changes_nothing(tmp_path: Path, dtype: torch.dtype) -> None:
    pairs = [networks(), networks()]
    trainer(tmp_path / "one", pair=pairs[0]).fit()
    torch.set_default_dtype(dtype)
    try:
        trainer(tmp_path / "other", pair=pairs[1]).fit()
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "other"))
