"""``modelDescription.xml`` of both versions of FMI, and ``buildDescription.xml`` of 3.0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from hedge.exporting.c_network import CNetwork
from hedge.exporting.fmu.sources import Version, source_names, token
from hedge.exporting.fmu.variables import TIME, UNPRINTABLE, Variable, variables
from hedge.version import __version__

Attributes = dict[str, str]


def model_description(network: CNetwork, version: Version) -> bytes:
    """The interface of the FMU as XML, with a line that says where it comes from and how exact it is.

    Raises InputError for names that FMI forbids and units that it can't write.
    """
    columns = variables(network.sheet)
    write = _model_description2 if version == "2.0" else _model_description3
    return write(network, columns)


def build_description(name: str) -> bytes:
    """How FMI 3.0 is told what to compile."""
    root = Element("fmiBuildDescription", fmiVersion="3.0")
    build = SubElement(root, "BuildConfiguration", modelIdentifier=name)
    files = SubElement(build, "SourceFileSet", language="C99")
    for file in source_names("3.0"):
        SubElement(files, "SourceFile", name=file)
    SubElement(
        build, "Library", name="m", external="true", description="the C library's mathematics"
    )
    return _text(root)


def _model_description2(network: CNetwork, columns: Sequence[Variable]) -> bytes:
    own = {"fmiVersion": "2.0", "guid": token(network, "2.0"), "numberOfEventIndicators": "0"}
    root = Element("fmiModelDescription", own | _about(network))
    usual = {
        "modelIdentifier": network.name,
        "needsExecutionTool": "false",
        "canBeInstantiatedOnlyOncePerProcess": "false",
        "canNotUseMemoryManagementFunctions": "true",  # it uses those of the C library
        "canGetAndSetFMUstate": "true",
        "canSerializeFMUstate": "true",
        "providesDirectionalDerivative": "true",
    }
    exchange = SubElement(
        root, "ModelExchange", usual | {"completedIntegratorStepNotNeeded": "true"}
    )
    steps = SubElement(
        root, "CoSimulation", usual | {"canHandleVariableCommunicationStepSize": "true"}
    )
    for kind in (exchange, steps):
        files = SubElement(kind, "SourceFiles")
        for file in source_names("2.0"):
            SubElement(files, "File", name=file)
    _units(root, columns)
    _log_categories(root)
    _experiment(root)
    listed = SubElement(root, "ModelVariables")
    for reference, column in enumerate(columns):
        scalar = SubElement(listed, "ScalarVariable", _variable(reference, column))
        SubElement(scalar, "Real", _real(column))
    structure = SubElement(root, "ModelStructure")
    for part in ("Outputs", "InitialUnknowns"):
        unknowns = SubElement(structure, part)
        for reference, others in _dependencies(columns):
            # by places in the list, which begin with 1
            SubElement(
                unknowns, "Unknown", {"index": str(reference + 1)} | _by(o + 1 for o in others)
            )
    return _text(root)


def _model_description3(network: CNetwork, columns: Sequence[Variable]) -> bytes:
    own = {"fmiVersion": "3.0", "instantiationToken": token(network, "3.0")}
    root = Element("fmiModelDescription", own | _about(network))
    usual = {
        "modelIdentifier": network.name,
        "needsExecutionTool": "false",
        "canBeInstantiatedOnlyOncePerProcess": "false",
        "canGetAndSetFMUState": "true",
        "canSerializeFMUState": "true",
        "providesDirectionalDerivatives": "true",
        "providesAdjointDerivatives": "true",
    }
    SubElement(root, "ModelExchange", usual | {"needsCompletedIntegratorStep": "false"})
    SubElement(root, "CoSimulation", usual | {"canHandleVariableCommunicationStepSize": "true"})
    _units(root, columns)
    _log_categories(root)
    _experiment(root)
    listed = SubElement(root, "ModelVariables")
    for reference, column in enumerate(columns):
        SubElement(listed, "Float64", _variable(reference, column) | _real(column))
    SubElement(
        listed,
        "Float64",
        name=TIME,
        valueReference=str(len(columns)),
        causality="independent",
        variability="continuous",
    )
    structure = SubElement(root, "ModelStructure")
    for part in ("Output", "InitialUnknown"):
        for reference, others in _dependencies(columns):
            SubElement(structure, part, {"valueReference": str(reference)} | _by(others))
    return _text(root)


def _about(network: CNetwork) -> Attributes:
    sheet = network.sheet
    told = "; ".join(line for line in (*sheet.origin[:1], sheet.summary) if line)
    return {
        "modelName": network.name,
        "description": UNPRINTABLE.sub(" ", told),
        "generationTool": f"hedge {__version__}",
        "variableNamingConvention": "flat",  # any name is one, also u[0] and flux [W]
    }


def _units(root: Element, columns: Sequence[Variable]) -> None:
    units = {column.unit: column.base_unit for column in columns if column.base_unit is not None}
    if not units:
        return
    definitions = SubElement(root, "UnitDefinitions")
    for unit, base in sorted(units.items(), key=itemgetter(0)):
        attributes = {name: str(power) for name, power in base.exponents.items() if power}
        attributes |= {"factor": repr(base.factor)} if base.factor != 1 else {}
        attributes |= {"offset": repr(base.offset)} if base.offset else {}
        SubElement(SubElement(definitions, "Unit", name=unit), "BaseUnit", attributes)


def _log_categories(root: Element) -> None:
    categories = SubElement(root, "LogCategories")
    for name, what in (
        ("logStatusWarning", "an input is outside of its domain"),
        ("logStatusError", "a call that the standard does not allow"),
    ):
        SubElement(categories, "Category", name=name, description=what)


def _experiment(root: Element) -> None:
    SubElement(root, "DefaultExperiment", startTime="0", stopTime="1")


def _variable(reference: int, column: Variable) -> Attributes:
    found = {
        "name": column.name,
        "valueReference": str(reference),
        "causality": column.causality,
        "variability": "continuous",
    }
    found |= {"description": column.description} if column.description else {}
    return found | ({"initial": "calculated"} if column.causality == "output" else {})


def _real(column: Variable) -> Attributes:
    found = {
        "unit": column.unit or None,
        "min": column.lower,
        "max": column.upper,
        "start": column.start,
    }
    return {key: _written(value) for key, value in found.items() if value is not None}


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else repr(float(value))


def _dependencies(columns: Sequence[Variable]) -> list[tuple[int, list[int]]]:
    """The value reference of every output, with those of all inputs."""
    inputs = [i for i, column in enumerate(columns) if column.causality == "input"]
    return [(i, inputs) for i, column in enumerate(columns) if column.causality == "output"]


def _by(places: Iterable[int]) -> Attributes:
    listed = [str(place) for place in places]
    return {
        "dependencies": " ".join(listed),
        "dependenciesKind": " ".join(["dependent"] * len(listed)),
    }


def _text(root: Element) -> bytes:
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
