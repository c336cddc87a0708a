"""Shows how close an op is to what the machine can do: roofs, interleaved timing, tables of ratios and a picture.

Used by the files under `benchmarks/` in the repository and by `ganart bench`, which runs them.
"""

from ganart_zoo.bench.report import Drop, Report, Row, drops, other_machine, vanished
from ganart_zoo.bench.roofs import Roofs, probe_roofs
from ganart_zoo.bench.timing import Rivals

__all__ = ["Drop", "Report", "Rivals", "Roofs", "Row", "drops", "other_machine", "probe_roofs", "vanished"]
