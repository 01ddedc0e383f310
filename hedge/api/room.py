"""What of flash and RAM the C of a model may take, and which results keep to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from hedge.compression import CompressedModel, Plan
from hedge.devices import Device
from hedge.documents import MOST_COUNTED
from hedge.errors import InputError, RoomError
from hedge.exporting import CALL_BYTES, COptions, check_c
from hedge.graph import Matrix


@dataclass(frozen=True)
class Room:
    """Bytes that constants may take, and that a call may take; None for any number."""

    flash: int | None = None
    ram: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError for what no network keeps to, before any is looked for."""
        if self.flash is not None and self.flash < 1:
            raise InputError(f"flash: must be at least 1 byte, not {self.flash}")
        if self.ram is not None and self.ram < CALL_BYTES:
            raise InputError(
                f"ram: must be at least {CALL_BYTES} bytes, which calls alone may take, not {self.ram}"
            )
        for name, limit in self.options.items():
            if limit > MOST_COUNTED:
                raise InputError(f"{name}: must be at most {MOST_COUNTED} bytes; leave it out")

    def on(self, device: Device | None) -> Room:
        """The same and, where it has no limit, what the profile of a device that runs C has."""
        memory = device.memory if device is not None and device.runs_c else None
        if memory is None:
            return self
        flash, ram = (None if one is None else one.value for one in (memory.flash, memory.ram))
        return self._or(flash, ram)

    def of(self, plan: Plan | None) -> Room:
        """The same and, where it has no limit, what the model was compressed for."""
        return self if plan is None else self._or(plan.flash, plan.ram).on(plan.device_profile)

    def _or(self, flash: int | None, ram: int | None) -> Room:
        return Room(
            flash if self.flash is None else self.flash, ram if self.ram is None else self.ram
        )

    @property
    def options(self) -> dict[str, int]:
        """What is limited, as options of the export to C."""
        both = {"flash": self.flash, "ram": self.ram}
        return {name: limit for name, limit in both.items() if limit is not None}

    def check(self, skeleton: ModelProto, matrices: Mapping[str, Matrix]) -> None:
        """Raise RoomError where the C of this takes more; ModelError where there can be none."""
        if self.options:
            check_c(skeleton, matrices, COptions("model", flash=self.flash, ram=self.ram))


class Fitting:
    """The results of a run that keep to some room: the last of them, and how near the others came."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._nearest: RoomError | None = None
        self.last: CompressedModel | None = None

    def takes(self, model: CompressedModel) -> bool:
        """Whether this result keeps to it."""
        try:
            self._room.check(model.skeleton, model.matrices)
        except RoomError as error:
            if self._nearest is None or error.excess < self._nearest.excess:
                self._nearest = error
            return False
        self.last = model
        return True

    @property
    def missed(self) -> str:
        """What the nearest takes, where no result keeps to it; empty where one does."""
        return "" if self.last is not None or self._nearest is None else self._nearest.taken

    def check(self) -> None:
        """Raise RoomError where no result keeps to it."""
        if self.missed and self._nearest is not None:
            advice = "that is the smallest found: allow a larger error, or give the device more"
            raise RoomError(self.missed, self._nearest.excess, advice)
