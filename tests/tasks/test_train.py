"""The verb train, as a task and as a command: what follows from the data, what is kept, what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import ganart_learners
import ganart_tiny
import numpy as np
import pytest
import torch
from ganart_learners.config import Config
from ganart_learners.networks import Judge, Learner
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract import SettingsError, load_tensors
from ganart_zoo.data import open_data
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.tasks.evaluate import evaluate
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.train import train
from ganart_zoo.training import Measurement, TrainConfig, Trainer

NAMES = ("learner", "judge")
SHORT = TrainConfig(steps=4, batch=8, workers=0, samples=4, checkpoint_every=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def learners() -> Iterator[Zoo]:
    """A zoo of the learners alone."""
    ganart_learners.events.clear()
    yield Zoo(plugins=[ganart_learners], strict=True)
    ganart_learners.listeners.clear()


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "labelled.npz"
    np.savez(path, images=images, labels=np.arange(20) % 3, class_names=np.array(["cat", "dog", "owl"]))
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.npz"
    np.savez(path, images=np.random.default_rng(1).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    return path


def test_a_finished_run_is_a_model(learners: Zoo, labelled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = train(learners, *NAMES, labelled, run, config=SHORT, generator_settings={"width": 5})
    assert trained.finished
    generator, critic = learners.create(run), learners.create(run, part="critic")
    assert generator.config.model_dump() == {"resolution": 8, "class_names": ("cat", "dog", "owl"), "width": 5}
    assert critic.config.width == 8
    saved = load_tensors(run / "generator.safetensors")
    assert all(torch.equal(tensor, saved[name]) for name, tensor in generator.own_state().items())
    described = json.loads((run / "config.json").read_text())
    assert described["parts"]["generator"]["model"] == learners.entry("learner").canonical
    assert described["class_names"] == ["cat", "dog", "owl"]
    assert described["conditions"] == ["labels"]


def test_plugins_hear_of_a_run(learners: Zoo, plain: Path, tmp_path: Path) -> None:
    train(learners, *NAMES, plain, tmp_path / "run", config=SHORT)
    heard = [(event.task, event.stage, event.model) for event in ganart_learners.events]
    name = learners.entry("learner").canonical
    assert heard[0] == ("train", "started", name)
    assert heard[-1] == ("train", "finished", name)
    saved = [event.path.name for event in ganart_learners.events if event.stage == "saved"]
    assert saved == ["step-00000002.safetensors", "step-00000004.png", "step-00000004.safetensors"]


def test_the_seed_decides_the_first_weights(learners: Zoo, plain: Path, tmp_path: Path) -> None:
    def first(seed: int, name: str) -> torch.Tensor:
        config = SHORT.model_copy(update={"seed": seed, "steps": 1, "generator_rate": 1e-12})
        train(learners, *NAMES, plain, tmp_path / name, config=config)
        return load_tensors(tmp_path / name / "generator.safetensors")["out.weight"]

    torch.manual_seed(1)
    one = first(0, "a")
    torch.manual_seed(2)
    assert torch.equal(first(0, "b"), one)
    assert not torch.equal(first(1, "c"), one)


def test_networks_are_told_what_both_can_take(learners: Zoo, labelled: Path, tmp_path: Path) -> None:
    train(learners, "learner", "plain_judge", labelled, tmp_path / "run", config=SHORT)
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["conditions"] == []
    assert described["parts"]["generator"]["config"]["class_names"] == []


def test_mismatches_are_refused(learners: Zoo, labelled: Path, plain: Path, tmp_path: Path) -> None:
    def refused(match: str, *names: str, data: Path = labelled, **given) -> None:
        with pytest.raises(SettingsError, match=match):
            train(learners, *names, data, tmp_path / "run", config=SHORT, **given)

    refused("plain_judge takes no labels", "learner", "plain_judge", conditions=["labels"])
    refused("the data has no labels", *NAMES, data=plain, conditions=["labels"])
    refused("told_judge needs labels", "learner", "told_judge", data=plain)
    refused("condition 'label' is unknown", *NAMES, conditions=["label"])
    refused("judge is a critic, expected a generator", "judge", "judge")
    refused("finished does not declare the capability 'trainable'", "finished", "judge")
    refused("class_names has 2 names, and the data 3 classes", *NAMES, generator_settings={"class_names": ["a", "b"]})
    refused("has no setting 'depth'", *NAMES, critic_settings={"depth": 2})
    assert not (tmp_path / "run").exists()


FLAGS = ("--generator", "learner", "--critic", "judge", "--steps", "4", "--batch", "8", "--seed", "3")


def command(zoo: Zoo, data: Path, run: Path, *more: str) -> int:
    arguments = ["train", *FLAGS, "--data", str(data), "--size", "8", "--checkpoint-every", "2", "--out", str(run)]
    return main([*arguments, "--set", "training.workers=0", "--quiet", *more], zoo=zoo)


def test_a_run_is_not_written_into_the_folder_of_its_pictures(learners: Zoo, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 8)).save(pictures / "a.png")
    link = tmp_path / "link"
    link.symlink_to(pictures)
    for data, folder in ((pictures, pictures), (pictures, link), (link, pictures / ".." / "link")):
        with pytest.raises(SettingsError, match="is the folder of the pictures; choose another for the run"):
            train(learners, *NAMES, data, folder, size=8, config=SHORT)
    assert [path.name for path in pictures.iterdir()] == ["a.png"]


def test_flags_settings_and_file_come_together(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        f"""
data = "{labelled}"
flip = true
[generator]
model = "learner"
width = 6
[critic]
model = "judge"
[training]
steps = 100
batch = 4
workers = 0
r1 = {{ weight = 3.0, interval = 2 }}
"""
    )
    flags = ["--config", str(file), "--steps", "3", "--set", "training.r1.interval=5", "--set", "critic.width=9"]
    more = ["--set", "training.augment.policy=flip,colour", "--json", "-q"]
    assert main(["train", *flags, *more, "--out", str(tmp_path / "run")], zoo=learners) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 3
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    training, parts = described["training"], described["parts"]
    assert (training["steps"], training["batch"], training["r1"]) == (
        3,
        4,
        {"weight": 3.0, "interval": 5, "final": 1.0},
    )
    assert training["augment"]["policy"] == ["flip", "colour"]
    assert (parts["generator"]["config"]["width"], parts["critic"]["config"]["width"]) == (6, 9)
    assert described["data"]["flip"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_resume_finishes_exactly(
    learners: Zoo, labelled: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def interrupt(event) -> None:
        if event.stage == "saved" and event.path.suffix == ".safetensors" and event.details["step"] == 2:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    ganart_learners.listeners.append(interrupt)
    assert command(learners, labelled, tmp_path / "run") == 130
    assert signal.getsignal(number) is before
    assert not (tmp_path / "run" / "generator.safetensors").exists()
    assert ganart_learners.events[-1].stage == "stopped"
    ganart_learners.listeners.clear()
    assert command(learners, labelled, tmp_path / "run", "--resume") == 0
    assert command(learners, labelled, tmp_path / "whole") == 0
    one, other = (load_tensors(tmp_path / name / "generator.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_is_sampled_by_the_average_of_its_newest_checkpoint(
    learners: Zoo, labelled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(event) -> None:
        if event.stage == "saved" and event.path.suffix == ".safetensors" and event.details["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    run = tmp_path / "run"
    ganart_learners.listeners.append(stop)
    assert command(learners, labelled, run) == 130
    checkpoint = load_tensors(max((run / "checkpoints").iterdir()))
    assert main(["sample", str(run), "-o", str(tmp_path / "grid.png"), "-q"], zoo=learners) == 0
    (step,) = {int(file.stem.partition("-")[2]) for file in [max((run / "checkpoints").iterdir())]}
    assert f"{run} has not finished; this is the average of step {step}" in caplog.messages
    made = learners.create(run).own_state()
    assert all(torch.equal(tensor, checkpoint[f"average.{name}"]) for name, tensor in made.items())
    judge = learners.create(run, part="critic").own_state()
    assert all(torch.equal(tensor, checkpoint[f"critic.{name}"]) for name, tensor in judge.items())
    assert caplog.messages[-1] == f"{run} has not finished; this is the network of step {step}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_set_up_of_a_training_hears_signals(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The handlers of the training are not in place yet: a signal ends the process, or raises at once."""
    handlers = []

    def opened(*arguments: object, **settings: object) -> None:
        handlers.append(signal.getsignal(number))
        raise KeyboardInterrupt

    monkeypatch.setattr("ganart_zoo.tasks.train.open_data", opened)
    before = signal.getsignal(number)
    assert command(Zoo(plugins=[ganart_learners], strict=True), labelled, tmp_path / "run") == 130
    assert handlers == [before]
    assert not (tmp_path / "run").exists()


def test_resume_alone_takes_all_from_the_run(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--flip", "--set", "generator.width=5", "--set", "critic.width=6", "--set", "training.r1.interval=3")
    assert command(learners, labelled, tmp_path / "whole", *settings) == 0

    def stop(event) -> None:
        if event.stage == "saved" and event.details["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    ganart_learners.listeners.append(stop)
    run = tmp_path / "run"
    assert command(learners, labelled, run, *settings) == 130
    ganart_learners.listeners.clear()
    described = (run / "config.json").read_text()
    assert main(["train", "--out", str(run), "--resume", "--set", "generator.width=7", "-q"], zoo=learners) == 2
    assert "parts.generator.config.width was 5, now 7" in capsys.readouterr().err
    assert main(["train", "--out", str(run), "--resume", "--generator", "learner", "-q"], zoo=learners) == 0
    assert (run / "config.json").read_text() == described
    one, other = (load_tensors(tmp_path / name / "generator.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_resume_alone_takes_what_models_are_built_on(tmp_path: Path) -> None:
    pytest.importorskip("ganart_fastgan")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", images=rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8))
    backbone = {"model": "efficientnet_lite0", "weights": None, "classifier": False}
    zoo = Zoo()
    train(
        zoo,
        "fastgan",
        "projected_critic",
        tmp_path / "data.npz",
        tmp_path / "run",
        config=TrainConfig(steps=1, batch=2, workers=0, samples=1, recalibrate=0),
        generator_settings={"width": 8},
        critic_settings={"view": 32, "width": 2, "max_width": 2, "backbone": backbone},
    )
    again = ["train", "--out", str(tmp_path / "run"), "--resume", "-q"]
    assert main(again, zoo=zoo) == 0
    assert main([*again, "--steps", "2", "--allow-changes"], zoo=zoo) == 0


def test_resume_alone_says_what_it_lacks(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    resume = ["train", "--out", str(run), "--resume"]
    assert command(learners, labelled, run) == 0
    labelled.rename(tmp_path / "moved.npz")
    assert main(resume, zoo=learners) == 2
    assert f"{run} learns from {labelled}, and nothing is there now; give --data PATH" in capsys.readouterr().err
    assert main([*resume, "--data", str(tmp_path / "moved.npz")], zoo=learners) == 0
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"ganart: {run} was finished already, at step 4; nothing was changed"
    assert told.out == ""
    described = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**described, "parts": {}}))
    assert main(resume, zoo=learners) == 2
    assert "config.json does not hold the settings of its training: 'generator' is missing" in capsys.readouterr().err
    (run / "config.json").unlink()
    assert main(resume, zoo=learners) == 2
    assert "no generator: give --generator MODEL" in capsys.readouterr().err


def test_pictures_that_cannot_be_read_are_counted_in_a_line(
    learners: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(5):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / f"{number}.png")
    (root / "bad.png").write_bytes(b"no picture")
    arguments = ["train", *FLAGS, "--data", str(root), "--size", "8", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--set", "training.workers=0"], zoo=learners) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path / 'run'}  step 4  ")
    assert line.endswith(" s  1 picture skipped, see skipped.txt")
    assert (tmp_path / "run" / "skipped.txt").read_text().startswith(f"{root / 'bad.png'}: ")


def test_mistakes_are_one_line(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("stesp = 3")
    for more, match in {
        ("--set", "lr"): "--set 'lr' is not of the form NAME=VALUE",
        ("--network", "judge=judge"): "the recipe gan has no network 'judge'; it has generator, critic",
        ("--network", "judge"): "--network 'judge' is not of the form ROLE=MODEL",
        ("--style", "a.png"): "the recipe gan learns no styles; leave out --style",
        ("--dry-run",): "Gan has no dry run; leave out --dry-run",
        ("--recipe", "gann"): "recipe 'gann' is unknown; did you mean 'gan'",
        ("--set", "training.los=hinge"): "training has no setting 'los'; did you mean 'loss'",
        ("--set", "training.loss=hing"): "training.loss is 'hing', expected 'rpgan'",
        ("--set", "training.r3.weight=1"): "training has no group 'r3'",
        ("--set", "lr=1"): "training has no setting 'lr'",
        ("--set", "generator.wdth=1"): "no setting 'wdth'; did you mean 'width'",
        ("--batch", "0"): "training.batch is 0, expected greater than or equal to 1",
        ("--config", str(file)): "unknown entry 'stesp'",
    }.items():
        assert command(learners, labelled, tmp_path / "run", *more) == 2
        error = capsys.readouterr().err
        assert match in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_changed_resume_says_what_changed(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(learners, labelled, tmp_path / "run") == 0
    assert command(learners, labelled, tmp_path / "run", "--steps", "6", "--resume") == 2
    assert "training.steps was 4, now 6" in capsys.readouterr().err
    assert command(learners, labelled, tmp_path / "run", "--steps", "6", "--resume", "--allow-changes") == 0


@pytest.fixture
def judged(tmp_path: Path) -> Zoo:
    """The learners, and the tiny backbone to measure them on."""
    return Zoo(plugins=[ganart_learners, ganart_tiny], strict=True, store=WeightsStore(tmp_path / "home"))


MEASURED = ("training.metric.backbone=pool", "training.metric.side=16", "training.metric.samples=20")
MEASURED = (*[word for pair in MEASURED for word in ("--set", pair)], "--set", "training.evaluate_every=1")


@pytest.mark.parametrize(("flag", "name"), [("frechet", "frechet_distance"), ("kernel", "kernel_distance")])
def test_the_best_by_a_metric_is_kept_and_the_card_has_its_figure(
    judged: Zoo, labelled: Path, tmp_path: Path, flag: str, name: str
) -> None:
    run = tmp_path / "run"
    assert command(judged, labelled, run, "--metric", flag, *MEASURED) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = {line["step"]: line for line in lines if name in line}
    assert list(measured) == [1, 2, 3, 4]
    about = measured[4]["measured_on"]
    assert (about["name"], about["samples"], about["reals"], about["seed"]) == (name, 20, 20, 0)
    assert (about["features"]["backbone"], about["features"]["layer"]) == ("ganart-tiny/pool", "blocks")
    best = min(measured.values(), key=lambda line: line[name])
    assert (
        f"{name} {best[name]:.6g} at step {best['step']}; 20 pictures from seed 0, ganart-tiny/pool blocks at 16 px"
        in (run / "README.md").read_text()
    )
    kept = load_tensors(run / "checkpoints" / "best.safetensors")
    finished = load_tensors(run / "generator.safetensors")
    assert all(torch.equal(kept[f"average.{key}"], tensor) for key, tensor in finished.items())
    found = evaluate(load_generator(judged, run), labelled, samples=20, backbone="pool", side=16)
    assert found.metrics[name] == pytest.approx(best[name], rel=1e-6)


def test_measuring_changes_nothing_of_the_training_and_resumes(judged: Zoo, labelled: Path, tmp_path: Path) -> None:
    def interrupt(event) -> None:
        if event.stage == "saved" and event.path.suffix == ".safetensors" and event.details["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    assert command(judged, labelled, tmp_path / "plain") == 0
    ganart_learners.listeners.append(interrupt)
    assert command(judged, labelled, tmp_path / "run", "--metric", "frechet", *MEASURED) == 130
    ganart_learners.listeners.clear()
    assert command(judged, labelled, tmp_path / "run", "--metric", "kernel", *MEASURED, "--resume") == 2
    assert command(judged, labelled, tmp_path / "run", "--metric", "frechet", *MEASURED, "--resume") == 0
    one, other = (load_tensors(tmp_path / name / "critic.safetensors") for name in ("plain", "run"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "not measured" in (tmp_path / "plain" / "README.md").read_text()
    assert not (tmp_path / "plain" / "checkpoints" / "best.safetensors").exists()


def test_a_file_s_metric_is_switched_off_by_the_flag(judged: Zoo, labelled: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[training]\nmetric = { name = "frechet", backbone = "pool", samples = 20 }\n')
    assert command(judged, labelled, tmp_path / "run", "--config", str(file), "--metric", "none") == 0
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (described["training"]["metric"]["name"], "metric" in described) == (None, False)


def test_a_metric_that_cannot_be_measured_is_said_before_the_training(
    judged: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[training]\nmetric = "frechet"\n')
    np.savez(tmp_path / "few.npz", images=np.zeros((9, 8, 8, 3), np.uint8))
    for more, match in {
        ("--set", "training.metric.backbone=pol"): "model 'pol' is unknown; did you mean 'pool'",
        ("--set", "training.metric.backbone=judge"): "judge is a critic, expected a backbone",
        ("--set", "training.metric.layer=stem"): "layer 'stem' is not in Pool",
        ("--set", "training.metric.weights=none.safetensors"): "no such variant, file or folder",
        ("--set", "training.metric.samples=9"): "training.metric.samples is 9",
        ("--data", str(tmp_path / "few.npz")): "the data holds 9 pictures, expected at least 10",
        ("--config", str(file)): "training.metric is 'frechet', expected a table",
    }.items():
        assert command(judged, labelled, tmp_path / "run", *MEASURED, "--metric", "frechet", *more) == 2
        error = capsys.readouterr().err
        assert match in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_trainer_alone_says_that_nobody_measures(plain: Path, tmp_path: Path) -> None:
    config = SHORT.model_copy(update={"metric": Measurement(name="kernel")})
    networks = Learner(Config(resolution=8)), Judge(Config(resolution=8))
    with pytest.raises(SettingsError, match=r"training\.metric is set, and no metric was given"):
        Trainer(*networks, open_data(plain), config, tmp_path / "run")


def test_a_network_starts_from_weights_that_a_flag_names(
    learners: Zoo, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(learners, labelled, tmp_path / "first") == 0
    for part in ("generator", "critic"):
        start = tmp_path / "first" / f"{part}.safetensors"
        frozen = ["--set", f"training.{part}_rate=1e-12", "--set", "training.ema_ramp=0.0"]
        run = tmp_path / part
        assert command(learners, labelled, run, "--set", f"{part}.weights={start}", *frozen) == 0
        before, after = load_tensors(start), load_tensors(run / f"{part}.safetensors")
        assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
        assert json.loads((run / "config.json").read_text())["parts"][part]["weights"] == str(start)
    capsys.readouterr()
    assert command(learners, labelled, tmp_path / "none", "--set", "critic.weights=none.pt") == 2
    assert "weights 'none.pt' of ganart-learners/judge: no such variant" in capsys.readouterr().err


def test_all_settings_are_listed(learners: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help-training"], zoo=learners) == 0
    listed = capsys.readouterr().out
    for name in (
        "training.steps",
        "training.metric.name",
        "training.r1.weight",
        "training.augment.policy",
        "training.ema_decay",
    ):
        assert name in listed
