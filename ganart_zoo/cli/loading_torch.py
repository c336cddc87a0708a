"""How commands load torch: without collecting garbage meanwhile, and with an allocator that keeps its memory."""

from __future__ import annotations

import gc
import sys

from ganart_zoo import native

__all__ = ["load_torch"]


def load_torch() -> None:
    """Import torch if it is not imported yet, and set up the process's allocator for large tensors.

    The import creates about a million objects that stay. Looking for garbage among them, then and ever after, would
    take a sixth of the time of the import, so the collector is off meanwhile and leaves them out afterwards.
    """
    if "torch" not in sys.modules:
        collecting = gc.isenabled()
        gc.disable()
        try:
            import torch  # noqa: F401
        finally:
            if collecting:
                gc.enable()
        gc.freeze()
    native.tune_allocator()
