"""A model in a fresh process: time until its session is there, its first call, its memory.

This file is also that process. It then imports onnxruntime and numpy alone, so that what hedge itself
takes is neither waited for nor counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

LONGEST_S = 600.0
STATUS, RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class ColdStart:
    """Seconds until the session is there and of the first call; bytes that both took at their peak.

    memory_bytes comes on top of Python, onnxruntime and the file's bytes; None where the system is not
    Linux.
    """

    start_s: float
    first_run_s: float
    memory_bytes: int | None


def cold_start(model: bytes, batch: int, threads: int) -> ColdStart:
    """Start the serialized model in a process of its own.

    Raises ModelError, with what it said last, if that process fails.
    """
    command = [sys.executable, "-P", __file__, str(batch), str(threads)]
    try:
        child = subprocess.run(
            command, input=model, capture_output=True, check=True, timeout=LONGEST_S
        )
        return ColdStart(**json.loads(child.stdout))
    except subprocess.CalledProcessError as error:
        from hedge.benching.last_words import how_it_ended

        reason = how_it_ended(error.returncode, error.stderr)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        reason = str(error) or type(error).__name__
    from hedge.errors import ModelError  # not for the other process

    raise ModelError(f"at batch {batch} it can't be started in a fresh process ({reason})")


def _start(model: bytes, batch: int, threads: int) -> ColdStart:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if STATUS.exists():
        RESET_PEAK.write_text("5", encoding="ascii")
    before = _memory("VmRSS")
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    start_s = time.perf_counter() - started
    rows = {
        port.name: np.full((batch, *port.shape[1:]), 0.5, np.float32)
        for port in session.get_inputs()
    }
    started = time.perf_counter()
    session.run(None, rows)
    first_run_s = time.perf_counter() - started
    peak = _memory("VmHWM")
    taken = None if before is None or peak is None else max(peak - before, 0)
    return ColdStart(start_s, first_run_s, taken)


def _memory(key: str) -> int | None:
    """A figure of the kernel about this process, in bytes; VmHWM is the peak of VmRSS."""
    if not STATUS.exists():
        return None
    lines = STATUS.read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{key}:"))
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    print(json.dumps(vars(_start(sys.stdin.buffer.read(), int(sys.argv[1]), int(sys.argv[2])))))
