"""Prints JSON for `ganart doctor --ops`, in a separate process since it loads torch."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from ganart_zoo import native, ops

__all__: list[str] = []


def _facts() -> dict[str, Any]:
    try:
        found = native.introspection()
    except native.NativeBuildError:
        return {}
    return {
        "instructions": found.cpu_isa(),
        "this machine": ", ".join(found.cpu_isa_levels()),
        "CUDA": native.cuda_build(),
        **found.build_facts(),
    }


def main() -> None:
    """Print whether kernels are built, from what, and which implementation would run for each op on each device."""
    status = ops.status()
    built = native.ops_library() is not None
    fallbacks = [one for one in status if one.implementation != "native"]
    reasons = [one.reason for one in fallbacks] if built else [native.why_not_built()]
    report = {
        "built": built,
        "native": built and not fallbacks,
        "reason": reasons[0] if reasons else "",
        "facts": _facts(),
        "status": [asdict(one) for one in status],
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
