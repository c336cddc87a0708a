"""One deliberately wrong plugin for each rule: a sound package, made by `ganart new`, and one small edit of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME = "wrong-plugin"
MODULE = "wrong_plugin"


@dataclass(frozen=True)
class Wrong:
    """An edit, and the finding it must cause."""

    rule: str
    seen: str
    """A regular expression for what the finding says."""
    edit: Callable[[Path], None]
    kind: str = "generator"
    also: tuple[str, ...] = ()
    """Rules that the same edit breaks."""

    @property
    def id(self) -> str:
        return f"{self.rule}-{re.sub(r'[^a-z]+', '-', self.seen.lower())[:30]}"


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Return an edit that replaces a text, which must be there."""

    def edit(folder: Path) -> None:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    return edit


def pattern(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Return an edit that replaces what a regular expression finds, which must be there."""

    def edit(folder: Path) -> None:
        path = folder / file
        text, count = re.subn(old, new, path.read_text(encoding="utf-8"))
        assert count, f"{file} has no {old!r}"
        path.write_text(text, encoding="utf-8")

    return edit


def both(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return an edit that makes several."""

    def edit(folder: Path) -> None:
        for each in edits:
            each(folder)

    return edit


def put(file: str, content: bytes) -> Callable[[Path], None]:
    """Return an edit that adds a file to the package."""

    def edit(folder: Path) -> None:
        path = folder / "src" / MODULE / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return edit


ENTRY, CONFIG, MODEL = (f"src/{MODULE}/{name}.py" for name in ("__init__", "config", "model"))
PROJECT = "pyproject.toml"


def at_import(code: str) -> Callable[[Path], None]:
    """Return an edit that runs code when the entry module is imported."""
    return replace(ENTRY, "\n__all__", f"\n{code}\n\n__all__")


def in_model(code: str) -> Callable[[Path], None]:
    """Return an edit that adds a line to the constructor of the model."""
    return replace(MODEL, "        super().__init__(config)\n", f"        super().__init__(config)\n        {code}\n")


def spec(old: str, new: str) -> Callable[[Path], None]:
    """Return an edit of the declaration."""
    return replace(ENTRY, old, new)


METADATA = [
    Wrong("entry-point", "no entry point", replace(PROJECT, '[project.entry-points."ganart_zoo.plugins"]', "[tool.x]")),
    Wrong(
        "entry-point", "2 entry points", replace(PROJECT, f'{MODULE} = "{MODULE}"', f'{MODULE} = "{MODULE}"\nb = "b"')
    ),
    Wrong("api-range", "declares no range", replace(PROJECT, "ganart-zoo>=0.1,<0.2", "ganart-zoo")),
    Wrong("api-range", "has no upper bound", replace(PROJECT, ">=0.1,<0.2", ">=0.1")),
    Wrong("api-range", r"requires ganart-zoo.*9", replace(PROJECT, ">=0.1,<0.2", ">=9,<10")),
    Wrong("metadata-license", "'Apache 2'", replace(PROJECT, 'license = "MIT"', 'license = "Apache 2"')),
    Wrong("metadata-license", "no License-Expression", replace(PROJECT, 'license = "MIT"\n', "")),
    Wrong("license-file", "no licence file", lambda folder: (folder / "LICENSE").unlink()),
    Wrong("python-range", "not set", replace(PROJECT, 'requires-python = ">=3.10"\n', "")),
    Wrong("dependency-clash", "pins a package", replace(PROJECT, '<0.2"]', '<0.2", "torch==2.11.0"]')),
    Wrong("dependency-clash", "excludes pydantic", replace(PROJECT, '<0.2"]', '<0.2", "pydantic<2"]')),
    Wrong("dependency-clash", "is no requirement", replace(PROJECT, '<0.2"]', '<0.2", "torch at home"]')),
    Wrong("code-seeds", "torch.manual_seed", in_model("torch.manual_seed(0)")),
    Wrong("code-seeds", "numpy.random.seed", in_model("__import__; import numpy as np; np.random.seed(0)")),
    Wrong("code-globals", "set_num_threads", in_model("torch.set_num_threads(4)")),
    Wrong("code-globals", "torch.backends.cudnn.benchmark", in_model("torch.backends.cudnn.benchmark = True")),
    Wrong("code-unsafe-load", "torch.load without", in_model('torch.load("x.pt")')),
    Wrong("code-unsafe-load", "calls exec", in_model('exec("x = 1")')),
    Wrong("code-private", "ganart_zoo.registry", in_model("from ganart_zoo.registry import Zoo")),
    Wrong("code-private", "the plugin ganart_gatys", in_model("import ganart_gatys")),
    Wrong("file-pickle", "net.pth", put("weights/net.pth", b"\x80")),
    Wrong("file-library", "libtorch_cpu.so belongs", put("libtorch_cpu.so", b"\x7fELF")),
]
"""Found without importing anything."""

PROBED = [
    Wrong("entry-fails", "import: ZeroDivisionError", at_import("1 / 0")),
    Wrong("entry-fails", "ended the process with exit code 3", at_import("import os; os._exit(3)")),
    Wrong("entry-fails", "hook 'ganart_modls' is unknown", spec("def ganart_models", "def ganart_modls")),
    Wrong("entry-fails", "KeyError: 'oil'", spec("    return [\n", "    {}['oil']\n    return [\n")),
    Wrong("entry-imports", "imports torch", at_import("import torch")),
    Wrong("entry-imports", "imports pydantic", at_import("import pydantic")),
    Wrong("entry-slow", "of processor time", at_import("sum(i * i for i in range(4_000_000))")),
    Wrong("entry-prints", "printed 'hello'", at_import("print('hello')")),
    Wrong("entry-prints", "printed 'from C'", at_import("import os; os.write(1, b'from C')")),
    Wrong(
        "entry-writes", "for writing", at_import("import os; open(os.path.expanduser('~/.wrong-plugin'), 'a').close()")
    ),
    Wrong("entry-network", "socket", at_import("import socket; socket.socket().close()")),
    Wrong("entry-process", "os.fork", at_import("import os; os.fork()")),
    Wrong("entry-process", "subprocess.Popen", at_import("import subprocess; subprocess.run(['true'])")),
    Wrong(
        "entry-process",
        "thread",
        at_import("import threading, time; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"),
    ),
    Wrong("entry-state", "the environment", at_import("import os; os.environ['WRONG'] = '1'")),
    Wrong("entry-state", "random state", at_import("import random; random.seed(0)"), also=("code-seeds",)),
    Wrong(
        "spec",
        "capability 'labls' is unknown.*did you mean 'labels'",
        spec('"unconditional"', '"unconditional", "labls"'),
    ),
    Wrong("spec", "kind is 'filter'", spec('kind="generator"', 'kind="filter"')),
    Wrong("spec", "offers neither", spec("    return [\n", "    return []\n    return [\n")),
    Wrong(
        "spec-license",
        "license is 'free'",
        spec('license="MIT",\n            factory', 'license="free",\n            factory'),
    ),
    Wrong(
        "weights-license",
        "file 'model' has no licence",
        spec('            license="MIT",\n            training', "            training"),
    ),
    Wrong("weights-hash", "but that of start.safetensors is", pattern(ENTRY, r"sha256=.*", f'sha256="{64 * "0"}",')),
    Wrong("weights-hash", "but start.safetensors has", spec("size=", "size=1")),
    Wrong("weights-hash", "no sha256 is given; that of", pattern(ENTRY, r" *sha256=.*\n", "")),
    Wrong(
        "weights-missing",
        "is not in the package",
        lambda folder: (folder / f"src/{MODULE}/weights/start.safetensors").unlink(),
    ),
    Wrong(
        "settings",
        "allows unknown keys",
        replace(CONFIG, "class Config(Settings)", "from pydantic import BaseModel\n\n\nclass Config(BaseModel)"),
    ),
    Wrong("settings", "which is not a field of the config", spec('config={"width": 8}', 'config={"wide": 8}')),
    Wrong(
        "settings-import-torch", "imports torch", replace(CONFIG, "from ganart_zoo", "import torch\nfrom ganart_zoo")
    ),
    Wrong("setting-description", "no description", replace(CONFIG, ', description="Units of the hidden layers."', "")),
    Wrong(
        "setting-meaning",
        "string, but strength is a number",
        replace(CONFIG, "zoom: float = Field(default=1.0, gt=0", 'strength: str = Field(default="strong"'),
    ),
    Wrong(
        "factory",
        "has no 'WrongPlugins'; did you mean 'WrongPlugin'",
        spec(f"{MODULE}.model:WrongPlugin", f"{MODULE}.model:WrongPlugins"),
    ),
    Wrong(
        "factory",
        "there is no module 'wrong_plugin.modell'; did you mean 'wrong_plugin.model'",
        spec(f"{MODULE}.model:WrongPlugin", f"{MODULE}.modell:WrongPlugin"),
    ),
    Wrong(
        "uses",
        "model 'nobody/nothing' is unknown",
        both(
            spec("import ModelSpec, ", "import ModelSpec, Use, "),
            spec(
                '            name="wrong_plugin",',
                '            name="wrong_plugin", uses={"b": Use("backbone", default="nobody/nothing")},',
            ),
        ),
    ),
    Wrong("capability", "at least one of unconditional", spec('"unconditional", ', "")),
    Wrong("capability", "no class_names", spec('"unconditional"', '"labels"')),
    Wrong(
        "capability",
        "no installed recipe trains a backbone",
        spec('{"differentiable"}', '{"differentiable", "trainable"}'),
        "backbone",
    ),
]
"""Found in the process that imports the entry module."""
