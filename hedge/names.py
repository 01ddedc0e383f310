"""Names of files: as text, where systems take any bytes and documents Unicode; those beside a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

# Python keeps bytes of a name that are not UTF-8 as surrogates, which no encoder takes.
SURROGATES = re.compile("[\ud800-\udfff]")


def as_text(name: str) -> str:
    r"""The name with a question mark for every byte that is not UTF-8.

    >>> as_text("a\udcff.onnx")
    'a?.onnx'
    """
    return SURROGATES.sub("?", name)


def checkpoint_of(model: Path) -> Path:
    """Where the checkpoint of a model that is being trained lies.

    >>> checkpoint_of(Path("runs/heat.onnx")).name
    'heat.onnx.checkpoint'
    """
    return model.parent / f"{model.name}.checkpoint"


def certificate_of(model: Path) -> Path:
    """Where what is proved of a model is looked for.

    >>> certificate_of(Path("models/heat-64x3.onnx")).name
    'heat-64x3.certificate.json'
    """
    return model.with_suffix(".certificate.json")


def _text_if_any(value: Any) -> Any:
    return as_text(value) if isinstance(value, str) else value


# A field of a document that may hold the name of a file.
Name = Annotated[str, BeforeValidator(_text_if_any)]
