"""The stages of a cell's chain, in their order, and the options that each takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from hedge.exporting import NEWEST_OPSET
from hedge.graph import LEAST_OPSET
from hedge.grids import in_words
from hedge.request import MOST_BOXES, Against, Asked, Request

Recover = Literal["auto", "outputs", "gradients", "residual", "none"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
# true is no width of 1, and "2" no number.
AS_WRITTEN = ConfigDict(strict=True)


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _as_list(value: Any) -> Any:
    return [value] if type(value) is int else value


def _as_sides(value: Any) -> Any:
    """Of a grid's sides as a list the text, so that they have one spelling."""
    whole = isinstance(value, list | tuple) and all(type(side) is int for side in value)
    return in_words(value) if whole else value


class Options(BaseModel):
    """What may stand in a stage's table; a misspelt key is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrainOptions(Options):
    """Those of :func:`hedge.train` and :func:`hedge.train_operator`."""

    problem: str
    width: Whole | None = None
    depth: Whole | None = None
    sensors: Annotated[str | None, BeforeValidator(_as_text)] = None
    seed: Seed = 0
    steps: Whole | None = None
    budget_s: Seconds | None = None
    method: Literal[
        "auto", "levenberg", "ssbroyden", "ssbfgs", "bfgs", "lbfgs", "adam", "least-squares"
    ] = "auto"
    sampling: Literal["residual", "sobol", "attention"] = "residual"
    precision: Literal["float64", "float32"] | None = None
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    grow: bool = False
    windows: Whole | None = None


class _CompressOptions(Options):
    device: str
    problem: str | None = None
    domain: str | None = None
    samples: str | None = None
    against: Against = "dense"
    recover: Recover = "auto"
    steps: Whole = 50_000
    budget_s: Seconds | None = None
    flash: Whole | None = None
    ram: Whole | None = None
    grid: Annotated[str | None, BeforeValidator(_as_sides)] = None


CompressOptions = create_model(
    "CompressOptions",
    __base__=_CompressOptions,
    **{
        name: (hint, getattr(Request, name))
        for name, hint in get_type_hints(Asked).items()
        if name not in _CompressOptions.model_fields
    },
)  # type: ignore[call-overload]


class CertifyOptions(Options):
    """Those of :func:`hedge.certify`; with ``to_solution`` of the problem that the cell is about, too."""

    domain: str | None = None
    problem: str | None = None
    to_solution: bool = False
    boxes: Whole = MOST_BOXES
    budget_s: Seconds | None = None


class ExportOptions(Options):
    """Those of ``hedge export``; which of them a ``format`` has is for that to say."""

    format: str = "onnx"
    opset: Annotated[int, Field(ge=LEAST_OPSET, le=NEWEST_OPSET)] | None = None
    device: str | None = None
    batch: Whole | None = None
    problem: str | None = None
    outputs: str | None = None
    inputs: str | None = None
    domain: str | None = None
    units: str | None = None
    guard: bool | None = None
    precision: Literal["float", "double"] | None = None
    jacobian: bool | None = None
    fast_tanh: bool | None = None
    flash: Whole | None = None
    ram: Whole | None = None
    test: bool | None = None


class BenchOptions(Options):
    """Those of :func:`hedge.bench`; ``on`` is a board that ssh reaches, ``user@host``."""

    device: str = "auto"
    batch: Annotated[
        Annotated[list[Whole], Field(min_length=1)] | None, BeforeValidator(_as_list)
    ] = None
    threads: Whole = 1
    seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    backend: Literal["onnxruntime", "openvino", "c"] | None = None
    energy_s: Annotated[float, Field(ge=10, allow_inf_nan=False)] | None = None
    on: str | None = None
    remote_hedge: str | None = None


@dataclass(frozen=True)
class Stage:
    """A step of the chain: its options, and which of these an axis of their name is not meant for.

    is_timed says that it must run alone on its machine.
    """

    name: str
    options: type[Options]
    of_its_own: frozenset[str] = frozenset()
    is_timed: bool = False
    readers: dict[str, TypeAdapter[Any]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, option in self.options.model_fields.items():
            kind = Annotated[option.annotation, option]  # type: ignore[name-defined]
            self.readers[name] = TypeAdapter(kind, config=AS_WRITTEN)

    @property
    def shared(self) -> frozenset[str]:
        """The options that it takes from an axis, too, whose name other stages know."""
        return frozenset(self.options.model_fields) - self.of_its_own


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("train", TrainOptions),
        Stage("compress", CompressOptions),
        Stage("certify", CertifyOptions, frozenset({"problem"})),
        Stage("export", ExportOptions, frozenset({"device", "batch", "problem", "flash", "ram"})),
        Stage("bench", BenchOptions, is_timed=True),
    )
}

# The same for all stages of a cell; what else two stages call alike is told apart by the stage's name.
OF_THE_CELL = frozenset({"problem", "device", "domain", "batch", "seed"})

# Options whose value may be the name of a file, or is one.
NAMING_FILES = frozenset({"problem", "device", "samples"})
