"""`ganart check`: a sound package has no findings, and every rule finds out a wrong one, with its own message."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ganart_zoo.authoring import RULES, check, new_package
from ganart_zoo.authoring.checking import Checked
from ganart_zoo.authoring.code import code_findings
from ganart_zoo.authoring.licences import _looks_like_spdx, is_spdx
from ganart_zoo.authoring.metadata import file_findings, metadata_findings
from ganart_zoo.authoring.rules import rules_page
from ganart_zoo.authoring.target import open_target
from ganart_zoo.cli import main
from ganart_zoo.contract import GanartError

from .wrong import METADATA, NAME, PROBED, Wrong

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "file-size": "test_a_wheel_is_looked_into",
    "file-stray": "test_a_wheel_is_looked_into",
    "weights-unreachable": "test_only_online_asks_for_published_weights",
}
"""Rules whose wrong plugins stand in tests of their own."""


def wrong_package(wrong: Wrong, folder: Path) -> Path:
    made = new_package(NAME, wrong.kind, parent=folder)
    wrong.edit(made)
    return made


def assert_found(wrong: Wrong, findings: list) -> None:
    rules = {finding.rule for finding in findings}
    assert rules == {wrong.rule, *wrong.also}, [str(finding) for finding in findings]
    said = [finding for finding in findings if finding.rule == wrong.rule]
    assert any(re.search(wrong.seen, finding.seen) for finding in said), [finding.seen for finding in said]
    for finding in findings:
        line = str(finding)
        assert len(line.splitlines()) == 1
        assert line.startswith(f"{finding.rule}: ")
        assert line.endswith(f"(docs/rules.md#{finding.rule})")


@pytest.mark.parametrize("wrong", METADATA, ids=lambda wrong: wrong.id)
def test_what_is_wrong_is_read_without_importing_anything(wrong: Wrong, tmp_path: Path) -> None:
    with open_target(str(wrong_package(wrong, tmp_path))) as target:
        found = [*metadata_findings(target), *file_findings(target), *code_findings(target)]
    assert_found(wrong, found)


@pytest.mark.parametrize("wrong", PROBED, ids=lambda wrong: wrong.id)
def test_what_the_entry_module_does_and_declares(wrong: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_found(wrong, list(check(str(wrong_package(wrong, tmp_path))).findings))


def test_every_rule_has_a_wrong_plugin_and_a_section() -> None:
    proved = {wrong.rule for wrong in (*METADATA, *PROBED)} | set(ELSEWHERE)
    static = {rule for rule in RULES if not rule.startswith(("kit", "run-"))}
    assert proved == static
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == rules_page(), (
        "python -m ganart_zoo.authoring.rules > docs/rules.md"
    )


def test_what_ganart_new_makes_has_no_findings(tmp_path: Path) -> None:
    for kind in ("critic", "recipe"):
        made = new_package(f"sound-{kind}", kind, parent=tmp_path)
        assert check(str(made)) == Checked(f"sound-{kind}", "0.1.0", ())


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").iterdir()))
def test_first_party_plugins_have_no_findings(plugin: str) -> None:
    assert [str(finding) for finding in check(str(ROOT / "plugins" / plugin)).findings] == []


def test_a_wheel_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_package(NAME, "critic", parent=tmp_path)
    wheel = tmp_path / "wrong_plugin-0.1.0-py3-none-any.whl"
    info = "wrong_plugin-0.1.0.dist-info"
    metadata = "Metadata-Version: 2.4\nName: wrong-plugin\nVersion: 0.1.0\nLicense-Expression: MIT\n"
    metadata += "License-File: LICENSE\nRequires-Python: >=3.10\nRequires-Dist: ganart-zoo<0.2,>=0.1\n"
    files = {f"{info}/METADATA": metadata, f"{info}/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n"}
    files[f"{info}/entry_points.txt"] = "[ganart_zoo.plugins]\nwrong_plugin = wrong_plugin\n"

    def pack(**more: str) -> None:
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in sorted((made / "src").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(made / "src"))
            for name, text in {**files, **more}.items():
                archive.writestr(name, text)

    pack()
    assert check(str(wheel)).findings == ()
    pack(**{"tests/test_x.py": "", "wrong_plugin/_ops.so": "\x7fELF"})
    monkeypatch.setattr("ganart_zoo.authoring.metadata._LARGEST", 1000)
    found = {finding.rule: finding.seen for finding in check(str(wheel)).findings}
    assert set(found) == {"file-stray", "file-library", "file-size"}
    assert found["file-stray"] == "it installs 'tests' beside 'wrong_plugin'"
    assert "is native, but the wheel is tagged py3-none-any" in found["file-library"]
    wheel.write_bytes(b"no zip")
    with pytest.raises(GanartError, match="is not a sound wheel"):
        check(str(wheel))


def test_only_online_asks_for_published_weights(tmp_path: Path) -> None:
    made = new_package(NAME, "critic", parent=tmp_path)
    entry = made / "src" / "wrong_plugin" / "__init__.py"
    entry.write_text(re.sub("package=.*", 'urls=("http://127.0.0.1:9/w.safetensors",),', entry.read_text()))
    assert check(str(made)).findings == ()
    (finding,) = check(str(made), online=True).findings
    assert finding.rule == "weights-unreachable"
    assert finding.seen.startswith("http://127.0.0.1:9/w.safetensors: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no-such-plugin", "is no installed distribution, folder or wheel"),
        ("ganart-gatis", "did you mean 'ganart-gatys'"),
        ("plugins", "has no pyproject.toml"),
        ("README.md", "is not a wheel"),
    ],
)
def test_where_it_cannot_look_the_exit_code_is_2(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check", given]) == 2
    assert said in capsys.readouterr().err


def test_the_command_prints_lines_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    made = new_package(NAME, "critic", parent=tmp_path)
    assert main(["check", NAME]) == 0
    assert "no findings" in capsys.readouterr().err
    shutil.rmtree(made / "src" / "wrong_plugin" / "weights")
    monkeypatch.chdir(made)
    assert main(["check"]) == 1
    line, *rest = capsys.readouterr().out.splitlines()
    assert rest == []
    assert line.startswith("weights-missing: wrong_plugin weights 'start': ")
    assert main(["check", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["rule"] == "weights-missing"
    assert finding["page"] == "docs/rules.md#weights-missing"


def test_looking_loads_nothing_heavy(tmp_path: Path) -> None:
    made = new_package(NAME, "critic", parent=tmp_path)
    code = "import sys; from ganart_zoo.cli import main; main(['check', sys.argv[1]]);"
    code += "assert not {'torch', 'pydantic', 'wrong_plugin'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(made)], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("MIT", True),
        ("Apache-2.0 OR (MIT AND BSD-3-Clause)", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("LicenseRef-stylegan2", True),
        ("Apache 2", False),
        ("free", False),
        ("", False),
        ("MIT OR", False),
        ("(MIT", False),
    ],
)
def test_spdx_expressions_are_known_with_and_without_the_list_of_packaging(text: str, sound: bool) -> None:
    assert is_spdx(text) is sound
    assert _looks_like_spdx(text) is sound
