"""Runs the kernels' tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer, in build/sanitize/.

With --brief, only some tests run, on the two lowest instruction sets, in build/sanitize-brief/. Other arguments are
passed to pytest. opcheck is left out, because it covers no further kernel code and takes minutes under ASan.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BRIEF = "--brief" in sys.argv
BUILT = ROOT / "build" / ("sanitize-brief" if BRIEF else "sanitize") / "lib"
NAMES = ["*_kernels", "conv?x?", "drawn_*", "upfirdn2d", "*_act", "minibatch_stddev", "style_loss*", "*_conv2d"]
TESTS = sorted({str(path.relative_to(ROOT)) for name in NAMES for path in ROOT.glob(f"tests/ops/test_{name}.py")})
FEW = ["level", "layer_kernels and (bits_depend or views)", "large and (lrelu or blur) and dtype0", "geometry"]
SELECTION = " or ".join(f"({few})" for few in FEW) if BRIEF else "not opcheck"
OPTIONS = ["-m", "not slow and not gpu", "-k", SELECTION, "-p", "no:cacheprovider", "-q"]


def library(name: str) -> str:
    compiler = os.environ.get("CXX", "c++").split()
    return subprocess.run(
        [*compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> int:
    build = ["--quiet", "build", "--build-base", str(BUILT.parent), "--build-lib", str(BUILT)]
    strict = {**os.environ, "GANART_BUILD": "1", "GANART_SANITIZE": "1", "GANART_LEVELS": "few" if BRIEF else "all"}
    subprocess.run([sys.executable, "setup.py", *build], cwd=ROOT, env=strict, check=True)
    checked = {
        **os.environ,
        # The interpreter is built without sanitizers, so their runtimes are preloaded; libstdc++ lets ASan see throws.
        "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONPATH": str(BUILT),
        "PYTHONSAFEPATH": "1",  # the tree's own package, without sanitizers, must not come first
        "GANART_OPS": "auto",
    }
    loaded = subprocess.run(
        [sys.executable, "-c", "from ganart_zoo import native; print(native.ops_library())"],
        env=checked, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if not loaded.stdout.startswith(str(BUILT)):
        print(f"sanitize: the tests would load {loaded.stdout.strip()}, not {BUILT}", file=sys.stderr)
        return 1
    arguments = [argument for argument in sys.argv[1:] if argument != "--brief"]
    tests = [sys.executable, "-m", "pytest", *OPTIONS, *TESTS, *arguments]
    return subprocess.run(tests, cwd=ROOT, env=checked).returncode


if __name__ == "__main__":
    sys.exit(main())
