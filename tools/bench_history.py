"""Makes the page docs/benchmark-history.md and its pictures from the committed results of the benchmarks."""

from __future__ import annotations

from pathlib import Path

from ganart_zoo.bench.history import draw_history, history_page, read_history

ROOT = Path(__file__).resolve().parent.parent
PICTURES = "gallery/benchmarks"


def main() -> None:
    """Write the page and one picture for each machine."""
    machines = read_history(ROOT / "benchmarks" / "results")
    for machine in machines:
        draw_history(machine, ROOT / "docs" / PICTURES / f"{machine.slug}.png")
    page = ROOT / "docs" / "benchmark-history.md"
    page.write_text(history_page(machines, PICTURES), encoding="utf-8")
    print(f"wrote {page} and {len(machines)} pictures")


if __name__ == "__main__":
    main()
