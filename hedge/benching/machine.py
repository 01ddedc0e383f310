"""The machine a measurement was made on: what it is, the state it was in, whether it held its speed."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import onnxruntime
import psutil
from pydantic import BaseModel, ConfigDict

from hedge.benching.protocol import Clock
from hedge.devices import CRuntime, Device
from hedge.documents import Count, Number
from hedge.errors import quoted
from hedge.exporting.compiling import compiler_of
from hedge.meters import Ask, FirmwareError, text_of, vcgencmd
from hedge.version import __version__

LOOP_STEPS, LOOPS = 50_000, 9
# Bits of `vcgencmd get_throttled`: 0 to 3 now, 16 to 19 the same since boot.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
THROTTLING = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
SINCE_BOOT = 16
RASPBERRY_PI = "Raspberry Pi"  # how its processor's name begins


class Machine(BaseModel):
    """What a reader needs to judge a measurement; None is what the machine does not tell.

    frequency_hz, temperature_c and governor are of the first core and sensor; affinity are the cores
    that the process may use; throttled the Raspberry Pi's flags, now and since boot, and
    throttling_unknown why it could not be asked for them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    processor: str
    system: str
    cores: Count | None
    load_average: tuple[Number, ...]
    python: str
    onnxruntime: str
    hedge: str
    memory_bytes: Count | None = None
    affinity: tuple[Count, ...] | None = None
    governor: str | None = None
    frequency_hz: Number | None = None
    temperature_c: Number | None = None
    throttled: tuple[str, ...] | None = None
    throttling_unknown: str | None = None


def machine_facts(sys: Path = Path("/sys"), ask: Ask = vcgencmd) -> Machine:
    """This machine, now."""
    cpu = sys / "devices/system/cpu/cpu0/cpufreq"
    kilohertz, thousandths = (
        _number(cpu / "scaling_cur_freq"),
        _number(sys / "class/thermal/thermal_zone0/temp"),
    )
    throttled, unknown = throttling(ask)
    return Machine(
        processor=processor_name(),
        system=f"{platform.system()} {platform.machine()}",
        cores=psutil.cpu_count(logical=True),
        load_average=tuple(round(load, 2) for load in psutil.getloadavg()),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        hedge=__version__,
        memory_bytes=psutil.virtual_memory().total,
        affinity=tuple(sorted(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else None,
        governor=text_of(cpu / "scaling_governor"),
        frequency_hz=None if kilohertz is None else 1e3 * kilohertz,
        temperature_c=None if thousandths is None else 1e-3 * thousandths,
        throttled=throttled,
        throttling_unknown=unknown,
    )


def processor_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))
    ]
    return names[-1] if names else platform.machine()


def calibrated_here(device: Device) -> bool:
    """Whether its figures were measured on this machine, or one with the same processor.

    Those of C by the compiler that is here, too.
    """
    calibration, runtime = device.calibration, device.runtime
    if calibration is None or calibration.processor != processor_name():
        return False
    return not isinstance(runtime, CRuntime) or compiler_of(runtime) is not None


def loop_seconds(
    clock: Clock = time.perf_counter, steps: int = LOOP_STEPS, loops: int = LOOPS
) -> float:
    """Seconds of a fixed loop, the fastest of a few: what the kernel calls the clock's rate can lie."""
    best = float("inf")
    for _ in range(loops):
        started = clock()
        for _ in range(steps):
            pass
        best = min(best, clock() - started)
    return best


def throttling(
    ask: Ask = vcgencmd, processor: str | None = None
) -> tuple[tuple[str, ...] | None, str | None]:
    """The Raspberry Pi's throttling flags, or why it can't be asked for them; neither on other machines.

    >>> throttling(lambda question: "throttled=0x50004")
    (('throttled', 'under-voltage since boot', 'throttled since boot'), None)
    """
    try:
        answer = ask("get_throttled")
    except FirmwareError as error:
        return None, str(error)
    if answer is None:
        is_pi = (processor or processor_name()).startswith(RASPBERRY_PI)
        return None, "vcgencmd is not installed" if is_pi else None
    try:
        bits = int(answer.strip().removeprefix("throttled="), 16)
    except ValueError:
        return None, f"vcgencmd get_throttled said {quoted(answer)}"
    now = [name for bit, name in enumerate(THROTTLING) if bits >> bit & 1]
    before = [name for bit, name in enumerate(THROTTLING) if bits >> SINCE_BOOT + bit & 1]
    return (*now, *(f"{name} since boot" for name in before)), None


def throttled_meanwhile(
    before: tuple[str, ...] | None, after: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The flags that were up before or after, and those "since boot" that came up in between.

    >>> throttled_meanwhile(("clock capped since boot",), ("clock capped since boot",))
    ()
    >>> throttled_meanwhile((), ("throttled since boot",))
    ('throttled since boot',)
    """
    early, late = before or (), after or ()
    now = {flag for flag in (*early, *late) if not flag.endswith("since boot")}
    return tuple(sorted(now | (set(late) - set(early))))


def _number(path: Path) -> float | None:
    try:
        return float(text_of(path) or "")
    except ValueError:
        return None
