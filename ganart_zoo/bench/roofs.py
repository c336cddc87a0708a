"""The most that a machine can compute and move, probed in the same process as the measurements."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

import ganart_zoo
from ganart_zoo import native
from ganart_zoo.bench.timing import best_seconds
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.tuning import processor

__all__ = ["Roofs", "describe_machine", "probe_roofs"]

_PROBE_SECONDS = 1.0
_COPY_BYTES = 256 << 20
"""Far more than any CPU's last cache holds."""
_CUDA_COPY_BYTES = 2 << 30
_CUDA_SIDE = 8192
"""The side of the square matrices whose product measures a GPU's peak."""


@dataclass(frozen=True)
class Roofs:
    """The limits of an op's speed on one device."""

    device: str
    peak: Mapping[str, float]
    """FLOP/s of multiply-adds by dtype name, such as `"float32"`."""
    bandwidth: float
    """Bytes/s of a copy to memory that is already mapped; each byte counts once as read and once as written."""
    fresh_bandwidth: float
    """The same for newly allocated memory, whose pages the system must first provide."""

    def floor(self, flops: float, moved: float, dtype: str) -> float:
        """Return the least seconds for `flops` operations on `dtype` and `moved` bytes of memory traffic.

        Raises:
            SettingsError: The dtype's peak was not probed.
        """
        if dtype not in self.peak:
            raise SettingsError(f"no peak was probed for {dtype}; probed: {', '.join(self.peak)}")
        return max(flops / self.peak[dtype], moved / self.bandwidth)


def probe_roofs(device: str = "cpu") -> Roofs:
    """Measure a device's roofs, in a few seconds: with torch's number of threads, on an otherwise idle machine.

    CPU peaks are register-only multiply-adds of the instruction set that the kernels use. A GPU's are those of a large
    matrix product through torch, on random data; float32 without TF32.

    Args:
        device: `"cpu"` or `"cuda"`.

    Raises:
        NativeBuildError: the compiled probes are missing.
    """
    return _probe_cuda() if device == "cuda" else _probe_cpu(torch.get_num_threads())


def describe_machine() -> dict[str, str | int]:
    """Return what the figures depend on: processor, instruction set, threads, GPU and versions."""
    try:
        probes = native.introspection()
        isa, compiler = probes.cpu_isa(), probes.build_facts()["compiler"]
    except native.NativeBuildError:
        isa = compiler = "no kernels"
    machine: dict[str, str | int] = {
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": isa,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ganart-zoo": ganart_zoo.__version__,
        "compiler": compiler,
    }
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine


def _probe_cpu(threads: int) -> Roofs:
    probes = native.introspection()
    peak = {dtype: probes.fma_peak(dtype, threads, _PROBE_SECONDS) for dtype in ("float32", "bfloat16")}
    fresh, reused = (probes.copy_bandwidth(_COPY_BYTES, threads, reuse) for reuse in (False, True))
    return Roofs("cpu", peak, reused, fresh)


def _probe_cuda() -> Roofs:
    def peak(dtype: torch.dtype) -> float:
        factor = torch.randn(_CUDA_SIDE, _CUDA_SIDE, device="cuda").to(dtype)
        return 2 * _CUDA_SIDE**3 / _best_on_cuda(lambda: factor @ factor)

    source = torch.ones(_CUDA_COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def copy_fresh() -> None:
        torch.cuda.empty_cache()
        source.clone()

    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        peaks = {str(dtype).removeprefix("torch."): peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    moved = 2 * _CUDA_COPY_BYTES
    bandwidth = moved / _best_on_cuda(lambda: target.copy_(source))
    return Roofs("cuda", peaks, bandwidth, moved / _best_on_cuda(copy_fresh))


def _best_on_cuda(call: Callable[[], object]) -> float:
    return best_seconds({"probe": call}, seconds=_PROBE_SECONDS, synchronize=torch.cuda.synchronize)["probe"]
