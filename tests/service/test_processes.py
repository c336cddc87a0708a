"""Jobs in processes: a hang is ended, a crash fails one job, and Ctrl-C is the host's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from ganart_zoo.contract.errors import PluginFaultError
from ganart_zoo.service import Jobs, JobStoppedError
from ganart_zoo.service.worker import JobMemoryError, JobTimeoutError, WorkerDiedError
from tests.service.conftest import SITES

PICTURE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


def submit(jobs: Jobs, model: str, *, limits=None, preview=None, **options):
    return jobs.submit("stylize", content=PICTURE, model=model, settings=options, limits=limits, preview=preview)


def test_a_process_does_what_a_thread_does(busy, monkeypatch, tmp_path):
    monkeypatch.setattr("ganart_zoo.service.worker.GRACE", 0.5)
    with Jobs(busy, executor="processes") as jobs:
        job = submit(jobs, "steady", steps=5, pause=0.01, preview=0)
        events = list(job.events())
        assert [event.step for event in events] == [0, 0, 1, 2, 3, 4, 5, 5]
        assert torch.equal(job.result(0).images, PICTURE * 0)
        assert any(event.losses for event in events)
        (worker,) = jobs._processes.values()
        process = worker.pid
        # one that is asked stops at its next step
        job = submit(jobs, "steady", steps=100_000, pause=0.01)
        next(iter(job.events(after=2)))
        job.cancel()
        assert job.result(30).stopped
        # a timeout ends one that hangs, and the jobs go on in a new process
        with pytest.raises(JobTimeoutError, match="took longer than its timeout"):
            submit(jobs, "deaf", steps=600, pause=1, limits={"timeout": 0.5}).result(60)
        with pytest.raises(JobMemoryError, match="more than its limit of 1e"):
            submit(jobs, "deaf", steps=600, pause=1, limits={"memory": 1e6}).result(60)
        # a crash fails one job
        crash, after = submit(jobs, "fatal"), submit(jobs, "quick")
        with pytest.raises(WorkerDiedError, match="exit code 11"):
            crash.result(60)
        assert torch.equal(after.result(60).images, 1 - PICTURE)
        # one that was cancelled and hears nothing is ended too
        mark = tmp_path / "mark"
        deaf = submit(jobs, "deaf", steps=600, pause=1, mark=str(mark))
        while not mark.exists():
            time.sleep(0.01)
        deaf.cancel()
        with pytest.raises(JobStoppedError):
            deaf.result(60)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_errors_of_a_process_arrive_whole(zoo):
    with Jobs(zoo, executor="forkserver") as jobs:
        job = jobs.submit("stylize", content=PICTURE, model="broken")
        with pytest.raises(PluginFaultError, match="shapes do not fit") as caught:
            job.result(60)
    assert "RuntimeError" in caught.value.fault.traceback


def test_a_timeout_needs_processes(busy):
    with Jobs(busy) as jobs, pytest.raises(Exception, match="executor='processes'"):
        submit(jobs, "quick", limits={"timeout": 1})


HOST = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    sys.path[:0] = {sites!r}
    import ganart_busy, torch
    from ganart_zoo import Zoo
    from ganart_zoo.service import Jobs

    if __name__ == "__main__":
        with Jobs(Zoo(plugins=[ganart_busy]), executor="spawn") as jobs:
            job = jobs.submit("stylize", content=torch.rand(1, 3, 20, 20), model="steady",
                              settings={{"steps": 100, "pause": 0.02}})
            next(iter(job.events(after=3)))
            try:
                print("running", flush=True)
                job.wait()
            except KeyboardInterrupt:
                print("host", flush=True)
            print(job.result(60).stopped, job.state, flush=True)
"""


def test_a_host_that_closes_nothing_exits(tmp_path):
    script = tmp_path / "host.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys
            sys.path[:0] = {[str(site) for site in SITES]!r}
            import ganart_busy, torch
            from ganart_zoo import Zoo
            from ganart_zoo.service import Jobs

            if __name__ == "__main__":
                jobs = Jobs(Zoo(plugins=[ganart_busy]), executor="spawn")
                print(jobs.submit("stylize", content=torch.rand(1, 3, 20, 20), model="quick").result().stopped)
        """)
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout) == (0, "False\n"), found.stderr


def test_ctrl_c_belongs_to_the_host(tmp_path):
    script = tmp_path / "host.py"
    script.write_text(textwrap.dedent(HOST.format(sites=[str(site) for site in SITES])))
    host = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert host.stdout.readline() == "running\n"
    os.killpg(host.pid, signal.SIGINT)  # as a terminal does: to the host and its workers
    found, _ = host.communicate(timeout=60)
    assert found.splitlines() == ["host", "False finished"]
