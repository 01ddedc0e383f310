"""Devices that do not exist: what runs take there follows from a few figures, and so does the clock.

None of hedge's own tables or rates are in it: a Gemm takes what its padded operations and its bytes
take, by the level of the caches that they come from; a pass the same; moving numbers an amount a run. The
time that others take away, drift and throttling come on top, on a clock that nothing but the device moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from onnx import ModelProto, TensorProto

from hedge.arrays import Array
from hedge.benching.calibration import Scope, WindowedTimer
from hedge.benching.calibration.timing import Window
from hedge.devices import FUSED, Pass, Product, Work
from hedge.graph import graph_work
from hedge.ops import op_of

PANEL, ROW_BLOCK = 16, 4
PICKING = frozenset({"Gather", "Slice"})  # read no more than they write
FLOAT = 4
# Seconds of a function over those of tanh.
FUNCTIONS = {
    "Cos": 2.2, "Erf": 1.3, "Exp": 0.8, "Gelu": 1.7, "HardSigmoid": 0.2, "Elu": 0.9, "Pow": 4.0,
    "QuickGelu": 1.2, "Sigmoid": 1.0, "Sin": 2.2, "Softplus": 3.0, "Softsign": 0.3, "Tanh": 1.0,
}  # fmt: skip
MOST_SAMPLES = 64


@dataclass(frozen=True)
class Figures:
    """An undisturbed device: seconds, flop/s, bytes and bytes/s.

    ``overlap`` is the p of the p-norm by which arithmetic and memory overlap, ``sharpness`` how
    suddenly a cache overflows, ``depth_start`` the columns' worth of work with which every panel starts.
    """

    call_s: float
    node_s: float
    wait_s: float
    flop_rate: float
    first_cache: float
    second_cache: float
    first_rate: float
    second_rate: float
    memory_rate: float
    tanh_s: float
    number_s: float
    run_s: float
    stride: float
    product_s: float
    unpacked: float
    depth_start: float
    ragged: float
    overlap: float
    sharpness: float

    def seconds(self, model: ModelProto, batch: int) -> float:
        """What one call takes where nothing disturbs it."""
        work = _work(model, batch)
        waits = self.wait_s * sum(product.packed for product in work.products)
        products = sum(self._product(one) for one in work.products)
        return self.call_s + waits + products + sum(self._pass(one) for one in work.passes)

    def _product(self, one: Product) -> float:
        rows, columns, depth = one.rows, one.columns, one.depth
        blocks, rest = divmod(rows, ROW_BLOCK)
        padded = ROW_BLOCK * blocks + (self.ragged * rest if rest else 0.0)
        width = PANEL * ceil(columns / PANEL)
        flops = 2.0 * padded * width * (depth + self.depth_start)
        given, weights, taken = FLOAT * rows * depth, FLOAT * width * depth, FLOAT * rows * columns
        rate = self.flop_rate * (1.0 if one.packed else self.unpacked)
        moved = (
            one.count
            * (given + weights + taken)
            * self._byte_s(one.count * weights + given + taken)
        )
        own = self.node_s + (0.0 if one.packed else self.product_s * one.count)
        return own + self._together(one.count * flops / rate, moved)

    def _pass(self, one: Pass) -> float:
        op = one.op.removeprefix(FUSED)
        if op_of(op).alias or op == "Shape":
            return self.node_s
        numbers = float(one.written)
        each = self.number_s + FUNCTIONS.get(op, 0.0) * self.tanh_s
        if one.fused:
            return numbers * (each + FLOAT / self.first_rate)
        read = one.written if op in PICKING else one.read
        bytes_ = FLOAT * float(read + one.written)
        moved = bytes_ * self._byte_s(bytes_)
        if op == "Transpose":
            moved *= self.stride
        runs = self.run_s * float(one.spans) if one.spans > 1 else 0.0
        return self.node_s + runs + self._together(numbers * each, moved)

    def _byte_s(self, footprint: float) -> float:
        """Seconds a byte, of so many that a node goes over."""
        missed = [
            1.0 / (1.0 + (size / footprint) ** self.sharpness)
            for size in (self.first_cache, self.second_cache)
        ]
        near, middle, far = (1.0 / r for r in (self.first_rate, self.second_rate, self.memory_rate))
        return near + missed[0] * (middle - near) + missed[1] * (far - middle)

    def _together(self, computing: float, moving: float) -> float:
        return float((computing**self.overlap + moving**self.overlap) ** (1.0 / self.overlap))


@dataclass(frozen=True)
class Disturbance:
    """What slows runs down: ``share`` of the time goes to others in bursts of ``burst_s``, of which the
    process's own clock knows if ``seen``; ``contended`` of the time a neighbour makes all ``slower``; the
    clock drifts by ``drift`` over ``period_s``, and falls by ``throttled`` after ``throttled_after_s``.
    A fixed loop feels a neighbour by the power ``loop_feels`` of what the models feel.
    """

    jitter: float
    resolution_s: float
    drift: float = 0.0
    period_s: float = 60.0
    share: float = 0.0
    burst_s: float = 0.005
    seen: bool = True
    contended: float = 0.0
    contention_s: float = 1.0
    slower: float = 1.0
    loop_feels: float = 1.0
    throttled: float = 1.0
    throttled_after_s: float = np.inf

    @property
    def busy(self) -> bool:
        """Whether others use the machine, or its clock falls."""
        return self.share > 0.0 or self.contended > 0.0 or self.throttled_after_s < np.inf


@dataclass
class SimulatedDevice:
    """A device with a clock of its own, which runs where its models do."""

    name: str
    figures: Figures
    disturbance: Disturbance
    seed: int
    window_s: float = 0.001
    now: float = 0.0
    _rng: np.random.Generator = field(init=False)
    _contention_ends: float = 0.0
    _contended: bool = False

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def seconds(self, model: ModelProto, batch: int) -> float:
        """The truth."""
        return self.figures.seconds(model, batch)

    def exact(self, models: Sequence[ModelProto], batch: int) -> Array:
        """A timer that nothing disturbs."""
        return np.array([self.seconds(model, batch) for model in models])

    def timer(self, scope: Scope) -> WindowedTimer:
        """What calibrate is given instead of this machine's clock."""
        self.window_s = scope.window_s
        return WindowedTimer(self.open, scope.windows)

    def open(self, model: ModelProto, batch: int) -> Callable[[], Window]:
        """Starting a session takes time, too."""
        each = self.seconds(model, batch)
        self.now += 100.0 * self.figures.node_s + 2.0 * each
        return lambda: self._window(each)

    def _window(self, each: float) -> Window:
        before = self._slowness()
        loop = self._loop_slowness()
        runs = max(1, ceil(self.window_s / each))
        kept = min(runs, MOST_SAMPLES)
        d, rng = self.disturbance, self._rng
        own = each * before * (1.0 + d.jitter * rng.exponential(size=kept))
        stolen = self._stolen(own)
        begun = self.now + rng.uniform(0.0, d.resolution_s) + np.cumsum(own + stolen) - own - stolen
        steps = [np.floor(at / d.resolution_s) for at in (begun, begun + own + stolen)]
        times = (steps[1] - steps[0]) * d.resolution_s
        self.now += float(np.sum(own + stolen)) * runs / kept
        own_s = float(np.sum(own if d.seen else own + stolen))
        loop = max(loop, self._loop_slowness()) * (1.0 + 0.5 * d.jitter * rng.exponential())
        return Window(times, own_s, loop * 1e-5)

    def _stolen(self, own: Array) -> Array:
        """What others take of each run's time."""
        d = self.disturbance
        if d.share <= 0.0:
            return np.zeros(len(own))
        pauses = d.burst_s * (1.0 - d.share) / d.share
        bursts = self._rng.poisson(own / pauses)
        return np.asarray(self._rng.gamma(np.maximum(bursts, 1e-12)) * d.burst_s)

    def _slowness(self) -> float:
        """By how much the clock is slower than it should be, now."""
        d = self.disturbance
        while self.now >= self._contention_ends and d.contended > 0.0:
            self._contended = bool(self._rng.random() < d.contended)
            self._contention_ends += self._rng.exponential(d.contention_s) + 1e-3
        drifted = 1.0 + d.drift * (1.0 - np.cos(2.0 * np.pi * self.now / d.period_s)) / 2.0
        throttled = d.throttled if self.now > d.throttled_after_s else 1.0
        return float(drifted * throttled * (d.slower if self._contended else 1.0))

    def _loop_slowness(self) -> float:
        neighbour = self.disturbance.slower if self._contended else 1.0
        return self._slowness() * neighbour ** (self.disturbance.loop_feels - 1.0)


def random_devices(count: int, seed: int = 0) -> list[SimulatedDevice]:
    """From a Pi Zero to a server, by turns quiet and busy."""
    return [_device(np.random.default_rng([seed, i]), i) for i in range(count)]


def _device(rng: np.random.Generator, number: int) -> SimulatedDevice:
    figures = _figures(rng)
    quiet = Disturbance(
        jitter=rng.uniform(0.005, 0.03),
        resolution_s=float(rng.choice([1e-9, 4e-8, 1e-6])),
        drift=rng.uniform(0.0, 0.03),
        period_s=rng.uniform(5.0, 100.0),
    )
    busy = number % 2 == 1
    kind = "busy" if busy else "quiet"
    name = f"{number}: {kind}, {figures.flop_rate / 1e9:.1f} GFLOP/s"
    return SimulatedDevice(name, figures, _busy(rng, quiet) if busy else quiet, seed=number)


def _busy(rng: np.random.Generator, quiet: Disturbance) -> Disturbance:
    found = replace(quiet, drift=rng.uniform(0.0, 0.1))
    if rng.random() < 0.8:
        found = replace(
            found,
            share=rng.uniform(0.05, 0.5),
            burst_s=float(np.exp(rng.uniform(np.log(3e-4), np.log(2e-2)))),
            seen=bool(rng.random() < 0.7),
        )
    if rng.random() < 0.5 or not found.share:
        found = replace(
            found,
            contended=rng.uniform(0.05, 0.6),
            contention_s=float(np.exp(rng.uniform(np.log(0.05), np.log(10.0)))),
            slower=rng.uniform(1.1, 1.8),
            loop_feels=rng.uniform(0.6, 1.4),
        )
    if rng.random() < 0.25:
        found = replace(
            found, throttled=rng.uniform(1.2, 2.0), throttled_after_s=rng.uniform(2.0, 60.0)
        )
    return found


def _figures(rng: np.random.Generator) -> Figures:
    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    flop_rate = log_uniform(8e8, 1.5e11)
    slowness = 1e11 / flop_rate
    node = 4e-7 * slowness**0.8 * log_uniform(0.6, 1.6)
    first_rate = flop_rate * rng.uniform(0.8, 2.5)
    second_rate = first_rate * rng.uniform(0.25, 0.6)
    memory_rate = max(second_rate * rng.uniform(0.15, 0.5), 1e9)  # as a Pi Zero 2 W's, and a Pi 3's
    second_rate = max(second_rate, 1.5 * memory_rate)
    first_rate = max(first_rate, 1.5 * second_rate)
    return Figures(
        call_s=node * rng.uniform(4.0, 12.0),
        node_s=node,
        wait_s=node * rng.uniform(0.0, 0.5),
        flop_rate=flop_rate,
        first_cache=2.0**14 * 2.0 ** rng.integers(0, 3),
        second_cache=2.0**18 * 2.0 ** rng.integers(0, 7),
        first_rate=first_rate,
        second_rate=second_rate,
        memory_rate=memory_rate,
        tanh_s=rng.uniform(10.0, 60.0) / flop_rate,
        number_s=rng.uniform(0.5, 4.0) / flop_rate,
        run_s=rng.uniform(100.0, 800.0) / flop_rate,
        stride=rng.uniform(1.5, 6.0),
        product_s=node * rng.uniform(0.2, 0.5),
        unpacked=rng.uniform(0.5, 0.9),
        depth_start=rng.uniform(2.0, 24.0),
        ragged=rng.uniform(1.0, 1.8),
        overlap=rng.uniform(1.5, 4.0),
        sharpness=rng.uniform(1.0, 4.0),
    )


_WORKS: dict[tuple[object, ...], Work] = {}


def _work(model: ModelProto, batch: int) -> Work:
    """The nodes of a call with their sizes; counted once for graphs that differ in weights alone."""
    graph = model.graph
    key = (
        batch,
        *(node.SerializeToString() for node in graph.node),
        *((t.name, *t.dims, t.raw_data if _says_sizes(t) else b"") for t in graph.initializer),
    )
    if key not in _WORKS:
        _WORKS[key] = graph_work(model, batch)
    return _WORKS[key]


def _says_sizes(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.INT64
