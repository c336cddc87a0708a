"""Every way a plugin is known to break, with what its fault must say.

Found at the start of a `Zoo`, by `Zoo.check()` (as `ganart doctor` does), or only when its model is created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .distributions import API, install


@dataclass(frozen=True)
class Case:
    """One broken distribution, `broken-<name>`, and its fault."""

    name: str
    source: str | None
    """Of its module; None leaves the module out."""
    stage: str
    cause: str
    """A regular expression found in the fault's cause."""
    found: Literal["start", "check", "create"] = "start"
    model: str | None = None
    """The model that the fault is about."""
    survivors: tuple[str, ...] = ()
    """Its models that are offered all the same."""
    requires: tuple[str, ...] = (API,)
    entry_points: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """Other modules of the distribution."""
    metadata: bool = True
    """Whether the METADATA file is there."""

    @property
    def distribution(self) -> str:
        return f"broken-{self.name}"

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    def install(self, folder: Path) -> None:
        modules = {} if self.source is None else {f"{self.module}.py": self.source}
        install(
            folder,
            self.distribution,
            {**modules, **self.files},
            requires=self.requires,
            entry_points=self.entry_points,
            metadata=self.metadata,
        )


IMPORTS = "from ganart_zoo import ModelSpec, Use, Weights, WeightsFile, hookimpl\n"


def offering(body: str) -> str:
    """Return a plugin whose `ganart_models` has this body; `spec(name, **changes)` makes a sound declaration."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""{IMPORTS}
def spec(name, **changes):
    known = dict(name=name, kind="generator", summary="One.", license="MIT", factory="healthy.model:Grey")
    return ModelSpec(**{{**known, **changes}})

@hookimpl
def ganart_models():
{lines}
"""


def settings_class(body: str, base: str = "Settings") -> str:
    """Return a module with a settings class `Config`."""
    return f"""
from pydantic import BaseModel
from ganart_zoo.contract import Settings, field_validator

class Config({base}):
    {body}
"""


METADATA_CASES = [
    Case(
        "two-entry-points",
        offering('return [spec("first")]'),
        "metadata",
        "declares 2 entry points, expected one; the others are ignored: second",
        survivors=("first",),
        entry_points="[ganart_zoo.plugins]\nfirst = broken_two_entry_points\nsecond = broken_two_entry_points\n",
    ),
    Case(
        "damaged-entry-points",
        None,
        "metadata",
        "Error",
        entry_points="[ganart_zoo.plugins]\na line without its equals sign\n",
    ),
    Case("no-metadata", offering("return []"), "metadata", "Error", metadata=False),
]

API_CASES = [
    Case(
        "api-too-new",
        "raise AssertionError('imported before its API range was read')",
        "api",
        r"requires ganart-zoo.*9.*, but this is ganart-zoo 0\.\d",
        requires=("ganart-zoo>=9",),
    ),
    Case("api-too-old", "", "api", "requires ganart-zoo<0.1", requires=("ganart-zoo<0.1",)),
    Case("no-api-range", "", "api", "declares no range for ganart-zoo", requires=("ganart-zoo",)),
    Case("no-requirement", "", "api", "declares no range for ganart-zoo", requires=("numpy",)),
    Case(
        "api-only-in-an-extra",
        "",
        "api",
        "declares no range for ganart-zoo",
        requires=("ganart-zoo>=0.1,<0.2; extra == 'art'",),
    ),
]

IMPORT_CASES = [
    Case("raises-at-import", "raise ValueError('no paint\\nleft')", "import", "^ValueError: no paint left$"),
    Case("syntax-error", "def ganart_models(:\n", "import", "^SyntaxError: "),
    Case("missing-dependency", "import paint_that_nobody_sells", "import", "ModuleNotFoundError.*paint_that_nobody"),
    Case("exits-at-import", "import sys\nsys.exit('goodbye')", "import", "^SystemExit: goodbye$"),
    Case("recursion-at-import", "def turn():\n    turn()\nturn()", "import", "^RecursionError: "),
    Case(
        "imports-itself-in-part", "from broken_imports_itself_in_part import later", "import", "^ImportError: .*later"
    ),
    Case("null-bytes", "x = 1\0", "import", "(SyntaxError|ValueError): "),
    Case(
        "unreadable-error",
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError('no words')\nraise Odd",
        "import",
        r"^Odd: \(its message could not be read\)$",
    ),
    Case(
        "error-that-exits",
        "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit('no words')\nraise Odd",
        "import",
        r"^Odd: \(its message could not be read\)$",
    ),
    Case("no-module", None, "import", "ModuleNotFoundError: .*broken_no_module"),
    Case(
        "no-attribute",
        "present = 1",
        "import",
        "AttributeError: .*no attribute 'absent'",
        entry_points="[ganart_zoo.plugins]\nbroken = broken_no_attribute:absent\n",
    ),
]

HOOKS_CASES = [
    Case(
        "wrong-argument",
        f"{IMPORTS}@hookimpl\ndef ganart_models(palette):\n    return []\n",
        "hooks",
        "PluginValidationError: .*palette",
    ),
    Case(
        "unknown-hook",
        f"{IMPORTS}@hookimpl\ndef ganart_model():\n    return []\n",
        "hooks",
        "hook 'ganart_model' is unknown, expected one of .*did you mean 'ganart_models'",
    ),
    Case(
        "unmarked-hook",
        "def ganart_models():\n    return []\n",
        "hooks",
        "ganart_models is not marked with @hookimpl, so it would never be called",
    ),
    Case("no-hooks", "x = 1", "hooks", "has no hooks; mark functions such as ganart_models with @hookimpl"),
    Case(
        "entry-point-to-nothing",
        "plugin = None",
        "hooks",
        "None has no hooks",
        entry_points="[ganart_zoo.plugins]\nbroken = broken_entry_point_to_nothing:plugin\n",
    ),
    Case(
        "exits-when-looked-at",
        "import sys\ndef __dir__():\n    sys.exit('do not look')\n",
        "hooks",
        "^SystemExit: do not look$",
    ),
]

MODELS_CASES = [
    Case("hook-raises", offering("raise KeyError('brush')"), "models", "^KeyError: 'brush'$"),
    Case("hook-exits", offering("raise SystemExit(3)"), "models", "^SystemExit: 3$"),
    Case("hook-recurses", offering("return ganart_models()"), "models", "^RecursionError: "),
    Case("returns-none", offering("return None"), "models", "returned None, expected an iterable of ModelSpec"),
    Case("returns-text", offering("return 'gatys'"), "models", "returned a str, expected an iterable of ModelSpec"),
    Case("returns-mapping", offering("return {'a': spec('a')}"), "models", "returned a dict, expected an iterable"),
    Case("returns-number", offering("return 7"), "models", "returned a int, expected an iterable of ModelSpec"),
    Case("returns-one-spec", offering("return spec('a')"), "models", "returned a ModelSpec, expected an iterable"),
    Case(
        "fails-half-way",
        offering("yield spec('early')\nraise OSError('ink ran out')\nyield spec('late')"),
        "models",
        "^OSError: ink ran out$",
        survivors=("early",),
    ),
]

SPEC_CASES = [
    Case(
        "list-of-junk",
        offering("return ['gatys', spec('sound'), 7, None]"),
        "spec",
        "str 'gatys' is not a ModelSpec",
        survivors=("sound",),
    ),
    Case(
        "one-bad-field",
        offering("return [spec('before'), spec('bad', kind='filter'), spec('after')]"),
        "spec",
        "^kind is 'filter', expected one of generator, critic, style_transfer, backbone$",
        model="bad",
        survivors=("before", "after"),
    ),
    Case(
        "every-field-bad",
        offering(
            "return [spec('Bad Name', kind=7, summary='', license=None, factory='nowhere', config=3, options=[],"
            " capabilities={'flies', 7}, uses={'dtype': Use('palette'), 'x y': 3},"
            " weights=[3, Weights('w', files=[WeightsFile(sha256='abc', format='pickle', urls=['ftp://x'])])],"
            " paper='a book'), spec('sound')]"
        ),
        "spec",
        "name is 'Bad Name'.*kind is 7.*summary is ''.*license is None.*factory is 'nowhere'.*config is 3.*options is.*"
        "capability 7.*'flies'.*'dtype' is reserved.*'palette'.*'x y'.*3 is not a Weights.*ftp.*sha256.*pickle.*paper",
        model="Bad Name",
        survivors=("sound",),
    ),
    Case(
        "same-name-twice",
        offering("return [spec('a'), spec('a', summary='Another.')]"),
        "spec",
        "already has a model named 'a'",
        model="a",
        survivors=("a",),
    ),
    Case(
        "unspeakable-junk",
        offering(
            "class Mute:\n    def __repr__(self):\n        raise SystemExit('never')\nreturn [Mute(), spec('sound')]"
        ),
        "spec",
        "^SystemExit: never$",
        survivors=("sound",),
    ),
]

SETTINGS_CASES = [
    Case(
        "config-allows-extras",
        offering("return [spec('a', config='broken_extras_settings:Config')]"),
        "settings",
        "allows unknown keys; derive it from ganart_zoo.contract.Settings",
        found="check",
        model="a",
        survivors=("a",),
        files={"broken_extras_settings.py": settings_class("size: int = 3", base="BaseModel")},
    ),
    Case(
        "config-is-no-settings-class",
        offering("return [spec('a', config='collections:OrderedDict')]"),
        "settings",
        "'collections:OrderedDict' is not a pydantic model",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "config-module-missing",
        offering("return [spec('a', config='broken_absent_settings:Config')]"),
        "settings",
        "ModuleNotFoundError: .*broken_absent_settings",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "settings-clash",
        offering("return [spec('a', config='broken_clash_settings:Config', options='broken_clash_settings:Config')]"),
        "settings",
        "'size' of options is also in config; rename it",
        found="check",
        model="a",
        survivors=("a",),
        files={"broken_clash_settings.py": settings_class("size: int = 3")},
    ),
    Case(
        "reserved-setting",
        offering("return [spec('a', options='broken_reserved_settings:Config')]"),
        "settings",
        "'device' of options is also a reserved word; rename it",
        found="check",
        model="a",
        survivors=("a",),
        files={"broken_reserved_settings.py": settings_class("device: str = 'cpu'")},
    ),
    Case(
        "weights-need-unknown-setting",
        offering(
            "return [spec('a', weights=[Weights('w', files=[WeightsFile(urls=['https://x.org/w'])],"
            " config={'layers': 2})])]"
        ),
        "settings",
        "weights 'w' need 'layers', which is not a field of the config",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "validator-raises",
        offering("return [spec('a', config='broken_validator_settings:Config')]"),
        "settings",
        "^KeyError: 'oil'$",
        found="create",
        model="a",
        survivors=("a",),
        files={
            "broken_validator_settings.py": settings_class(
                "size: int = 3\n    @field_validator('size')\n    def look_up(cls, size):\n        return {}['oil']"
            )
        },
    ),
]

USES_CASES = [
    Case(
        "uses-nothing-known",
        offering("return [spec('a', uses={'backbone': Use('backbone', default='nobody/nothing')})]"),
        "uses",
        "default of 'backbone': model 'nobody/nothing' is unknown",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "uses-another-kind",
        offering("return [spec('a', uses={'backbone': Use('backbone', default='healthy/grey')})]"),
        "uses",
        "default of 'backbone' is healthy/grey, a generator, expected a backbone",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "uses-in-a-cycle",
        offering(
            "return [spec('a', uses={'other': Use('generator', default='broken-uses-in-a-cycle/b')}),"
            " spec('b', uses={'other': Use('generator', default='broken-uses-in-a-cycle/a')})]"
        ),
        "uses",
        "is a cycle: broken-uses-in-a-cycle/a -> broken-uses-in-a-cycle/b -> broken-uses-in-a-cycle/a",
        found="check",
        model="a",
        survivors=("a", "b"),
    ),
]

FACTORY_CASES = [
    Case(
        "factory-module-missing",
        offering("return [spec('a', factory='broken_absent_model:Model')]"),
        "factory",
        "broken_absent_model",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "factory-missing",
        offering("return [spec('a', factory='healthy.model:Gray')]"),
        "factory",
        "healthy.model.*'Gray'",
        found="check",
        model="a",
        survivors=("a",),
    ),
    Case(
        "factory-syntax-error",
        offering("return [spec('a', factory='broken_unparsed_model:Model')]"),
        "factory",
        "SyntaxError",
        found="check",
        model="a",
        survivors=("a",),
        files={"broken_unparsed_model.py": "class Model(:\n"},
    ),
    Case(
        "factory-raises",
        offering("return [spec('a', factory='broken_raising_model:build')]"),
        "factory",
        "^ZeroDivisionError: no canvas$",
        found="create",
        model="a",
        survivors=("a",),
        files={"broken_raising_model.py": "def build(config):\n    raise ZeroDivisionError('no canvas')\n"},
    ),
    Case(
        "factory-exits",
        offering("return [spec('a', factory='broken_exiting_model:build')]"),
        "factory",
        "^SystemExit: 4$",
        found="create",
        model="a",
        survivors=("a",),
        files={"broken_exiting_model.py": "def build(config):\n    raise SystemExit(4)\n"},
    ),
    Case(
        "factory-makes-another-kind",
        offering("return [spec('a', kind='critic')]"),
        "factory",
        "healthy.model:Grey returned a Grey, expected a Critic",
        found="create",
        model="a",
        survivors=("a",),
    ),
    Case(
        "factory-makes-nothing",
        offering("return [spec('a', factory='broken_void_model:build')]"),
        "factory",
        "broken_void_model:build returned a NoneType, expected a Generator",
        found="create",
        model="a",
        survivors=("a",),
        files={"broken_void_model.py": "def build(config):\n    pass\n"},
    ),
]

CASES = [
    *METADATA_CASES,
    *API_CASES,
    *IMPORT_CASES,
    *HOOKS_CASES,
    *MODELS_CASES,
    *SPEC_CASES,
    *SETTINGS_CASES,
    *USES_CASES,
    *FACTORY_CASES,
]

CLI_CASES = [
    Case(
        "command-hook-raises",
        f"{IMPORTS}@hookimpl\ndef ganart_cli(group):\n    raise LookupError('no easel')\n",
        "ganart_cli",
        "^LookupError: no easel$",
    ),
    Case(
        "command-hook-exits",
        f"{IMPORTS}@hookimpl\ndef ganart_cli(group):\n    raise SystemExit(5)\n",
        "ganart_cli",
        "^SystemExit: 5$",
    ),
    Case(
        "command-shadows-list",
        f"{IMPORTS}import click\n@hookimpl\ndef ganart_cli(group):\n    group.add_command(click.Command('list'))\n",
        "ganart_cli",
        "command 'list' is one of ganart itself; rename it",
    ),
]
"""Found when the command line asks plugins for their commands."""
