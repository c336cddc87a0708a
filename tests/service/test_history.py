"""Jobs in a folder: they survive a restart and a kill, with nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo import GanartError
from ganart_zoo.imaging import read_record
from ganart_zoo.service import Jobs, pictures_of
from ganart_zoo.service.history import _decoded, _encoded
from tests.service.conftest import SITES

PICTURE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


def test_results_are_read_after_a_restart_and_inputs_are_copies(zoo, photo, painting, tmp_path):
    folder = tmp_path / "jobs"
    with Jobs(zoo, folder) as jobs:
        job = jobs.submit(
            "stylize", content=photo, styles=[{"image": painting.read_bytes()}], model="blend", priority=3
        )
        photo.unlink()
        made = job.result(60)
        before = made.images
        failed = jobs.submit("stylize", content=PICTURE, model="broken")
        failed.wait(60)
    with Jobs(zoo, folder) as jobs:
        again = jobs[job.id]
        assert (again.state, again.priority, again.created) == ("finished", 3, job.created)
        assert torch.equal(again.result(0).images, before)
        (picture,) = again.pictures()
        assert picture.record.inputs[0].name == "photo.png"
        assert read_record(again.result(0).path).seed == 0
        with pytest.raises(GanartError, match="shapes do not fit"):
            jobs[failed.id].result(0)
        assert [one.id for one in jobs.list()] == [job.id, failed.id]
        jobs.forget(job.id)
    assert not (folder / job.id).exists()


def test_an_animation_stays_in_the_folder(shapes, tmp_path):
    with Jobs(shapes, tmp_path) as jobs:
        job = jobs.submit("interpolate", model="bands", seeds=[1, 2], steps=2)
        job.wait(60)
    with Jobs(shapes, tmp_path) as jobs:
        assert jobs[job.id].result(0).path.suffix == ".gif"
        assert jobs[job.id].result(0).path.is_file()


def test_jobs_that_wait_when_it_is_closed_are_queued_again(busy, tmp_path):
    with Jobs(busy, tmp_path) as jobs:
        running = jobs.submit("stylize", content=PICTURE, model="steady", settings={"steps": 100_000, "pause": 0.01})
        waiting = jobs.submit("stylize", content=PICTURE, model="steady", settings={"steps": 2})
        next(iter(running.events(after=2)))
    assert (running.state, waiting.state) == ("stopped", "stopped")
    with Jobs(busy, tmp_path) as jobs:
        assert jobs[waiting.id].result(60).images.shape == PICTURE.shape
        assert jobs[running.id].state == "stopped"


def test_only_one_process_uses_a_folder(busy, tmp_path):
    code = f"from ganart_zoo import Zoo; from ganart_zoo.service import Jobs; Jobs(Zoo(plugins=[]), {str(tmp_path)!r})"
    with Jobs(busy, tmp_path):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another process keeps its jobs here" in found.stderr


def test_every_kind_of_argument_survives(tmp_path):
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    given = {
        "bytes": b"abc",
        "image": Image.fromarray(array),
        "array": array,
        "tensor": PICTURE,
        "path": tmp_path / "run",
        "dtype": torch.bfloat16,
        "settings": {"steps": 3, "layers": ("a", "b")},
    }
    encoded = {name: _encoded(value, tmp_path, True) for name, value in given.items()}
    found = {name: _decoded(value, tmp_path) for name, value in encoded.items()}
    assert found["bytes"].read_bytes() == b"abc"
    assert np.array_equal(np.asarray(Image.open(found["image"])), array)
    assert np.array_equal(found["array"], array)
    assert torch.equal(found["tensor"], PICTURE)
    assert found["path"] == tmp_path / "run"
    assert (found["dtype"], found["settings"]) == ("bfloat16", {"steps": 3, "layers": ["a", "b"]})


HOST = """
    import sys
    sys.path[:0] = {sites!r}
    import ganart_busy, torch
    from ganart_zoo import Zoo
    from ganart_zoo.service import Jobs

    jobs = Jobs(Zoo(plugins=[ganart_busy]), {folder!r})
    done = jobs.submit("stylize", content=torch.rand(1, 3, 20, 20), model="quick")
    done.result()
    running = jobs.submit("stylize", content=torch.rand(1, 3, 20, 20), model="steady",
                          settings={{"steps": 40, "pause": 0.05}})
    waiting = jobs.submit("stylize", content=torch.rand(1, 3, 20, 20), model="quick")
    next(iter(running.events(after=2)))
    print(done.id, running.id, waiting.id, flush=True)
    running.wait()
"""


def test_a_kill_loses_no_job(busy, tmp_path):
    folder = tmp_path / "jobs"
    script = tmp_path / "host.py"
    script.write_text(textwrap.dedent(HOST.format(sites=[str(site) for site in SITES], folder=str(folder))))
    host = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    done, running, waiting = host.stdout.readline().split()
    os.kill(host.pid, signal.SIGKILL)
    host.communicate()
    (folder / "0123456789abcdef" / "inputs").mkdir(parents=True)  # a request that was being written
    with Jobs(busy, folder) as jobs:
        assert jobs[done].state == "finished"
        assert len(pictures_of(jobs[done].result(0))) == 1
        assert {jobs[running].state, jobs[waiting].state} <= {"queued", "running"}
        assert jobs[running].result(60).images.shape == (1, 3, 20, 20)
        assert jobs[waiting].result(60).images.shape == (1, 3, 20, 20)
        assert not (folder / "0123456789abcdef").exists()
    assert not list(folder.rglob("*.part"))


def test_a_job_that_always_ends_the_process_is_failed(busy, tmp_path):
    folder = tmp_path / "jobs"
    with Jobs(busy, folder) as jobs:
        job = jobs.submit("stylize", content=PICTURE, model="quick")
        job.wait(60)
        history = jobs._history
        history._update("UPDATE jobs SET state = 'running', tries = 3 WHERE id = ?", job.id)
    with Jobs(busy, folder) as jobs:
        assert jobs[job.id].state == "failed"
        assert "3 times" in jobs[job.id].reason


def test_a_full_disk_fails_the_job_and_no_other(busy, tmp_path, monkeypatch):
    def full(*_, **__):
        raise GanartError("no space left on the device")

    with Jobs(busy, tmp_path) as jobs:
        monkeypatch.setattr("ganart_zoo.service.history.save", full)
        job = jobs.submit("stylize", content=PICTURE, model="quick")
        with pytest.raises(GanartError, match="no space left"):
            job.result(60)
        monkeypatch.undo()
        assert jobs.submit("stylize", content=PICTURE, model="quick").result(60).path.is_file()
