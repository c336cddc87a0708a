"""Jobs on a Ray cluster of several worker processes of this machine; one of them is killed in the middle."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch

from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.imaging import save
from ganart_zoo.service import Jobs, JobStoppedError, RayExecutor
from ganart_zoo.service.worker import JobTimeoutError, WorkerDiedError
from tests.service.conftest import SITES

pytest.importorskip("ray", reason="needs the extra ray")

PICTURE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


def submit(jobs: Jobs, model: str, content=PICTURE, **more):
    known = {name: more.pop(name) for name in ("limits", "preview") if name in more}
    return jobs.submit("stylize", content=content, model=model, settings=more, **known)


def until_there(path):
    while not path.exists() or not path.read_text():
        time.sleep(0.01)
    return int(path.read_text())


@pytest.mark.filterwarnings("default")  # Ray's own
def test_each_job_is_answered_once(busy, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else its workers hardly run where a machine is busy
    before, on_term = dict(os.environ), signal.getsignal(signal.SIGTERM)
    executor = RayExecutor(
        "local", retries=1, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(map(str, SITES))}}
    )
    ends = []
    with Jobs(busy, executor=executor, workers=2) as jobs:
        assert signal.getsignal(signal.SIGTERM) is on_term
        assert os.environ.get("RAY_USAGE_STATS_ENABLED") == before.get("RAY_USAGE_STATS_ENABLED")
        mark = tmp_path / "mark"
        save(PICTURE, tmp_path / "photo.png")
        victim = submit(jobs, "steady", steps=60, pause=0.05, mark=str(mark), preview=0)
        others = [submit(jobs, "steady", tmp_path / "photo.png", steps=5, pause=0.05) for _ in range(4)]
        next(event for event in victim.events() if event.step >= 3)
        os.kill(until_there(mark), signal.SIGKILL)
        for job in (victim, *others):
            assert not job.result(120).stopped
            assert torch.equal(job.result(0).images, PICTURE * 0)
            ends.append([event.state for event in job.events(after=job.last_event.number - 2)])
        assert ends == [["running", "finished"]] * 5
        assert len(jobs.list("finished")) == len(jobs) == 5
        (made,) = others[0].pictures()
        assert (made.record.inputs[0].name, made.record.model.model) == ("photo.png", "ganart-busy/steady")
        # its steps began again, and the last preview came with the last step
        steps = [event.step for event in victim.events() if event.state == "running"]
        assert steps.count(1) == 2
        assert steps[-1] == 60

        mark.unlink()
        running = submit(jobs, "steady", steps=100_000, pause=0.01, mark=str(mark))
        until_there(mark)
        running.cancel()
        assert running.result(30).stopped
        # what crashes its process wherever it runs fails after the last attempt, and fails alone
        crash, hang = submit(jobs, "fatal"), submit(jobs, "deaf", steps=60, pause=1, limits={"timeout": 0.5})
        after = submit(jobs, "quick")
        waits = submit(jobs, "quick")
        waits.cancel()
        with pytest.raises(JobStoppedError):
            waits.result(0)
        with pytest.raises(WorkerDiedError, match="the process of stylize died"):
            crash.result(120)
        with pytest.raises(JobTimeoutError):
            hang.result(120)
        assert torch.equal(after.result(120).images, 1 - PICTURE)
        with pytest.raises(GanartError):
            submit(jobs, "steady", tmp_path / "missing.png").result(60)
    import ray

    assert not ray.is_initialized()


def test_ray_is_loaded_only_when_asked_for():
    with pytest.raises(SettingsError, match="num_cpus is -1"):
        RayExecutor(num_cpus=-1)
    with pytest.raises(SettingsError, match="threads, processes"):
        Jobs(None, executor="rays")
