"""The rules that `ganart check` holds a plugin to. `python -m ganart_zoo.authoring.rules` prints docs/rules.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PAGE", "RULES", "Finding", "Rule", "rules_page"]

PAGE = "docs/rules.md"


@dataclass(frozen=True)
class Rule:
    """One thing that a plugin must not do or lack."""

    id: str
    title: str
    """What is wrong, as a heading."""
    why: str
    mend: str
    """What to do, as the end of a line."""


@dataclass(frozen=True)
class Finding:
    """One place where a plugin breaks a rule."""

    rule: str
    seen: str
    """What was seen, on one line, with the value."""
    where: str = ""
    """The model, file or module concerned; empty for the whole distribution."""
    mend: str = ""
    """What to do, where that is more than the rule says."""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{self.rule}: {where}{self.seen}; {self.mend or RULES[self.rule].mend} ({PAGE}#{self.rule})"

    def data(self) -> dict[str, Any]:
        """Return the finding as JSON data."""
        return {
            "rule": self.rule,
            "where": self.where,
            "seen": self.seen,
            "mend": self.mend or RULES[self.rule].mend,
            "page": f"{PAGE}#{self.rule}",
        }


_GROUPS: dict[str, tuple[Rule, ...]] = {
    "Metadata": (
        Rule(
            "entry-point",
            "The distribution does not name one module",
            "ganart-zoo finds a plugin by its one entry point in the group `ganart_zoo.plugins`.",
            "declare one entry point in the group ganart_zoo.plugins",
        ),
        Rule(
            "api-range",
            "The range of ganart-zoo versions is missing, open or wrong",
            "Each 0.x minor version has its own API. The range is read before the plugin is imported, so that a plugin "
            "for another API is left out with a clear message instead of failing in the middle of a task.",
            "depend on a range such as 'ganart-zoo>=0.1,<0.2'",
        ),
        Rule(
            "metadata-license",
            "The metadata have no SPDX licence",
            "Package indexes and companies sort packages by the field `License-Expression`.",
            "set license to an SPDX expression such as 'MIT' in pyproject.toml",
        ),
        Rule(
            "license-file",
            "The text of the licence is missing",
            "Most licences ask that their text is passed on with the code.",
            "add a file LICENSE, and list it in license-files in pyproject.toml",
        ),
        Rule(
            "python-range",
            "The versions of Python are not stated",
            "Without `requires-python`, pip installs the package where it cannot run.",
            "set requires-python in pyproject.toml, such as '>=3.10'",
        ),
        Rule(
            "dependency-clash",
            "A dependency cannot be installed beside the core",
            "All plugins share one environment. A plugin that excludes the versions that the core needs, or that pins "
            "a shared package to one version, cannot be installed beside others.",
            "give a range that the core's own range overlaps, without ==",
        ),
    ),
    "The entry module": (
        Rule(
            "entry-fails",
            "The entry module cannot be used",
            "A module that raises, names an unknown hook, or has no hooks offers nothing.",
            "run ganart doctor, or Zoo(strict=True) for the traceback",
        ),
        Rule(
            "entry-imports",
            "The entry module imports heavy packages",
            "Every command imports the entry modules of all plugins. One that imports torch or pydantic delays `ganart "
            "list` by seconds.",
            "import it in the modules that factory, config and options name, not in the entry module",
        ),
        Rule(
            "entry-slow",
            "The entry module is slow to import",
            "Every command imports the entry modules of all plugins, so each must take milliseconds.",
            "move work and imports into the modules that factory names",
        ),
        Rule(
            "entry-prints",
            "Importing the plugin prints",
            "What it prints mixes with the data that a command writes on standard output.",
            "remove the print, or use the logging module",
        ),
        Rule(
            "entry-writes",
            "Importing the plugin writes to disk",
            "Listing models must not change the user's files.",
            "do it when a model is called, in a folder that the user chose",
        ),
        Rule(
            "entry-network",
            "Importing the plugin uses the network",
            "Listing models must work offline, and must not tell anybody that it happened.",
            "declare downloads as WeightsFile, which the user fetches",
        ),
        Rule(
            "entry-process",
            "Importing the plugin starts a process or a thread",
            "A fork at import copies the program that lists the models, and a thread outlives the import.",
            "do it when a model is called, or not at all",
        ),
        Rule(
            "entry-state",
            "Importing the plugin changes the process",
            "The environment, the working directory, random states, signal handlers and warning filters belong to the "
            "program that uses the zoo.",
            "remove the change from module level",
        ),
    ),
    "Declarations": (
        Rule(
            "spec",
            "A declaration is faulty",
            "A model or recipe whose declaration has a problem is not offered.",
            "correct the declaration",
        ),
        Rule(
            "spec-license",
            "A licence is not an SPDX expression",
            "`ganart info` shows the licence, and tools compare it.",
            "use an SPDX expression such as 'MIT' or 'Apache-2.0 OR MIT', or LicenseRef-NAME for another",
        ),
        Rule(
            "weights-license",
            "Weights have no licence",
            "The licence of weights often differs from that of the code, and decides what a user may do with pictures.",
            "set license of the WeightsFile, LicenseRef-unknown where nobody knows",
        ),
        Rule(
            "weights-hash",
            "The hash or size of weights is missing or wrong",
            "A file without a full sha256 is never downloaded, and one that differs from its sha256 is refused.",
            "set sha256 and size to those of the file",
        ),
        Rule(
            "weights-missing",
            "Weights that the package should carry are not there",
            "The model cannot be created.",
            "add the file to package-data in pyproject.toml, or correct the path",
        ),
        Rule(
            "weights-unreachable",
            "Published weights cannot be reached",
            "The model cannot be used by anybody who has not fetched its weights already. Only looked for with "
            "`--online`.",
            "correct urls, or publish the file again",
        ),
        Rule(
            "settings",
            "A settings class is faulty",
            "Config and options make the help, the schema and the checks of what a user sets.",
            "correct the class; it derives from ganart_zoo.contract.Settings",
        ),
        Rule(
            "settings-import-torch",
            "A settings module imports torch",
            "`ganart info` and the help of commands import the settings, and should not wait for torch.",
            "keep config and options in a module that does not import the network",
        ),
        Rule(
            "setting-description",
            "A setting has no description",
            "The description is what `ganart info` and the documentation show.",
            "give its Field a description",
        ),
        Rule(
            "setting-meaning",
            "A setting with a common name has an uncommon type",
            "`steps`, `size`, `alpha`, `strength`, `truncation`, `guidance`, `negative_prompt`, `resolution` and "
            "`class_names` mean the same in every plugin, so that one command-line flag serves all.",
            "give it the usual type, or rename it",
        ),
        Rule(
            "factory",
            "A factory does not exist",
            "The model or recipe cannot be created.",
            "correct factory",
        ),
        Rule(
            "uses",
            "A model that another is built on does not exist",
            "The model cannot be created unless the user names another.",
            "correct the default, or depend on the distribution that has it",
        ),
        Rule(
            "capability",
            "Capabilities do not fit the model",
            "Capabilities are how users and commands choose models.",
            "correct capabilities",
        ),
    ),
    "Code": (
        Rule(
            "code-seeds",
            "The code changes a global random state",
            "A result must depend on the caller's generator alone, and the caller's own numbers must not change.",
            "draw with contract.randn and the rng that the call was given",
        ),
        Rule(
            "code-globals",
            "The code changes a global switch of torch",
            "The default dtype, the number of threads, deterministic mode and backend flags belong to the program.",
            "pass dtype and device where tensors are made, and leave switches alone",
        ),
        Rule(
            "code-unsafe-load",
            "The code loads files that can run code",
            "Weights come from strangers. `pickle`, `torch.load` without `weights_only=True`, `eval` and `exec` run "
            "what is in them.",
            "read weights with contract.load_tensors, and other data as JSON",
        ),
        Rule(
            "code-private",
            "The code imports what is not public to plugins",
            "Only `contract`, `ops`, `imaging`, `perceptual`, `metrics`, `data` and `training` keep their names. Other "
            "plugins are found by `uses`, which the user can change.",
            "import from the public modules, and declare other models in uses",
        ),
    ),
    "Contents of the package": (
        Rule(
            "file-pickle",
            "The package holds pickles",
            "A pickle runs code when it is loaded.",
            "convert the file to safetensors",
        ),
        Rule(
            "file-library",
            "The package holds a stray native library",
            "A library in a wheel for any platform fails on all others, and a copy of torch's libraries breaks torch.",
            "build the library as an Extension, which tags the wheel, and leave out those of other packages",
        ),
        Rule(
            "file-size",
            "The package is too large",
            "Package indexes refuse files above 100 MB, and every environment pays for them.",
            "publish large weights elsewhere and give their urls",
        ),
        Rule(
            "file-stray",
            "The package installs modules that are not its own",
            "A top-level `tests` or `src` overwrites that of another package.",
            "list only your own package in [tool.setuptools.packages.find]",
        ),
    ),
    "The conformance kit": (
        Rule(
            "kit",
            "A model or recipe fails the conformance kit",
            "The kit holds what callers rely on: seeds, shapes, types, gradients and state. Run with `--full`.",
            "correct the model; the kit's check says what was expected",
        ),
        Rule(
            "kit-create",
            "A model cannot be created",
            "Nothing else can be checked. Run with `--full`.",
            "create it in Python with zoo.create(NAME, weights=None) to see the traceback",
        ),
        Rule(
            "kit-call",
            "A model cannot be called",
            "No other check of the kit can pass. Run with `--full`.",
            "call it in Python, as docs/plugins.md shows, to see the traceback",
        ),
    ),
}

RULES: dict[str, Rule] = {rule.id: rule for rules in _GROUPS.values() for rule in rules}


def rules_page() -> str:
    """Return the page of the documentation that explains each rule."""
    lines = [
        "# Rules that `ganart check` holds plugins to",
        "",
        "`ganart check DIST` looks at an installed distribution, `ganart check PATH` at a source tree or a wheel. "
        "It imports the entry module and the settings of the plugin in a process of its own, and nothing that needs "
        "torch. With `--full` it also creates every model and runs the conformance kit on it; no test code is needed. "
        "The exit code is 0 without findings, 1 with findings, and 2 where the check could not look.",
        "",
        "Each finding is one line: the rule, where, what was seen, how to mend it, and the section of this page.",
    ]
    for group, rules in _GROUPS.items():
        lines += ["", f"## {group}"]
        for rule in rules:
            mend = f"{rule.mend[0].upper()}{rule.mend[1:]}."
            lines += ["", f"(rule-{rule.id})=", f"### {rule.id}", "", f"**{rule.title}.** {rule.why}", "", mend]
    return "\n".join(_wrapped(line) for line in lines) + "\n"


def _wrapped(line: str) -> str:
    import textwrap

    return textwrap.fill(line, 118, break_long_words=False, break_on_hyphens=False) if len(line) > 118 else line


if __name__ == "__main__":
    print(rules_page(), end="")
