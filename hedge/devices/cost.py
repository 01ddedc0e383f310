"""What work costs on a device, in seconds or joules, by its runtime.

Two numbers with two names, never mixed: the *prediction* of the device model and the *roofline*, a
lower bound. The paper's bound has a module of its own (:mod:`hedge.paper.costs`).
"""

from __future__ import annotations

from hedge.devices.c_cost import c_call_seconds, c_seconds
from hedge.devices.onnxruntime_cost import onnxruntime_seconds
from hedge.devices.profile import CRuntime, Device
from hedge.devices.work import Count, Work

# A gain that is predicted counts from here on: predictions are off by some percent after calibration, by
# more with the figures of datasheets, though less where two graphs of one model are compared.
LEAST_GAIN = 0.05


def predicted_seconds(device: Device, work: Work) -> Count:
    """The device model's time for one call: the call itself, and all that it does one after the other."""
    runtime = device.runtime
    if isinstance(runtime, CRuntime):
        return c_call_seconds(runtime, work.batch) + c_seconds(runtime, work)
    return runtime.call.value + onnxruntime_seconds(runtime, work)


def marginal_seconds(device: Device, work: Work) -> Count:
    """The same without the call itself: what a part of a graph adds."""
    runtime = device.runtime
    if isinstance(runtime, CRuntime):
        return c_seconds(runtime, work)
    return onnxruntime_seconds(runtime, work)


def energy_joules(device: Device, work: Work, seconds: Count) -> Count:
    """Modelled energy of a call that takes ``seconds``: static power over time, plus flops."""
    return device.power.idle.value * seconds + device.power.flop_energy.value * work.flops


def roofline_seconds(device: Device, work: Work) -> Count:
    """max(flops / peak, bytes / bandwidth of the fastest cache): no run on one core is faster."""
    limits = device.limits
    return max(work.flops / limits.compute.value, work.bytes / limits.bandwidth.value)
