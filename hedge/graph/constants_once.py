"""Large constants that are equal, stored once: sites that shared a weight share what replaces it, too."""

from __future__ import annotations

from hashlib import sha256

from onnx import ModelProto, TensorProto

from hedge.graph.builder import GraphBuilder

# Bytes from which on a constant is worth being compared with others.
LARGE = 2**16


class ConstantsOnce:
    """Appends parts to a model, and of large constants that are equal the first alone."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self._first: dict[object, str] = {}

    def append(self, part: GraphBuilder) -> None:
        """The nodes and constants of a part, which is left without constants."""
        instead: dict[str, str] = {}
        while part.constants:  # one by one, or memory would hold all of them twice
            tensor = part.constants.pop(next(iter(part.constants)))
            first = self._first.setdefault(_content(tensor), tensor.name)
            if first == tensor.name:
                self.model.graph.initializer.append(tensor)
            else:
                instead[tensor.name] = first
        for node in part.nodes:
            node.input[:] = [instead.get(name, name) for name in node.input]
        self.model.graph.node.extend(part.nodes)


def _content(tensor: TensorProto) -> object:
    """What equal constants have alike; its name of a small one."""
    raw = tensor.raw_data
    if len(raw) < LARGE:
        return tensor.name
    return tensor.data_type, tuple(tensor.dims), sha256(raw).digest()
