"""The commands that show: list, info, doctor, weights; names of commands; errors and exit codes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import ganart_tiny
import pytest
from click.testing import CliRunner

import ganart_zoo
from ganart_zoo import ModelSpec, Weights, WeightsFile, Zoo, hookimpl, native
from ganart_zoo.cli import cli, main
from ganart_zoo.registry.weights import WeightsStore

Capture = pytest.CaptureFixture[str]


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert ganart_zoo.__version__ in capsys.readouterr().out


def test_list_shows_models_by_kind_and_filters(zoo: Zoo, capsys: Capture) -> None:
    assert main(["list"], zoo=zoo) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line] == [
        *("style_transfer", "blend", "broken", "named", "negative", "backbone", "pool", "recipe", "gan")
    ]
    assert main(["list", "--kind", "recipe", "--json"], zoo=zoo) == 0
    (recipe,) = json.loads(capsys.readouterr().out)
    assert (recipe["canonical"], recipe["networks"]["critic"]) == ("ganart-zoo/gan", "critic")
    assert main(["list", "--kind", "backbone", "--json"], zoo=zoo) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["canonical"] == "ganart-tiny/pool"
    assert main(["list", "--capability", "no_style", "--plugin", "ganart_tiny", "--json"], zoo=zoo) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["broken", "negative"]
    assert main(["list", "--kind", "bakbone"], zoo=zoo) == 2
    assert "did you mean 'backbone'" in capsys.readouterr().err


def test_info_shows_every_setting_with_bounds_default_and_description(zoo: Zoo, capsys: Capture) -> None:
    assert main(["info", "blend"], zoo=zoo) == 0
    out = capsys.readouterr().out
    assert "ganart-tiny/blend" in out
    assert "ganart-tiny/pool" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "integer 1..100" in rows["steps"]
    assert "number 0..1" in rows["alpha"]
    assert "0.5" in rows["alpha"]
    assert "Share of the style." in rows["alpha"]
    assert "'off' | 'luminance'" in rows["preserve_colour"]


def test_info_shows_a_recipe_with_its_networks_and_settings(zoo: Zoo, capsys: Capture) -> None:
    assert main(["info", "gan"], zoo=zoo) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "critic" in rows["critic"]
    assert "'rpgan' | 'non_saturating'" in rows["loss"]
    assert "integer ≥ 1" in rows["critic_steps"]
    assert main(["info", "gan", "--json"], zoo=zoo) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["config_schema"]["properties"]["batch"]["minimum"] == 1
    assert (data["main"], list(data["networks"])) == ("generator", ["generator", "critic"])
    assert main(["info", "gna"], zoo=zoo) == 2


def test_info_as_json_carries_the_schemas(zoo: Zoo, capsys: Capture) -> None:
    assert main(["info", "blend", "--json"], zoo=zoo) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["options_schema"]["properties"]["steps"]["maximum"] == 100
    assert data["uses"]["backbone"]["default"] == "ganart-tiny/pool"


def test_doctor_is_content_with_a_sound_zoo(capsys: Capture) -> None:
    sound = SimpleNamespace(__name__="sound", __version__="1.0")
    sound.ganart_models = hookimpl(lambda: [ModelSpec("pool", "backbone", "P.", "MIT", "ganart_tiny.model:Pool")])
    sound.ganart_models.__name__ = "ganart_models"
    assert main(["doctor"], zoo=Zoo(plugins=[sound])) == 0
    assert "no faults" in capsys.readouterr().out


def test_doctor_tells_faults_and_exits_with_1(zoo: Zoo, capsys: Capture) -> None:
    assert main(["doctor", "--json"], zoo=zoo) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(fault["stage"], fault["cause"]) for fault in report["faults"]] == [
        ("ganart_cli", "command 'list' is one of ganart itself; rename it")
    ]
    assert report["versions"]["ganart-zoo"] == ganart_zoo.__version__
    assert report["plugins"][0]["models"] == ["blend", "broken", "named", "negative", "pool"]
    assert report["ops"] is None


def test_doctor_ops_tells_what_runs(zoo: Zoo, capsys: Capture) -> None:
    main(["doctor", "--ops", "--json"], zoo=zoo)
    ops = json.loads(capsys.readouterr().out)["ops"]
    assert {"ganart::style_loss", "ganart::gram_matrix"} <= {one["op"] for one in ops["status"]}
    assert ops["native"] or ops["reason"]


def test_doctor_says_in_one_line_why_there_are_no_kernels(
    zoo: Zoo, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "ops_library", lambda: None)
    monkeypatch.setattr(native, "_build_facts", lambda: {"reason": "no C++ compiler: 'c++' cannot be run"})
    main(["doctor"], zoo=zoo)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kernels")]
    assert (
        line == "kernels     not built: no C++ compiler: 'c++' cannot be run; build with GANART_BUILD=1 pip install ."
    )


def test_doctor_ops_for_people(zoo: Zoo, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    status = [
        {"op": "ganart::blur", "device": "cpu", "implementation": "native", "reason": ""},
        {"op": "ganart::blur", "device": "cuda", "implementation": "reference", "reason": "built without a kernel"},
    ]
    report = {"built": True, "native": False, "reason": "", "facts": {"instructions": "avx2"}, "status": status}
    monkeypatch.setattr("ganart_zoo.cli.commands.doctor._ops_report", lambda: report)
    main(["doctor", "--ops"], zoo=zoo)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["instructions", "avx2"] in lines
    assert ["op", "device", "runs", "as", "why"] in lines
    assert ["ganart::blur", "cpu", "native"] in lines
    assert ["ganart::blur", "cuda", "reference", "built", "without", "a", "kernel"] in lines


def test_listing_loads_nothing_heavy() -> None:
    code = "import sys; from ganart_zoo.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for arguments in (["list"], ["list", "--help"], ["--help"], ["doctor", "--help"], ["stylize", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
        loaded = set(done.stderr.splitlines()[-1].split())
        assert not loaded & {"torch", "pydantic", "rich", "numpy", "PIL"}, arguments


def test_an_unknown_command_suggests(zoo: Zoo, capsys: Capture) -> None:
    assert main(["stylise"], zoo=zoo) == 2
    assert "there is no command 'stylise'; did you mean 'stylize'?" in capsys.readouterr().err


def test_plugins_bring_commands_and_cannot_replace_ours(zoo: Zoo, capsys: Capture) -> None:
    assert main(["tiny-count"], zoo=zoo) == 0
    captured = capsys.readouterr()
    assert captured.out == "5\n"
    assert "command 'list' is one of ganart itself" in captured.err
    assert main(["list"], zoo=zoo) == 0
    assert "shadow" not in capsys.readouterr().out
    assert main(["--help"], zoo=zoo) == 0
    assert "tiny-count" in capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("no commands"), SystemExit(3)])
def test_a_plugin_whose_commands_fail_costs_only_itself(error: BaseException, capsys: Capture) -> None:
    @hookimpl
    def ganart_cli(group: object) -> None:
        raise error

    broken = SimpleNamespace(__name__="broken_cli", ganart_cli=ganart_cli)
    zoo = Zoo(plugins=[broken, ganart_tiny])
    assert main(["tiny-count"], zoo=zoo) == 0
    captured = capsys.readouterr()
    assert captured.out == "5\n"
    assert "failed at ganart_cli" in captured.err


def test_two_plugins_with_one_command(capsys: Capture) -> None:
    def plugin(name: str) -> SimpleNamespace:
        @hookimpl
        def ganart_cli(group: cli.__class__) -> None:
            group.command("paint")(lambda: print(name))

        return SimpleNamespace(__name__=name, ganart_cli=ganart_cli)

    zoo = Zoo(plugins=[plugin("first"), plugin("second")])
    assert main(["paint"], zoo=zoo) == 0
    assert capsys.readouterr().out == "first\n"
    assert [str(fault.cause) for fault in zoo.faults] == ["command 'paint' is another plugin's already; rename it"]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (ganart_zoo.GanartError("no such thing"), 2, "ganart: no such thing"),
        (ValueError("odd\nnews"), 1, "ganart: unexpected ValueError: odd news; set GANART_DEBUG=1 to see where"),
        (KeyboardInterrupt(), 130, "ganart: aborted"),
    ],
    ids=["deliberate", "unexpected", "interrupted"],
)
def test_errors_are_one_line_and_a_code(
    raised: BaseException, code: int, line: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANART_DEBUG", raising=False)

    @hookimpl
    def ganart_cli(group: cli.__class__) -> None:
        @group.command()
        def fail() -> None:
            raise raised

    zoo = Zoo(plugins=[SimpleNamespace(__name__="failing", ganart_cli=ganart_cli)])
    assert main(["fail"], zoo=zoo) == code
    err = capsys.readouterr().err
    assert [one for one in err.splitlines() if one.startswith(line)]
    assert "Traceback" not in err
    if code != 130:
        monkeypatch.setenv("GANART_DEBUG", "1")
        assert main(["fail"], zoo=zoo) == code
        assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def shelf(tmp_path: Path) -> tuple[Zoo, bytes]:
    """A zoo with one model whose weights lie behind a file:// address, and their bytes."""
    content = b"8" * 1000
    (tmp_path / "remote.safetensors").write_bytes(content)
    file = WeightsFile(
        urls=((tmp_path / "remote.safetensors").as_uri(),),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        license="CC0-1.0",
    )

    @hookimpl
    def ganart_models() -> list[ModelSpec]:
        use = ganart_zoo.Use("backbone", default="shelf/stone")
        stone = ModelSpec(
            "stone", "backbone", "Stone.", "MIT", "ganart_tiny.model:Pool", weights=[Weights("v1", [file])]
        )
        house = ModelSpec("house", "backbone", "House.", "MIT", "ganart_tiny.model:Pool", uses={"stone": use})
        return [stone, house]

    plugin = SimpleNamespace(__name__="shelf", ganart_models=ganart_models)
    return Zoo(plugins=[plugin], store=WeightsStore(tmp_path / "home")), content


def test_weights_from_missing_to_verified(shelf: tuple[Zoo, bytes], capsys: Capture) -> None:
    zoo, content = shelf
    assert main(["weights", "path", "stone"], zoo=zoo) == 2
    assert "run: ganart weights fetch shelf/stone" in capsys.readouterr().err
    assert main(["weights", "list", "--json"], zoo=zoo) == 0
    (file,) = json.loads(capsys.readouterr().out)["shelf/stone"][0]["files"]
    assert (file["state"], file["path"], file["size"]) == ("missing", None, 1000)
    assert main(["weights", "fetch", "house"], zoo=zoo) == 0  # with what it uses
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == content
    assert main(["weights", "path", "stone"], zoo=zoo) == 0
    assert Path(capsys.readouterr().out.strip()) == path
    assert main(["weights", "verify"], zoo=zoo) == 0
    path.write_bytes(b"9" * 1000)
    assert main(["weights", "verify", "stone", "--json"], zoo=zoo) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out[captured.out.index("[") :])[0]["verdict"] == "damaged"
    assert main(["weights", "fetch", "stone", "--quiet"], zoo=zoo) == 0
    assert path.read_bytes() == content


def test_info_and_weights_show_sizes_licences_and_states(shelf: tuple[Zoo, bytes], capsys: Capture) -> None:
    zoo, _ = shelf
    for arguments in (["info", "stone"], ["weights", "list", "stone"]):
        assert main(arguments, zoo=zoo) == 0
        out = capsys.readouterr().out
        assert "v1" in out
        assert "CC0-1.0" in out
        assert "missing" in out


def test_no_weights_to_speak_of(zoo: Zoo, capsys: Capture) -> None:
    assert main(["weights", "list"], zoo=zoo) == 0
    assert "no published weights" in capsys.readouterr().err
    assert main(["weights", "path", "pool"], zoo=zoo) == 2


def test_every_command_has_help() -> None:
    zoo = Zoo(plugins=[])
    for name in cli.list_commands(cli.make_context("ganart", [], resilient_parsing=True, obj=zoo)):
        result = CliRunner().invoke(cli, [name, "--help"], obj=zoo)
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output
