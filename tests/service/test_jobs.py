"""Jobs in threads: states, order, events, cancelling, limits, and waiting by threads and by asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import torch

from ganart_zoo.contract import SettingsError
from ganart_zoo.contract.errors import PluginFaultError, UnknownModelError
from ganart_zoo.service import Jobs, JobStoppedError, pictures_of
from ganart_zoo.tasks.stylize import stylize

PICTURE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


def steady(jobs: Jobs, **options):
    """Submit a job of the model that stops when asked."""
    how = {name: options.pop(name) for name in ("priority", "limits", "preview") if name in options}
    return jobs.submit("stylize", content=PICTURE, model="steady", settings=options, **how)


def test_a_job_returns_what_the_task_returns(zoo, photo, painting):
    with Jobs(zoo) as jobs:
        job = jobs.submit("stylize", content=photo, styles=[painting], model="blend", seed="7", size=64.0)
        made = job.result(60)
    assert job.state == "finished"
    assert torch.equal(made.images, stylize(zoo, photo, [painting], model="blend", seed=7, size=64).images)
    (picture,) = pictures_of(made)
    assert picture.encoded()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.record.seed == 7


def test_a_generator_is_loaded_for_the_verbs_that_need_one(shapes, tmp_path):
    with Jobs(shapes) as jobs:
        sampled = jobs.submit("sample", model="bands", n=3, settings={"truncation": 0.5}).result(60)
        mixed = jobs.submit("mix", model="bands", rows=[1], columns=[2, 3], layers=[0, 1]).result(60)
        path = jobs.submit("interpolate", model="bands", seeds=[1, 2], steps=2).result(60).path
        assert path.suffix == ".gif" and path.stat().st_size > 0  # noqa: PT018
        ranked = jobs.submit("rank", model="reddest", pictures=[tmp_path / "none.png"])
        with pytest.raises(Exception, match="no such file"):
            ranked.result(60)
    assert [picture.record.seed for picture in pictures_of(sampled)] == [0, 1, 2]
    assert mixed.images.shape[:2] == (1, 2)
    assert not path.exists()  # it was ours


def test_jobs_run_by_priority_and_then_in_order(busy):
    with Jobs(busy) as jobs:
        first = steady(jobs, steps=1000, pause=0.01)
        next(iter(first.events(after=1)))
        low, other, high = steady(jobs), steady(jobs), steady(jobs, priority=5)
        assert [jobs.place(job) for job in (first, low, other, high)] == [None, 1, 2, 0]
        first.cancel()
        for job in (low, other, high):
            job.wait(60)
    assert high.started < low.started < other.started


def test_a_cancelled_job_that_waits_never_runs(busy):
    with Jobs(busy) as jobs:
        first, second = steady(jobs, steps=1000, pause=0.01), steady(jobs)
        assert second.cancel()
        assert second.state == "stopped"
        assert second.started is None
        with pytest.raises(JobStoppedError, match="cancelled"):
            second.result(0)
        assert not second.cancel()
        assert first.state in ("queued", "running")  # never another job
        assert jobs[first.id] is first


def test_a_cancelled_job_that_runs_stops_at_its_next_step_with_its_best(busy):
    with Jobs(busy) as jobs:
        job = steady(jobs, steps=1000, pause=0.01)
        for event in job.events():
            if event.step == 2:
                job.cancel()
        assert job.state == "stopped"
        assert event.step <= 4
        assert job.result(0).stopped
        assert job.reason == "cancelled"


def test_events_tell_steps_losses_time_left_and_previews(busy):
    with Jobs(busy) as jobs:
        events = list(steady(jobs, steps=5, pause=0.01, preview=0).events())
    assert [event.state for event in events] == ["queued", "running", *["running"] * 5, "finished"]
    assert [event.number for event in events] == list(range(1, 9))
    steps = [event for event in events if event.step and event.state == "running"]
    assert [(event.step, event.total, event.losses["loss"]) for event in steps][1] == (2, 5, 0.5)
    assert steps[-1].eta == 0
    assert steps[2].eta > 0
    # a reader that keeps up sees each; the job itself keeps the newest alone
    assert steps[0].preview is not None
    assert steps[0].preview.size == (24, 20)


def test_previews_come_at_the_rate_that_was_asked_for(busy):
    with Jobs(busy) as jobs:
        shown = [e for e in steady(jobs, steps=10, pause=0.02, preview=60).events() if e.preview is not None]
        none = [e for e in steady(jobs, steps=3).events() if e.preview is not None]
    assert [event.step for event in shown] == [1]
    assert none == []


def test_readers_can_go_on_from_the_last_event_they_saw(busy):
    with Jobs(busy) as jobs:
        job = steady(jobs)
        job.wait(60)
        assert [event.number for event in job.events(after=4)] == [5, 6]


def test_waiting_is_natural_in_asyncio(busy):
    async def main():
        with Jobs(busy, workers=2) as jobs:
            job, other = steady(jobs, steps=4, pause=0.01), steady(jobs)
            seen = [event.step async for event in job.events()]
            results = await asyncio.gather(job, other)
            long = steady(jobs, steps=1000, pause=0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(_awaited(long), 0.05)
            assert not long.done  # the waiter gave up, the job did not
            return seen, results

    async def _awaited(job):
        return await job

    seen, results = asyncio.run(main())
    assert seen[-2:] == [4, 4]
    assert all(result.images.shape == PICTURE.shape for result in results)


def test_limits_of_seconds_and_pixels(busy):
    with Jobs(busy, limits={"pixels": 1000, "seconds": 30}) as jobs:
        job = steady(jobs, steps=100_000, pause=0.01, limits={"seconds": 0.05})
        assert job.result(30).stopped
        assert "0.05 seconds" in job.reason
        with pytest.raises(SettingsError, match="480 pixels to work on, more than the limit of 100"):
            steady(jobs, limits={"pixels": 100})
        steady(jobs, limits={"pixels": 1e9}).result(30)
        with pytest.raises(
            SettingsError, match="1200 pixels to work on, more than the limit of 1000"
        ):  # a job cannot raise it
            jobs.submit("stylize", content=torch.rand(1, 3, 30, 40), model="quick", limits={"pixels": 1e9})
        jobs.submit("stylize", content=torch.rand(1, 3, 30, 40), model="quick", size=30).result(30)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"task": "styleize"}, "did you mean 'stylize'"),
        ({"task": "stylize", "contents": 1}, "'contents' is unknown; did you mean 'content'"),
        ({"task": "stylize"}, "content is missing"),
        ({"task": "stylize", "content": 3}, "content is 3, expected a picture"),
        ({"task": "stylize", "content": "a.png", "size": "big"}, "size is 'big'"),
        ({"task": "stylize", "content": "a.png", "model": "stedy"}, "did you mean 'steady'"),
        ({"task": "stylize", "content": "a.png", "model": "steady", "settings": {"step": 1}}, "no setting 'step'"),
        ({"task": "stylize", "content": "a.png", "model": "steady", "settings": {"steps": 0}}, "steps is 0"),
        ({"task": "sample", "model": "steady"}, "needs a generator"),
        ({"task": "stylize", "content": "a.png", "limits": {"second": 1}}, "did you mean 'seconds'"),
        ({"task": "stylize", "content": "a.png", "limits": {"seconds": -1}}, "seconds is -1"),
        ({"task": "stylize", "content": "a.png", "styles": [{"imge": "b.png"}]}, "did you mean 'image'"),
    ],
)
def test_bad_requests_are_refused_when_they_are_submitted(busy, request_, message):
    with Jobs(busy) as jobs:
        with pytest.raises((SettingsError, UnknownModelError), match=message):
            jobs.submit(**request_)
        assert len(jobs) == 0


def test_a_failed_job_raises_what_the_task_raised_and_fails_no_other(zoo, photo):
    with Jobs(zoo) as jobs:
        bad = jobs.submit("stylize", content=photo, model="broken")
        good = jobs.submit("stylize", content=photo, model="negative")
        with pytest.raises(PluginFaultError, match="shapes do not fit"):
            bad.result(60)
        assert good.result(60).images.shape == (1, 3, 30, 40)
    assert bad.state == "failed"
    assert "shapes do not fit" in bad.reason


def test_ended_jobs_are_forgotten_beyond_the_number_to_keep(busy):
    with Jobs(busy, keep=2) as jobs:
        made = [steady(jobs) for _ in range(5)]
        for job in made:
            job.wait(60)
        deadline = time.monotonic() + 10
        while len(jobs) > 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [job.id for job in jobs.list()] == [job.id for job in made[-2:]]
        assert made[0].result(0) is not None  # whoever holds it has it
        jobs.forget(made[-1].id)
        assert made[-1].id not in jobs


def test_close_stops_all_and_takes_no_more(busy):
    jobs = Jobs(busy)
    running, waiting = steady(jobs, steps=100_000, pause=0.01), steady(jobs)
    next(iter(running.events(after=2)))
    jobs.close()
    assert (running.state, waiting.state) == ("stopped", "stopped")
    with pytest.raises(Exception, match="closed"):
        steady(jobs)
    assert not [thread for thread in threading.enumerate() if thread.name == "ganart-job"]


def test_at_most_as_many_run_at_once_as_there_are_workers(busy):
    with Jobs(busy, workers=2) as jobs:
        made = [steady(jobs, steps=20, pause=0.01) for _ in range(5)]
        most = 0
        while not all(job.done for job in made):
            most = max(most, len(jobs.list("running")))
            time.sleep(0.005)
    assert most == 2


def test_arguments_in_the_form_of_json(zoo, photo, painting: Path):
    request = {"content": str(photo), "styles": [{"image": str(painting), "weight": "2"}], "model": "blend"}
    with Jobs(zoo) as jobs:
        made = jobs.submit("stylize", **request, init=str(photo), dtype="float32").result(60)
        alone = jobs.submit("stylize", content=str(photo), styles=str(painting), model="blend").result(60)
    assert made.record.request["styles"] == [{"name": None, "weight": 2.0}]
    assert torch.equal(made.images, alone.images)


def test_models_are_kept_between_jobs_and_released(busy, tmp_path):
    with Jobs(busy) as jobs:
        steady(jobs).result(60)
        assert busy.models.names == ("ganart-busy/steady",)
        model = busy.shared("steady")
        steady(jobs).result(60)
        assert busy.shared("steady") is model
        busy.release("steady")
        assert busy.models.names == ()
        jobs.idle_release(0.05)
        steady(jobs).result(60)
        deadline = time.monotonic() + 10
        while busy.models.names and time.monotonic() < deadline:
            time.sleep(0.01)
        assert busy.models.names == ()
    assert busy.models.budget == 0
