"""Installs the core and each plugin as a user would, into a fresh environment, and checks what they get.

It makes three installs: the core and the plugins with build isolation; the core without isolation; and the core with a
broken compiler, which must still install and report why there are no kernels. To save time, kernels are built for only
a few instruction sets; `make install` builds all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
BUILD = {"GANART_BUILD": "1", "GANART_LEVELS": "few"}
BUILD_REQUIREMENTS = ("torch", "setuptools>=77", "wheel", "ninja", "pybind11>=2.13")


class Environment:
    """A virtual environment and a copy of the sources; build outputs of the checkout are neither used nor changed."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.python = folder / "venv" / "bin" / "python"
        listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                target = self.source / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())
        _run(sys.executable, "-m", "venv", str(folder / "venv"))

    def pip(self, *arguments: str, **variables: str) -> None:
        """Run pip with `variables` added to the environment; its output shows only when it fails."""
        _run(
            str(self.python), "-m", "pip", "--disable-pip-version-check", "-q", *arguments, cwd=self.source, **variables
        )

    def install_all(self, *flags: str, **variables: str) -> None:
        """Install the core, then each plugin separately."""
        for package in (".", *(f"./plugins/{path.name}" for path in sorted((self.source / "plugins").iterdir()))):
            self.pip("install", "-c", str(CONSTRAINTS), *flags, package, **variables)

    def ganart(self, *arguments: str) -> str:
        """Run `ganart` in the repository's root, where a source tree without kernels could shadow it."""
        return _run(str(self.python), "-m", "ganart_zoo", *arguments, cwd=self.source)


def _run(*command: str, cwd: Path | None = None, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def _expect(built: bool, environment: Environment, label: str, start: float) -> None:
    models = json.loads(environment.ganart("list", "--json"))
    ops = json.loads(environment.ganart("doctor", "--ops", "--json"))["ops"]
    if not models:
        sys.exit(f"{label}: ganart list shows no models")
    if ops["built"] is not built or not (built or ops["reason"]):
        sys.exit(f"{label}: expected built={built}, found {json.dumps(ops)[:800]}")
    print(f"{label}: {len(models)} models, kernels built: {built}, {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    """Run the three installs; exit with a message if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        start = time.monotonic()
        environment.install_all(PIP_CONSTRAINT=str(CONSTRAINTS), **BUILD)
        _expect(True, environment, "isolated", start)

        environment.pip("install", "-c", str(CONSTRAINTS), *BUILD_REQUIREMENTS)
        for label, built, variables in (
            ("no isolation", True, BUILD),
            ("broken compiler", False, {"GANART_BUILD": "auto", "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}),
        ):
            start = time.monotonic()
            environment.pip("install", "--force-reinstall", "--no-deps", "--no-build-isolation", ".", **variables)
            _expect(built, environment, label, start)


if __name__ == "__main__":
    main()
