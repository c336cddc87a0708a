"""What is known of processes: the memory they hold, why they ended, and sizes as texts. Torch-free."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from pathlib import Path

from ganart_zoo.contract.errors import SettingsError

__all__ = ["exit_reason", "parse_bytes", "resident", "resident_of", "show_bytes"]

_UNITS = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9, "b": 1, "": 1}


def parse_bytes(text: str) -> int:
    """Return the bytes of a text such as `1536MiB` or `2GiB`.

    Raises:
        SettingsError: It is not of that form.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?b|b|)\s*", text.lower())
    if match is None or not float(match[1]):
        raise SettingsError(f"memory is {text!r}, expected a size such as 1536MiB or 2GiB")
    return round(float(match[1]) * _UNITS[match[2]])


def show_bytes(count: int) -> str:
    """Return a size for people."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def resident() -> int:
    """Return the bytes that this process holds in memory now; 0 where the system does not tell."""
    if (found := resident_of(os.getpid())) is not None:
        return found
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # not what it holds now, but never less
    return peak if sys.platform == "darwin" else peak * 1024


def resident_of(pid: int) -> int | None:
    """Return the bytes that a process of this user holds in memory now; None where the system does not tell.

    It reads `/proc` on Linux, asks the kernel on Windows, and runs `ps` elsewhere.
    """
    try:
        if sys.platform == "linux":
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if sys.platform == "win32":
            return _working_set(pid)
        import subprocess

        told = subprocess.run(("ps", "-o", "rss=", "-p", str(pid)), capture_output=True, check=False)
        return int(told.stdout) * 1024
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def exit_reason(code: int | None) -> str:
    """Return how a process ended, from its exit code, for people."""
    if code is None:
        return "no exit code"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    if code == 0xC0000005:  # of Windows
        return f"exit code {code} (access violation)"
    return f"exit code {code}"


def _working_set(pid: int) -> int | None:
    """Return the working set of a process, from `GetProcessMemoryInfo` of Windows."""
    import ctypes

    sizes = (
        "PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage",
        "QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage",
    )  # fmt: skip
    counts = [("cb", ctypes.c_uint32), ("PageFaultCount", ctypes.c_uint32)]
    counters = type(
        "ProcessMemoryCounters",
        (ctypes.Structure,),
        {"_fields_": [*counts, *((name, ctypes.c_size_t) for name in sizes)]},
    )()
    counters.cb = ctypes.sizeof(counters)
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]  # Windows alone has it
    kernel.OpenProcess.restype = ctypes.c_void_p
    limited_information = 0x1000
    handle = kernel.OpenProcess(limited_information, False, pid)
    if not handle:
        return None
    try:
        answered = kernel.K32GetProcessMemoryInfo(ctypes.c_void_p(handle), ctypes.byref(counters), counters.cb)
        return int(counters.WorkingSetSize) if answered else None
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
