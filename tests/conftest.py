"""Fixtures shared by the suite: small models built on the spot, and the shipped ones."""

from __future__ import annotations

import compileall
import gc
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

# Before numpy and torch are loaded: threads of small products wait for each other as soon as anything
# else runs on the machine, and the suite then takes twice as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, settings
from onnx import ModelProto, TensorProto, helper, numpy_helper

import hedge
from hedge.devices import Device, find_profile
from hedge.graph import SplitModel, load_model, split

# With torch loaded there are half a million objects, and to look through them for cycles as often as Python
# does on its own took every seventh second of the suite.
gc.set_threshold(20_000, 10, 10)

# Where Python does not write what it compiles, each process that a test starts would compile all of it.
compileall.compile_dir(Path(hedge.__file__).parent, quiet=2)

# An example takes as long as the machine is slow.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def burgers_path() -> Path:
    return hedge.reference_models()["burgers"]


@pytest.fixture(scope="session")
def burgers(burgers_path: Path) -> SplitModel:
    return split(load_model(burgers_path))


@pytest.fixture(scope="session")
def heat_path() -> Path:
    return hedge.reference_models()["heat"]


@pytest.fixture(scope="session")
def laptop() -> Device:
    return find_profile("laptop-x86")


def make_model(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, np.ndarray],
    *,
    inputs: int | Mapping[str, int],
    outputs: int | Mapping[str, int] | None = 1,
    opset: int = 17,
) -> ModelProto:
    """A model from nodes that read ``x`` [n, inputs] and write ``u``, or what the mappings name."""
    taken = inputs if isinstance(inputs, Mapping) else {"x": inputs}
    given = outputs if isinstance(outputs, Mapping) else {"u": outputs}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", d]) for k, d in taken.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", m]) for k, m in given.items()],
        [
            numpy_helper.from_array(v.astype(np.float32) if v.dtype == np.float64 else v, name)
            for name, v in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def random_mlp(
    widths: Sequence[int], seed: int = 0, activation: str = "Tanh", *, scale: float = 1.0
) -> ModelProto:
    """A dense MLP with random Gemm layers; ``activation`` is an elementwise op, SiLU or GELU."""
    rng = np.random.default_rng(seed)
    nodes, weights, source = [], {}, "x"
    for layer in range(len(widths) - 1):
        n_in, n_out = widths[layer], widths[layer + 1]
        weights[f"w{layer}"] = scale * rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)
        weights[f"b{layer}"] = 0.3 * rng.standard_normal(n_out)
        last = layer == len(widths) - 2
        target = "u" if last else f"z{layer}"
        nodes.append(
            helper.make_node("Gemm", [source, f"w{layer}", f"b{layer}"], [target], transB=1)
        )
        if not last:
            nodes += activation_nodes(activation, target, f"a{layer}", weights)
            source = f"a{layer}"
    return make_model(nodes, weights, inputs=widths[0], outputs=widths[-1])


def activation_nodes(
    kind: str, source: str, target: str, weights: dict[str, np.ndarray]
) -> list[onnx.NodeProto]:
    if kind == "SiLU":
        return [
            helper.make_node("Sigmoid", [source], [f"{target}.s"]),
            helper.make_node("Mul", [source, f"{target}.s"], [target]),
        ]
    if kind == "GELU":
        weights |= {"root2": np.array(2.0**0.5), "one": np.array(1.0), "half": np.array(0.5)}
        return [
            helper.make_node("Div", [source, "root2"], [f"{target}.d"]),
            helper.make_node("Erf", [f"{target}.d"], [f"{target}.e"]),
            helper.make_node("Add", [f"{target}.e", "one"], [f"{target}.o"]),
            helper.make_node("Mul", [source, f"{target}.o"], [f"{target}.m"]),
            helper.make_node("Mul", [f"{target}.m", "half"], [target]),
        ]
    return [helper.make_node(kind, [source], [target])]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every look at the clock an hour later than the last, as on a machine busy elsewhere."""

    def hurried() -> None:
        hours = count()
        monkeypatch.setattr("time.perf_counter", lambda: 3600.0 * next(hours))

    return hurried


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[ModelProto], Path]:
    """Writes a model into a temporary folder and returns its path."""

    def save(model: ModelProto, name: str = "model.onnx") -> Path:
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return save


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code of a page that are marked as of this language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [code for named, code in found if named == language]
