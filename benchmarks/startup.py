"""Start-up times: `import hedge` and `hedge --help`, beside a bare interpreter, interleaved.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from hedge.cli.console import print_table, seconds

COMMANDS = {
    "bare interpreter": "pass",
    "import hedge": "import hedge",
    "hedge --help": "import sys; sys.argv = ['hedge', '--help']; from hedge.cli.app import main; main()",
}
ROUNDS = 15


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, code in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
            times[name].append(time.perf_counter() - started)
    bare = np.median(times["bare interpreter"])
    rows = [
        [
            name,
            seconds(float(np.median(t))),
            seconds(float(np.max(t))),
            f"{np.median(t) / bare:.1f}x",
        ]
        for name, t in times.items()
    ]
    print_table(f"Start-up, {ROUNDS} rounds", ["command", "median", "slowest", "ratio"], rows)


if __name__ == "__main__":
    main()
