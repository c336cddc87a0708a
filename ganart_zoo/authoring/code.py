"""The rules on a plugin's code that can be judged from its source alone: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.target import Target

__all__ = ["code_findings"]

_PUBLIC = frozenset({"contract", "ops", "imaging", "perceptual", "metrics", "data", "training", "testing"})
_FACE = frozenset(
    {"GanartError", "ModelSpec", "RecipeSpec", "Use", "Weights", "WeightsFile", "hookimpl", "__version__"}
)
_SEEDS = (
    "torch.manual_seed", "torch.seed", "torch.set_rng_state", "torch.random.manual_seed", "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all", "numpy.random.seed", "random.seed", "numpy.random.set_state", "random.setstate",
)  # fmt: skip
_GLOBALS = (
    "torch.set_default_dtype", "torch.set_default_device", "torch.set_default_tensor_type", "torch.set_num_threads",
    "torch.set_num_interop_threads", "torch.use_deterministic_algorithms", "torch.set_grad_enabled",
    "torch.set_float32_matmul_precision", "torch.autograd.set_detect_anomaly", "torch.set_deterministic_debug_mode",
    "torch.set_flush_denormal",
)  # fmt: skip
_UNSAFE = ("pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "dill.loads", "joblib.load", "marshal.loads",
           "cloudpickle.load", "cloudpickle.loads")  # fmt: skip


def code_findings(target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the modules of the package; a module that cannot be parsed is passed over."""
    for inside, path in target.files.items():
        if not inside.endswith(".py") or inside.partition("/")[0].removesuffix(".py") != target.package:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue  # the entry module and the factories' modules are judged elsewhere
        parts = inside.split("/")
        yield from _of_module(tree, inside, parts[:-1], target.package)


def _of_module(tree: ast.Module, inside: str, above: list[str], own: str) -> Iterator[Finding]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield from _private(alias.name, f"{inside}:{node.lineno}", own)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield from _private(f"{node.module}.{alias.name}", f"{inside}:{node.lineno}", own)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called := _dotted(node.func, names)):
            yield from _call(called, node, f"{inside}:{node.lineno}")
        elif isinstance(node, ast.Assign):
            for each in node.targets:
                set_to = _dotted(each, names) or ""
                if set_to.startswith("torch.backends."):
                    yield Finding("code-globals", f"it sets {set_to}", f"{inside}:{node.lineno}")


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """Return the full dotted name of an expression by the imports of its module, or None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def _call(called: str, node: ast.Call, where: str) -> Iterator[Finding]:
    if called in _SEEDS:
        yield Finding("code-seeds", f"it calls {called}", where)
    elif called in _GLOBALS:
        yield Finding("code-globals", f"it calls {called}", where)
    elif called in _UNSAFE or called in ("eval", "exec"):
        yield Finding("code-unsafe-load", f"it calls {called}", where)
    elif called == "torch.load":
        safe = any(
            word.arg == "weights_only" and isinstance(word.value, ast.Constant) and word.value.value is True
            for word in node.keywords
        )
        if not safe:
            yield Finding("code-unsafe-load", "it calls torch.load without weights_only=True", where)


def _private(imported: str, where: str, own: str) -> Iterator[Finding]:
    package, _, rest = imported.partition(".")
    first = rest.partition(".")[0]
    if package == "ganart_zoo" and first and first not in _PUBLIC and first not in _FACE:
        yield Finding("code-private", f"it imports ganart_zoo.{first}", where)
    elif package.startswith("ganart_") and package not in ("ganart_zoo", own):
        yield Finding("code-private", f"it imports the plugin {package}", where)
