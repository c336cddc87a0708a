"""`ganart tune`: the fastest choice is kept with the machine's fingerprint, and used only where it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganart_zoo import native, tuning
from ganart_zoo.bench import tune as tuner
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.tuning import Tuning, fingerprint, use_tuning

built = pytest.mark.skipif(native.ops_library() is None, reason="the kernels are not built")


@built
@pytest.mark.parametrize(("slow", "wins"), [(1.0, False), (0.99, False), (0.5, True)])
def test_another_choice_must_be_faster_beyond_chance(slow: float, wins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two choices, of which the second takes `slow` times as long as the default."""
    chosen: list[tuple[str, int]] = []
    isa, threads = str(torch.ops.ganart.use_cpu_isa("")), torch.get_num_threads()
    choices = [(isa, threads), ("baseline", threads + 1)]
    monkeypatch.setattr(tuner, "candidates", lambda: choices)
    monkeypatch.setattr(tuner, "_calls", lambda sizes: iter([lambda: None]))
    monkeypatch.setattr(tuner, "_choose", chosen.append)
    monkeypatch.setattr(tuner, "_timed", lambda call: 1.0 if chosen[-1] == choices[0] else slow)
    found = tuner.tune(seconds=0)
    assert (found.isa, found.threads) == choices[int(wins)]
    assert [each["seconds"] for each in found.measured] == pytest.approx([1.0, slow])
    assert chosen == [*choices * 3, choices[0]]  # by turns, and the process is left as it was


@built
def test_tuning_times_every_op_and_leaves_the_process_as_it_was() -> None:
    before = str(torch.ops.ganart.use_cpu_isa("")), torch.get_num_threads()
    found = tuner.tune(seconds=0, sizes=("small",))
    assert (str(torch.ops.ganart.use_cpu_isa("")), torch.get_num_threads()) == before
    assert {each["isa"] for each in found.measured} == set(native.introspection().cpu_isa_levels())
    assert found.machine == fingerprint()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Tuning:
    monkeypatch.setattr(tuning, "fingerprint", lambda: {"processor": "here", "torch": "2.13"})
    return Tuning({"processor": "here", "torch": "2.13"}, "avx2", 3, [])


def test_a_file_sets_what_the_user_has_not_set(found: Tuning, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    found.save(path)
    assert Tuning.load(path) == found
    environment: dict[str, str] = {}
    assert "sets GANART_CPU_ISA=avx2, OMP_NUM_THREADS=3" in use_tuning(path, environment)
    assert environment == {"GANART_CPU_ISA": "avx2", "OMP_NUM_THREADS": "3"}
    environment = {"OMP_NUM_THREADS": "8"}
    assert use_tuning(path, environment).endswith("sets GANART_CPU_ISA=avx2; OMP_NUM_THREADS stays as you set it")
    assert environment["OMP_NUM_THREADS"] == "8"
    with pytest.raises(SettingsError, match="before torch is imported"):
        use_tuning(path)


def test_a_file_of_another_machine_or_form_is_refused(found: Tuning, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    replace(found, machine={"processor": "there", "torch": "2.13"}).save(path)
    with pytest.raises(SettingsError, match="of another machine or version: processor was 'there' and is 'here'"):
        use_tuning(path, {})
    for text, said in (("{}", "is no result"), ('{"ganart_tuning": 2}', "has the format 2"), ("", "is no result")):
        path.write_text(text)
        with pytest.raises(SettingsError, match=said):
            use_tuning(path, {})
    with pytest.raises(SettingsError, match="ganart tune -o"):
        use_tuning(tmp_path / "none.json", {})


@built
def test_a_command_says_what_is_used_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    Tuning(fingerprint(), "baseline", 1, []).save(path)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GANART_CPU_ISA", "OMP_NUM_THREADS")
    }
    environment["GANART_TUNING"] = str(path)
    command = [sys.executable, "-m", "ganart_zoo", "plugins", "list", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "sets GANART_CPU_ISA=baseline, OMP_NUM_THREADS=1" in done.stderr
    data = json.loads(path.read_text())
    data["machine"]["cpus"] = 10_000
    path.write_text(json.dumps(data))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "of another machine or version: cpus was 10000" in done.stderr
