"""PhysicsNeMo's fully connected networks, and DeepONets of two, as models."""

from __future__ import annotations

from typing import NoReturn

from onnx import ModelProto
from torch import Tensor

from hedge.errors import ModelError, quoted
from hedge.graph import GraphBuilder, as_grid, as_pairs
from hedge.graph.activations import ACTIVATIONS
from hedge.training.mdlus_file import StoredModule

PLAIN, PRODUCT = "FullyConnected", "DeepONet"
MODULE = "give the module itself to hedge.import_model in Python"
MOST_LAYERS = 1000


def mdlus_to_onnx(stored: StoredModule) -> ModelProto:
    """The network as a float32 model: ``x`` [n, d] to ``u`` [n, m], of a DeepONet ``f``, ``y`` to [b, n].

    Read are FullyConnected, with all its options, and a DeepONet of two whose decoder is one linear layer of
    one output. Raises ModelError, naming module or key, for anything else.
    """
    if stored.name() == PLAIN:
        return _plain(stored)
    if stored.name() == PRODUCT:
        return _product(stored)
    raise ModelError(
        f"holds {quoted(stored.name())}; of PhysicsNeMo's modules {PLAIN} is read, and {PRODUCT} of two of "
        f"them; {MODULE}"
    )


def _plain(stored: StoredModule) -> ModelProto:
    graph = GraphBuilder()
    net = _Net(stored, "", "")
    graph.rename(net.put(graph, "x"), "u")
    net.check_all_read()
    return graph.model({"x": net.inputs}, {"u": net.outputs}, "imported")


def _product(stored: StoredModule) -> ModelProto:
    """u = w · (branch(f) * trunk(y)) + c, the decoder's w as a factor of what the branch gives."""
    branch = _Net(stored, _place(stored, "branch1"), "branch1.")
    trunk = _Net(stored, _place(stored, "trunk"), "trunk.")
    others = {key for key in stored.state if not key.startswith(("branch1.", "trunk."))}
    if others != {"decoder.weight", "decoder.bias"} or len(stored.state["decoder.weight"]) != 1:
        found = ", ".join(sorted(others)) or "no decoder"
        raise ModelError(
            f"holds a {PRODUCT} with {quoted(found)} beside branch1 and trunk; one is read whose decoder is "
            f"one linear layer of one output (decoder_layers=0); {MODULE}"
        )
    graph = GraphBuilder()
    factor = stored.state["decoder.weight"].double()
    features = branch.put(graph, "f", factor[0]), trunk.put(graph, "y")
    summed = graph.add("Einsum", *features, equation="bi,ni->bn")
    graph.rename(graph.add("Add", summed, float(stored.state["decoder.bias"][0])), "u")
    branch.check_all_read()
    trunk.check_all_read()
    widths = {"f": branch.inputs, "y": trunk.inputs}
    return as_grid(as_pairs(graph.model(widths, {"u": ("points",)}, "imported")))


def _place(stored: StoredModule, argument: str) -> str:
    """Where the FullyConnected stands that is this argument; raises ModelError for another module."""
    place = stored.argument(argument, "")
    if not place:
        raise ModelError(f"holds a {PRODUCT} without {argument}; {MODULE}")
    if stored.name(place) != PLAIN:
        raise ModelError(
            f"{argument} is a {quoted(stored.name(place))}, and only {PLAIN} is read; {MODULE}"
        )
    return str(place)


class _Net:
    """A FullyConnected with the keys below ``prefix``: layers, and how they follow each other."""

    def __init__(self, stored: StoredModule, place: str, prefix: str) -> None:
        self.prefix, self.state = prefix, stored.weights(prefix)
        self.read: set[str] = set()
        self.inputs = stored.argument("in_features", 512, place)
        self.outputs = stored.argument("out_features", 512, place)
        self.width = stored.argument("layer_size", 512, place)
        self.skips = stored.argument("skip_connections", False, place)
        self.depth = stored.argument("num_layers", 6, place)
        if not 0 <= self.depth <= MOST_LAYERS:
            raise ModelError(f"has {self.depth} layers; up to {MOST_LAYERS} are read")
        named = stored.argument("activation_fn", "silu", place, or_list=True)
        names = named if isinstance(named, list) else [named]
        self.activations = [*names, *names[-1:] * self.depth][: self.depth]
        for name in self.activations:
            if name not in ACTIVATIONS:
                raise ModelError(
                    f"has the activation {quoted(name)}; read are {', '.join(ACTIVATIONS)}; {MODULE}"
                )

    def put(self, graph: GraphBuilder, source: str, factor: Tensor | None = None) -> str:
        """Its nodes, behind ``source``; its outputs times ``factor`` (m,) if there is one."""
        skipped, width = "", self.inputs
        for i, name in enumerate(self.activations):
            weight, bias = self._layer(f"layers.{i}.", (self.width, width))
            source = ACTIVATIONS[name](graph, graph.linear(source, weight, bias))
            width = self.width
            if self.skips and i % 2 == 0:
                before, skipped = skipped, source
                source = graph.add("Add", source, before) if before else source
        weight, bias = self._layer("final_layer.", (self.outputs, width))
        if factor is not None:
            if factor.shape != bias.shape:
                raise ModelError(
                    f"gives {len(bias)} numbers, but the decoder takes {len(factor)}; the file is damaged"
                )
            weight, bias = weight * factor[:, None], bias * factor
        return graph.linear(source, weight, bias)

    def check_all_read(self) -> None:
        """Raise ModelError if there are weights that none of its layers has."""
        for key in self.state.keys() - self.read:
            raise ModelError(
                f"{quoted(self.prefix + key)} belongs to no layer of its {PLAIN}; the file is damaged"
            )

    def _layer(self, name: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """W (out, in) and b (out,) in double, what is factored out and the activation's slope in them."""
        parts = {
            key: self._tensor(f"{name}linear.{key}")
            for key in ("weight", "weight_g", "g", "v", "bias")
            if f"{name}linear.{key}" in self.state
        }
        for key in ("g", "weight_g"):  # a factor for each row, which would else spread over others
            if key in parts and parts[key].shape != (shape[0], 1):
                self._refuse(f"{name}linear.{key}", parts[key], (shape[0], 1))
        if "v" in parts and parts["v"].shape != shape:
            self._refuse(f"{name}linear.v", parts["v"], shape)
        given = set(parts) - {"bias"}
        if given == {"g", "v"}:
            weight = parts["g"] * parts["v"]
        elif given == {"weight", "weight_g"}:
            norm = parts["weight"].norm(dim=1, keepdim=True)
            weight = parts["weight_g"] * parts["weight"] / norm
        elif given == {"weight"}:
            weight = parts["weight"]
        else:
            raise ModelError(
                f"has no weight {quoted(f'{self.prefix}{name}linear.weight')}; the file is damaged"
            )
        bias = parts.get("bias", weight.new_zeros(shape[0]))
        if weight.shape != shape:
            self._refuse(f"{name}linear", weight, shape)
        if bias.shape != shape[:1]:
            self._refuse(f"{name}linear.bias", bias, shape[:1])
        slope = f"{name}activation_par"
        steep = self._tensor(slope) if slope in self.state else weight.new_ones(1)
        if steep.numel() != 1:
            self._refuse(slope, steep, (1,))
        return weight * steep.reshape(()), bias * steep.reshape(())

    def _refuse(self, key: str, found: Tensor, wanted: tuple[int, ...]) -> NoReturn:
        raise ModelError(
            f"{quoted(self.prefix + key)} is {quoted(tuple(found.shape))}, where its {PLAIN} has {wanted}; "
            "the file is damaged"
        )

    def _tensor(self, key: str) -> Tensor:
        self.read.add(key)
        return self.state[key].double()
