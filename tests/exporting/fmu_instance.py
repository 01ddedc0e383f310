"""An instance of an FMU through FMPy's bindings, the same for both versions of FMI, with what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import fmpy
import numpy as np
from fmpy import fmi2, fmi3
from fmpy.model_description import ModelDescription, read_model_description

Kind = Literal["CoSimulation", "ModelExchange"]
CLASSES = {
    ("2", "CoSimulation"): fmi2.FMU2Slave,
    ("2", "ModelExchange"): fmi2.FMU2Model,
    ("3", "CoSimulation"): fmi3.FMU3Slave,
    ("3", "ModelExchange"): fmi3.FMU3Model,
}


class Instance:
    """Ready for initialization; ``messages`` are what it reported, in order."""

    def __init__(
        self, folder: Path, kind: Kind = "CoSimulation", *, name: str = "one", token: str = ""
    ) -> None:
        self.description: ModelDescription = read_model_description(folder)
        self.version = self.description.fmiVersion[0]
        self.messages: list[str] = []
        self.fmu: Any = CLASSES[self.version, kind](
            guid=token or self.description.guid,
            unzipDirectory=str(folder),
            modelIdentifier=self.description.modelIdentifier,
            instanceName=name,
        )
        if self.version == "2":
            self._callbacks = fmi2.fmi2CallbackFunctions()
            self._callbacks.logger = fmi2.fmi2CallbackLoggerTYPE(
                lambda environment, name, status, category, text: self._keep(status, text)
            )
            self.fmu.instantiate(callbacks=self._callbacks)
        else:
            self.fmu.instantiate(
                logMessage=lambda environment, status, category, text: self._keep(status, text)
            )

    def _keep(self, status: int, text: bytes) -> None:
        self.messages.append(f"{status}: {text.decode()}")

    def start(self) -> Instance:
        """Through initialization mode, to where steps are made or the time is continuous."""
        if self.version == "2":
            self.fmu.setupExperiment(startTime=0.0)
        self.fmu.enterInitializationMode()
        self.fmu.exitInitializationMode()
        if isinstance(self.fmu, fmi2.FMU2Model | fmi3.FMU3Model):
            self.fmu.enterContinuousTimeMode()
        return self

    def references(self, *names: str) -> list[int]:
        known = {v.name: v.valueReference for v in self.description.modelVariables}
        return [known[name] for name in names]

    def get(self, references: Sequence[int]) -> list[float]:
        found = self.fmu.getReal if self.version == "2" else self.fmu.getFloat64
        return list(found(references))

    def get_status(self, reference: int) -> int:
        """The status of a call that gives one number."""
        references, value = (fmi2.fmi2ValueReference * 1)(reference), (fmi2.fmi2Real * 1)()
        if self.version == "2":
            return int(self.fmu.fmi2GetReal(self.fmu.component, references, 1, value))
        return int(self.fmu.fmi3GetFloat64(self.fmu.component, references, 1, value, 1))

    def set(self, references: Sequence[int], values: Sequence[float]) -> None:
        (self.fmu.setReal if self.version == "2" else self.fmu.setFloat64)(references, values)

    def directional(
        self, unknowns: Sequence[int], knowns: Sequence[int], seed: Sequence[float]
    ) -> list[float]:
        return list(self.fmu.getDirectionalDerivative(unknowns, knowns, seed))

    def jacobian(self, unknowns: Sequence[int], knowns: Sequence[int]) -> np.ndarray:
        """d unknown i / d known j, a call for every column."""
        unit = np.eye(len(knowns)).tolist()
        return np.stack([self.directional(unknowns, knowns, seed) for seed in unit], axis=1)

    def close(self) -> None:
        self.fmu.freeInstance()


def unpacked(fmu: Path) -> Path:
    """The folder of its files, beside it."""
    folder = fmu.with_suffix("")
    with suppress(FileExistsError):
        folder.mkdir()
        fmpy.extract(fmu, folder)
    return folder
