"""Files of other frameworks where weights of torch are wanted: what they are, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hedge.errors import ModelError

HDF5 = b"\x89HDF\r\n\x1a\n"
OF_TENSORFLOW = (".index", ".meta", ".data-00000-of-00001")
TENSORFLOW = (
    "is a checkpoint of TensorFlow, which hedge does not read; export it there: "
    "python -m tf2onnx.convert --checkpoint {stem}.meta --inputs x:0 --outputs u:0 --output net.onnx"
)
SAVED_MODEL = (
    "is a SavedModel of TensorFlow, which hedge does not read; export it there: "
    "python -m tf2onnx.convert --saved-model {stem} --output net.onnx"
)
KERAS = (
    "is a file of HDF5 or Keras, which hedge does not read; export it there: "
    "keras.saving.load_model('{stem}').export('net.onnx', format='onnx')"
)
TORCHSCRIPT = (
    "is a TorchScript file, whose code hedge never loads; save its weights alone: "
    "torch.save(torch.jit.load('{stem}').state_dict(), 'weights.pt'), or the whole function with "
    "torch.onnx.export"
)
EXPORTED = (
    "is a program of torch.export; give its module to hedge.import_model in Python: "
    "torch.export.load('{stem}').module()"
)
NUMPY = (
    "is an .npz of numpy; make a state dict of its arrays: "
    "torch.save({{name: torch.tensor(array) for name, array in numpy.load('{stem}').items()}}, 'weights.pt')"
)


def check_no_foreign_file(path: Path) -> None:
    """Raise ModelError, with the way out, for what is told by its name or its first bytes."""
    if path.is_dir() and (path / "saved_model.pb").exists():
        raise _refusal(path, SAVED_MODEL)
    part = next((end for end in OF_TENSORFLOW if path.name.endswith(f".ckpt{end}")), "")
    whole = path.with_name(path.name.removesuffix(part))
    if part or (not path.exists() and whole.with_name(f"{path.name}.index").exists()):
        raise _refusal(path, TENSORFLOW, whole.name)
    if path.is_file() and _begins_with(path, HDF5):
        raise _refusal(path, KERAS)


def check_no_foreign_archive(path: Path, records: Iterable[str]) -> None:
    """The same, told by the names of the records in an archive."""
    names = [name.partition("/")[2] or name for name in records]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise _refusal(path, TORCHSCRIPT)
    if "archive_format" in names or "serialized_exported_program.json" in names:
        raise _refusal(path, EXPORTED)
    if "model.weights.h5" in names:
        raise _refusal(path, KERAS)
    if names and all(name.endswith(".npy") for name in names):
        raise _refusal(path, NUMPY)


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _refusal(path: Path, reason: str, stem: str = "") -> ModelError:
    return ModelError(f"{path}: {reason.format(stem=stem or path.name)}")
