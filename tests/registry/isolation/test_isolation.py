"""Models in a process of their own: what crosses, and what a plugin that misbehaves costs."""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import (
    Condition,
    Critic,
    GanartError,
    Generator,
    ModelError,
    PluginFaultError,
    SettingsError,
    StepEvent,
    UnknownModelError,
    generator,
)
from ganart_zoo.registry.isolation import Isolation
from ganart_zoo.registry.isolation.messages import Inbox, Outbox, RefusedError, make_folders, remove_folders
from ganart_zoo.registry.processes import resident_of
from ganart_zoo.registry.runs import describe_parts
from tests.registry.isolation import unruly


@pytest.fixture(scope="module")
def zoo() -> Iterator[Zoo]:
    made = Zoo(plugins=[unruly], isolate={"unruly": Isolation(timeout=60, memory=700 << 20)})
    yield made
    made.release()


@pytest.fixture(scope="module")
def painter(zoo: Zoo) -> Generator:
    return cast(Generator, zoo.create("painter", rng=generator(1)))


def paint(zoo: Zoo, painter: Generator, does: str, **more: Any) -> torch.Tensor:
    latents = torch.ones(2, 4, dtype=torch.float32)
    return cast(torch.Tensor, painter(latents, options=zoo.options("painter", does=does), **more))


def test_what_is_painted_is_what_is_painted_in_this_process(zoo: Zoo, painter: Generator) -> None:
    here = cast(Generator, Zoo(plugins=[unruly]).create("painter", rng=generator(1)))
    drawn = [generator(5), generator(5)]
    latents, expected = (model.sample_latents(3, rng=one) for model, one in zip((painter, here), drawn, strict=True))
    assert torch.equal(latents, expected)
    assert torch.equal(drawn[0].get_state(), drawn[1].get_state())  # it was moved as the caller expects
    rows = [[generator(row) for row in range(3)] for _ in range(2)]
    assert torch.equal(painter(latents, rng=rows[0]), here(latents, rng=rows[1]))
    for one, other in zip(*rows, strict=True):
        assert torch.equal(one.get_state(), other.get_state())
    torch.manual_seed(3)
    one = painter(latents)
    torch.manual_seed(3)
    assert torch.equal(one, here(latents))  # without rng, from the global generator, which moves on
    assert here.provenance is not None
    assert painter.provenance is not None
    assert painter.provenance.to_json() == here.provenance.to_json()
    assert painter.config == here.config
    assert paint(zoo, painter, "pid")[0, 0, 0, 0] != os.getpid()


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("segfault", "its process ended with" if os.name == "nt" else "its process ended with signal SIGSEGV"),
        ("exit", "its process ended with exit code 3"),
        ("leak", "more than its 700 MiB, and was ended"),
        ("lambda", "its process answered with tests.registry.isolation.unruly.OwnError, and was ended"),
        ("raise", "ZeroDivisionError: of the plugin"),
    ],
)
def test_what_goes_wrong_is_a_fault_that_names_the_plugin_and_the_next_call_works(
    zoo: Zoo, painter: Generator, does: str, says: str
) -> None:
    before = painter(torch.ones(1, 4), rng=generator(2))
    with pytest.raises(PluginFaultError) as caught:
        paint(zoo, painter, does)
    fault = caught.value.fault
    assert (fault.plugin, fault.distribution, fault.model) == ("unruly", "unruly", "painter")
    assert says in fault.cause
    assert fault in zoo.faults
    if does == "raise":
        assert "unruly.py" in fault.traceback
    assert torch.equal(painter(torch.ones(1, 4), rng=generator(2)), before)  # first weights too are as they were


def test_a_hang_is_ended(zoo: Zoo) -> None:
    impatient = Zoo(plugins=[unruly], isolate={"unruly": Isolation(timeout=1)})
    model = cast(Generator, impatient.create("painter"))
    with pytest.raises(PluginFaultError, match="its process was silent for 1 seconds, and was ended"):
        paint(impatient, model, "hang")
    assert impatient.isolates.pids() == {}


def test_errors_of_ours_keep_their_class_and_text(zoo: Zoo, painter: Generator) -> None:
    with pytest.raises(ModelError, match="not this picture") as caught:
        paint(zoo, painter, "refuse")
    assert type(caught.value) is ModelError  # the plugin's own class is not imported here
    judge = cast(Critic, zoo.create("judge"))
    with pytest.raises(SettingsError, match="pictures have 2 rows"):
        judge(torch.rand(1, 3, 2, 2))
    with pytest.raises(MemoryError):
        paint(zoo, painter, "memory")
    with pytest.raises(SettingsError, match="side is 'wide'"):
        zoo.create("painter", side="wide")
    with pytest.raises(SettingsError, match="expected a Options"):
        painter(torch.ones(1, 4), options=cast(Any, painter.config))
    assert torch.equal(judge.score(torch.full((2, 3, 4, 4), 0.5)), torch.full((2,), 0.5))


def test_a_run_and_an_embedding_cross(zoo: Zoo, painter: Generator, tmp_path: Path) -> None:
    here = Zoo(plugins=[unruly]).create("painter", rng=generator(9))
    assert here.provenance is not None
    (tmp_path / "config.json").write_text(json.dumps(describe_parts({"generator": here.provenance})), encoding="utf-8")
    save_file(here.own_state(), tmp_path / "generator.safetensors")
    trained = cast(Generator, zoo.create(tmp_path))
    assert trained.provenance is not None
    assert trained.provenance.part == "generator"
    assert torch.equal(trained.own_state()["scale"], here.own_state()["scale"])
    assert not torch.equal(painter.own_state()["scale"], here.own_state()["scale"])
    copied = copy.deepcopy(painter)
    copied.load_own_state(here.own_state())
    zoo.release()  # what was loaded is loaded again
    assert torch.equal(copied.own_state()["scale"], here.own_state()["scale"])
    assert not torch.equal(painter.own_state()["scale"], here.own_state()["scale"])
    condition = zoo.create("judge").embed(Condition(prompts=("a", "red apple")))
    assert condition.prompts == ("a", "red apple")
    assert condition.embedding is not None
    assert condition.embedding.tolist() == [[1.0], [9.0]]


def test_prints_go_to_standard_error(zoo: Zoo, capfd: pytest.CaptureFixture[str]) -> None:
    source = Zoo(plugins=[unruly], isolate=["unruly"])
    model = cast(Generator, source.create("painter", prints=True))
    paint(source, model, "print")
    source.release()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(words in printed.err for words in ("constructed", "on standard output", "also there"))


def test_steps_previews_and_stopping_cross(zoo: Zoo, painter: Generator) -> None:
    seen: list[tuple[int, int | None, str, dict[str, float], float]] = []

    def listen(event: StepEvent) -> None:
        seen.append((event.step, event.total, event.phase, dict(event.losses), float(event.preview().mean())))

    assert paint(zoo, painter, "steps", on_step=listen).unique().tolist() == [4]
    assert seen == [(step, 4, "paint", {"loss": 1 / step}, step / 8) for step in range(1, 5)]
    for answer, last in ((None, 4), (0, 4), (False, 2)):
        stopped = paint(zoo, painter, "steps", on_step=lambda event, a=answer: a if event.step == 2 else None)
        assert stopped.unique().tolist() == [last]

    class MineError(Exception):
        pass

    def fail(event: StepEvent) -> None:
        raise MineError

    process = zoo.isolates.pids()
    with pytest.raises(MineError):
        paint(zoo, painter, "steps", on_step=fail)
    assert zoo.isolates.pids() == process  # the call unwound, and the process goes on


def test_a_listener_may_call_models_of_the_same_process(zoo: Zoo, painter: Generator) -> None:
    judge = cast(Critic, zoo.create("judge"))
    scores: list[float] = []

    def listen(event: StepEvent) -> None:
        scores.append(float(judge.score(event.preview())[0]))

    paint(zoo, painter, "steps", on_step=listen)
    assert scores == [0.125, 0.25, 0.375, 0.5]

    def crash(event: StepEvent) -> None:
        paint(zoo, painter, "exit")

    with pytest.raises(PluginFaultError, match="exit code 3"):
        paint(zoo, painter, "steps", on_step=crash)
    assert len(paint(zoo, painter, "paint")) == 2


def test_capabilities_that_need_gradients_are_withdrawn(zoo: Zoo, painter: Generator) -> None:
    assert zoo.spec("painter").capabilities == {"unconditional"}
    assert Zoo(plugins=[unruly]).spec("painter").capabilities == {"unconditional", "differentiable", "trainable"}
    assert next(painter.parameters(), None) is None
    with pytest.raises(GanartError, match="no gradient reaches"):
        painter(torch.ones(1, 4, requires_grad=True))
    with torch.no_grad():
        assert not painter(torch.ones(1, 4, requires_grad=True)).requires_grad
    assert zoo.describe()["models"][0]["isolated"] is True


def test_nothing_global_changes_here(zoo: Zoo, painter: Generator) -> None:
    def state() -> tuple[Any, ...]:
        return (
            bytes(torch.get_rng_state().tolist()),
            random.getstate(),
            dict(os.environ),
            list(sys.path),
            Path.cwd(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
        )

    before = state()
    torch.set_default_dtype(torch.float64)
    try:
        assert paint(zoo, painter, "paint", rng=generator(0)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    zoo.release()
    paint(zoo, painter, "paint", rng=generator(0))
    assert state() == before


def test_the_process_ends_on_release_and_with_the_program(tmp_path: Path, zoo: Zoo, painter: Generator) -> None:
    first = int(paint(zoo, painter, "pid").max())
    zoo.release("judge")
    assert gone(first)
    assert int(paint(zoo, painter, "pid").max()) != first
    program = tmp_path / "program.py"
    program.write_text(
        "import os, torch\n"
        "from ganart_zoo import Zoo\n"
        "from tests.registry.isolation import unruly\n"
        "zoo = Zoo(plugins=[unruly], isolate=['unruly'])\n"
        "model = zoo.create('painter')\n"
        "print(int(model(torch.ones(1, 4), options=zoo.options('painter', does='pid')).max()), flush=True)\n"
        "running = zoo.isolates.process(zoo, 'unruly')._running\n"
        "os.write(2, ' '.join(running.outbox._folders).encode())\n"
        "os.kill(os.getpid(), 9) if hasattr(os, 'fork') else os._exit(1)\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert gone(int(done.stdout)), done.stderr
    assert not [folder for folder in done.stderr.split() if Path(folder).exists()], "files are left behind"


def gone(pid: int) -> bool:
    """Wait for the end of a process, and say whether it came."""
    for _ in range(100):
        if resident_of(pid) in (None, 0):
            return True
        time.sleep(0.1)
    return False


def test_which_plugins_are_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANART_ISOLATE", "Un_Ruly, unruly=/nowhere/python")
    monkeypatch.setenv("GANART_ISOLATE_TIMEOUT", "7")
    monkeypatch.setenv("GANART_ISOLATE_MEMORY", "2GiB")
    zoo = Zoo(plugins=[unruly])
    assert zoo.isolates.chosen == {
        "un-ruly": Isolation(timeout=7, memory=2 << 30),
        "unruly": Isolation("/nowhere/python", 7, 2 << 30),
    }
    with pytest.raises(PluginFaultError, match="cannot start /nowhere/python: No such file"):
        zoo.create("painter")
    for isolate in (["=python"], "unruly", {"unruly": True}):
        with pytest.raises(SettingsError, match="isolate"):
            Zoo(plugins=[], isolate=cast(Any, isolate))
    for bad in (0, -1, float("nan"), "7"):
        with pytest.raises(SettingsError, match="timeout"):
            Isolation(timeout=cast(Any, bad))
    monkeypatch.setenv("GANART_ISOLATE", "ganart-gatis")
    faults = [fault for fault in Zoo().faults if fault.stage == "isolation"]
    assert [fault.distribution for fault in faults] == ["ganart-gatis"]


def test_another_interpreter_needs_what_the_plugin_needs(tmp_path: Path) -> None:
    zoo = Zoo(isolate={"ganart-patchgan": Isolation(python=sys.executable)})
    images, here = torch.rand(1, 3, 40, 40, generator=generator(0)), Zoo()
    there, expected = (cast(Critic, one.create("patchgan", weights=None, rng=generator(1))) for one in (zoo, here))
    assert torch.equal(there.score(images), expected.score(images))
    zoo.release()
    bare = tmp_path / "bare.py"
    bare.write_text("raise SystemExit(4)\n", encoding="utf-8")
    if os.name != "nt":
        empty = tmp_path / "python"
        empty.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{bare}'\n", encoding="utf-8")
        empty.chmod(0o755)
        lacking = Zoo(isolate={"ganart-patchgan": Isolation(python=empty)})
        with pytest.raises(PluginFaultError, match="exit code 4, while it started"):
            lacking.create("patchgan", weights=None)


def test_a_live_model_and_a_recipe_do_not_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = Zoo(isolate=["ganart-gatys", "ganart-text-critic"])
    backbone = zoo.create("squeezenet1_1", weights=None)
    with pytest.raises(SettingsError, match="backbone is a live model"):
        zoo.create("gatys", backbone=backbone)
    with pytest.raises(UnknownModelError, match="for inference only"):
        zoo.recipe("ganart-text-critic/text-critic")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_tensors_cross_with_their_dtype_shape_and_layout(dtype: torch.dtype) -> None:
    folders = make_folders()
    try:
        outbox, inbox = Outbox(folders), Inbox(guarded=True)
        whole = (torch.rand(2, 3, 4, 5, generator=generator(0)) * 9).to(dtype)
        tensors = {
            "rows": whole,
            "channels last": whole.to(memory_format=torch.channels_last),
            "strided": whole[:, ::2, 1:, ::3],
            "expanded": whole[:1].expand(3, -1, -1, -1),
            "scalar": whole[0, 0, 0, 0],
            "empty": whole[:0],
            "large": whole.repeat(1, 1, 100, 100),
        }
        for _ in range(2):  # the second time, the larger file is there already
            found, _ = inbox.open(outbox.pack(tensors))
            for name, tensor in tensors.items():
                assert torch.equal(found[name], tensor), name
                assert found[name].dtype == dtype
        assert found["channels last"].is_contiguous(memory_format=torch.channels_last)
        assert os.name == "nt" or not [file for folder in folders for file in Path(folder).iterdir()]
    finally:
        remove_folders(folders)


def test_an_answer_runs_no_code(tmp_path: Path) -> None:
    class Nasty:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    folders = make_folders()
    try:
        message = Outbox(folders).pack(Nasty())
        with pytest.raises(RefusedError, match="mkdir"):
            Inbox(guarded=True).open(message)
        with pytest.raises(RefusedError, match="damaged"):
            Inbox(guarded=True).open(message[:20])
    finally:
        remove_folders(folders)
    assert not (tmp_path / "made").exists()
