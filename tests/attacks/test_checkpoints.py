"""Files of weights and of training runs that claim what they do not hold: one line each, no memory."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import hedge
from hedge import import_model
from hedge.compression import load_compressed
from hedge.errors import ModelError
from hedge.problems import find_problem
from hedge.training import (
    State,
    TrainingRun,
    initial_state,
    load_checkpoint,
    read_state_dict,
    save_checkpoint,
    train,
)
from hedge.training.checkpoint import saved_widths
from hedge.training.network import parameters_of
from tests.fuzz.checkpoints import rewritten

HONEST = {"0.weight": torch.ones(3, 2), "2.weight": torch.ones(1, 3)}


def repacked(
    path: Path,
    change: Callable[[str, bytes], bytes] = lambda name, data: data,
    compression: int = zipfile.ZIP_STORED,
    state: dict[str, Tensor] = HONEST,
) -> Path:
    """An honest .pt whose records were changed or compressed."""
    stream = io.BytesIO()
    torch.save(state, stream)
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(path, "w", compression) as after:
        for record in before.infolist():
            after.writestr(record.filename, change(record.filename, before.read(record)))
    return path


def one_line(path: Path) -> str:
    """How the import of the file is refused."""
    with pytest.raises(ModelError) as refusal:
        import_model(path)
    text = str(refusal.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_records_are_refused_before_they_are_read(method: int, tmp_path: Path) -> None:
    path = repacked(tmp_path / "w.pt", compression=method)
    assert "is compressed, " in one_line(path)


def test_what_is_only_stored_again_is_read(tmp_path: Path) -> None:
    assert read_state_dict(repacked(tmp_path / "w.pt")).keys() == HONEST.keys()


def test_records_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Twenty entries of the directory that stand for one record of the file."""
    path = repacked(tmp_path / "w.pt", state={"0.weight": torch.ones(200, 200)})
    data = path.read_bytes()
    start = int.from_bytes(data[-6:-2], "little")
    directory, end = data[start:-22], data[-22:]
    copies = 20
    count = int.from_bytes(end[8:10], "little") * copies
    end = (
        end[:8] + 2 * count.to_bytes(2, "little")
        + (copies * len(directory)).to_bytes(4, "little") + end[16:]
    )  # fmt: skip
    path.write_bytes(data[:start] + copies * directory + end)
    assert "its records claim" in one_line(path)


@pytest.mark.parametrize("cut", [0, 3, 4, 30, 400, -200, -22, -1])
def test_a_cut_torch_file_is_one_line(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(repacked(path).read_bytes()[:cut])
    assert "is not a torch file" in one_line(path)


SHARED = torch.ones(64, 64)
CLAIMS: dict[str, tuple[dict[str, Tensor], str]] = {
    "stride 0": ({"0.weight": torch.ones(1).expand(10**5, 10**5)}, "larger than its data"),
    "overlapping": ({"0.weight": torch.ones(100).as_strided((50, 50), (1, 1))}, "larger than"),
    "one storage for many": ({f"{i}.weight": SHARED.view(64, 64) for i in range(50)}, "they share"),
    "sparse": ({"0.weight": torch.eye(3).to_sparse()}, "not a dense tensor"),
    "on no device": ({"0.weight": torch.empty(10**6, 10**6, device="meta")}, "not a dense tensor"),
    "complex": ({"0.weight": torch.ones(3, 2, dtype=torch.complex64)}, "not a dense tensor"),
    "whole numbers": ({"0.weight": torch.ones(3, 2, dtype=torch.int64)}, "not a dense tensor"),
    "beyond float32": ({"0.weight": torch.full((3, 2), 1e300, dtype=torch.float64)}, "NaN or Inf"),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_tensors_that_are_more_than_their_bytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state, named = CLAIMS[kind]
    torch.save(state, path)
    assert named in one_line(path)


def test_the_older_format_is_refused_since_its_storages_need_not_be_filled(tmp_path: Path) -> None:
    """Without the list of what follows, torch gives tensors of whatever the memory held."""
    stream = io.BytesIO()
    torch.save({"0.weight": torch.ones(4, 2)}, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    path = tmp_path / "w.pt"
    for content in (data, data[: data.rindex(b"\x80\x02]")] + pickle.dumps([], protocol=2)):
        path.write_bytes(content)
        assert "torch before 1.6" in one_line(path)


OBJECTS = {
    "_codecs.decode": b"c_codecs\ndecode\nX\x02\x00\x00\x00aaX\x05\x00\x00\x00ascii\x86R",
    "builtins.bytearray": b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R",
    "os.system": b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
    # Their numbers are what the memory held.
    "torch.FloatTensor": b"ctorch\nFloatTensor\nK\x04K\x02\x86R",
    "torch.Tensor": b"ctorch\nTensor\nK\x04K\x02\x86\x81",
    "torch.cuda.HalfTensor": b"ctorch\ncuda.HalfTensor\nK\x04K\x02\x86R",
    "torch.storage.UntypedStorage": b"ctorch.storage\nUntypedStorage\nK\x20\x85R",
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_grow_out_of_a_few_bytes_are_never_made(name: str, tmp_path: Path) -> None:
    pickled = b"\x80\x02}X\x01\x00\x00\x00a" + OBJECTS[name] + b"s."
    path = repacked(
        tmp_path / "w.pt", lambda record, data: pickled if record.endswith(".pkl") else data
    )
    assert f"({name}), which hedge never loads" in one_line(path)


def test_a_codec_makes_no_more_of_a_text_than_the_file_has_room_for(tmp_path: Path) -> None:
    """numpy writes its bytes as texts to be encoded; one escaped by names would be ninety times as long."""
    text = "\u20ac" * 4_000_000
    encode = b"c_codecs\nencode\n" + b"".join(
        b"X" + len(data).to_bytes(4, "little") + data
        for data in (text.encode(), b"ascii", b"namereplace")
    )
    pickled = b"\x80\x02}X\x01\x00\x00\x00a" + encode + b"\x87Rs."
    path = repacked(
        tmp_path / "w.pt", lambda record, data: pickled if record.endswith(".pkl") else data
    )
    assert "stand for more than" in one_line(path)


def test_a_name_with_an_odd_escape_is_a_name_as_any_other(tmp_path: Path) -> None:
    path = repacked(
        tmp_path / "w.pt",
        lambda name, data: b"ccollections\nOrder\\Dict\n." if name.endswith(".pkl") else data,
    )
    assert "holds Python objects (collections.Order\\Dict)" in one_line(path)


TWICE_SIXTY_TIMES = b")" + 60 * b"q\x00h\x00\x86"
ENDLESS = {
    "a key": b"}" + TWICE_SIXTY_TIMES + b"K\x01s",
    "one of several keys": b"}(" + TWICE_SIXTY_TIMES + b"K\x01u",
    "in a set": b"}X\x01\x00\x00\x00acbuiltins\nset\n(](" + TWICE_SIXTY_TIMES + b"et" + b"Rs",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_objects_that_hold_themselves_again_and_again_are_not_hashed(
    kind: str, tmp_path: Path
) -> None:
    pickled = b"\x80\x02" + ENDLESS[kind] + b"."
    path = repacked(
        tmp_path / "w.pt", lambda record, data: pickled if record.endswith(".pkl") else data
    )
    assert "stand for more than 10,000,000 others" in one_line(path)


def test_keys_of_any_number_of_digits_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    long = "1" * 5000
    save_file(
        {
            f"net.{long}.weight": torch.ones(1, 3), "net.007.weight": torch.ones(3, 5),
            "net.10.weight": torch.ones(3, 3), "net.0.weight": torch.ones(5, 2),
        },
        tmp_path / "w.safetensors",
    )  # fmt: skip
    order = [key.split(".")[1] for key in read_state_dict(tmp_path / "w.safetensors")]
    assert order == ["0", "007", "10", long]


def test_a_number_of_5000_digits_in_a_key_of_a_pt_is_told_in_short(tmp_path: Path) -> None:
    long = "1" * 5000
    path = tmp_path / "w.pt"
    torch.save({f"net.{long}.weight": torch.ones(1, 3), f"net.{long}.x": torch.ones(3)}, path)
    assert len(one_line(path).removeprefix(str(path))) < 500
    torch.save({f"net.{long}.weight": torch.ones(1, 3)}, path)
    assert [node.op_type for node in import_model(path).graph.node] == ["Gemm"]


def test_layers_of_one_number_have_no_order(tmp_path: Path) -> None:
    save_file({"01.weight": torch.ones(2, 2), "1.weight": torch.eye(2)}, tmp_path / "w.safetensors")
    assert "isn't in a .safetensors" in one_line(tmp_path / "w.safetensors")


def safetensors_of(header: bytes | dict[str, Any], data: bytes = b"", length: int = -1) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length < 0 else length).to_bytes(8, "little") + text + data


def one_tensor(dtype: str, shape: list[Any], size: int) -> bytes:
    about = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    return safetensors_of({"0.weight": about}, b"\x01" * size)


SAFETENSORS: dict[str, bytes] = {
    "empty": b"",
    "a length beyond the file": safetensors_of(b"{}", length=2**40),
    "a length beyond int64": safetensors_of(b"{}", length=2**63),
    "deep": safetensors_of(b'{"a":' * 10**4),
    "not UTF-8": safetensors_of(b'{"\xff": 1}'),
    "a shape below zero": one_tensor("F32", [-4, 2], 32),
    "a shape that wraps round": one_tensor("F32", [2**62, 4], 32),
    "a shape of 400 digits": one_tensor("F32", [10**400, 2], 32),
    "a shape of a thousand axes": one_tensor("F32", [1] * 1000 + [8], 32),
    "no numbers": one_tensor("F32", [0, 2], 0),
    "floats of 8 bits": one_tensor("F8_E4M3", [4, 2], 8),
    "floats of 4 bits": one_tensor("F4", [4, 2], 4),
    "whole numbers": one_tensor("I64", [4, 2], 64),
    "complex": one_tensor("C64", [4, 2], 64),
}


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_safetensors_that_hold_no_weights_are_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(SAFETENSORS[kind])
    assert len(one_line(path).removeprefix(str(path))) < 300
    with pytest.raises(ModelError) as refusal:
        load_compressed(path)
    assert len(str(refusal.value).removeprefix(str(path))) < 300


# --- Checkpoints of training ------------------------------------------------------------------------

RUN = TrainingRun(find_problem("heat"), width=3, depth=2)


def altered(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> Path:
    """A checkpoint of RUN whose header or tensors were changed, with a digest that agrees."""
    save_checkpoint(path, RUN, initial_state(RUN))
    rewritten(path, change)
    return path


def whole_inverse(tensors: dict[str, Tensor]) -> Tensor:
    return torch.eye(len(tensors["network"]), dtype=torch.int64)


ALTERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
    "widths of gigabytes": lambda h, t: h.update(widths=[[10**6, 10**6]] * 2),
    "widths of no network": lambda h, t: h.update(widths=[[-3, 3]] * 2),
    "widths of 400 digits": lambda h, t: h.update(widths=[[10**400, 3]] * 2),
    "a million layers": lambda h, t: h.update(widths=[[1] * 10**6] * 2),
    "widths that are text": lambda h, t: h.update(widths=["33", "33"]),
    "another width": lambda h, t: h.update(widths=[[4, 3]] * 2),
    "one network": lambda h, t: h.update(widths=[[3, 3]]),
    "a cycle of 400 digits": lambda h, t: h["state"].update(cycle=10**400),
    "a cycle below zero": lambda h, t: h["state"].update(cycle=-1),
    "a cycle that is a truth": lambda h, t: h["state"].update(cycle=True),
    "an infinite count": lambda h, t: h["state"].update(stalls=float("inf")),
    "points doubled for ever": lambda h, t: h["state"].update(crowding=10**9),
    "no loss": lambda h, t: h["state"].update(best_loss=float("nan")),
    "seconds without end": lambda h, t: h["state"].update(seconds=float("inf")),
    "seconds of 300 digits": lambda h, t: h["state"].update(seconds=1e300),
    "a growth from an infinite error": lambda h, t: h["progress"].update(
        growths=[{"step": 1, "widths_before": [3], "widths_after": [3], "errors": [float("inf")]}]
    ),
    "another method": lambda h, t: h["state"].update(method="gradient"),
    "a state that is a list": lambda h, t: h.update(state=[]),
    "growths that are none": lambda h, t: h["progress"].update(growths=[1]),
    "fewer parameters": lambda h, t: t.update(network=t["network"][:-1].clone()),
    "more parameters": lambda h, t: t.update(best=torch.ones(10**5, dtype=torch.float64)),
    "parameters that are NaN": lambda h, t: t["best"].fill_(float("nan")),
    "parameters beyond float32": lambda h, t: t.update(best=1e300 * (t["best"] + 1.0)),
    "parameters of 16 bits": lambda h, t: t.update(network=t["network"].half()),
    "parameters of 32 bits": lambda h, t: t.update(best=t["best"].float()),
    "parameters that are whole numbers": lambda h, t: t.update(best=t["best"].long()),
    "parameters that are truths": lambda h, t: t.update(network=t["network"] > 0),
    "complex parameters": lambda h, t: t.update(network=t["network"].to(torch.complex64)),
    "a matrix of parameters": lambda h, t: t.update(network=t["network"][None].clone()),
    "weights of no points": lambda h, t: t.update(attention=torch.ones(3)),
    "an inverse of whole numbers": lambda h, t: t.update(inverse=whole_inverse(t)),
    "an inverse of others": lambda h, t: t.update(inverse=torch.eye(2)),
    "a memory of no method's": lambda h, t: t.update(memory=torch.ones(2, 1, 3).double()),
    "no network": lambda h, t: t.pop("network"),
}


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_an_altered_checkpoint_is_one_line(kind: str, tmp_path: Path) -> None:
    path = altered(tmp_path / "m.onnx.checkpoint", lambda h, t: void(ALTERATIONS[kind](h, t)))
    with pytest.raises(ModelError, match="is no checkpoint of hedge; delete it"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize(
    "sizes",
    [
        {"widths": [0, 3]},
        {"widths": ["3", "3"]},
        {"widths": [10**6, 10**6]},
        {"widths": [1] * 10**5},
        {"widths": 3},
        {"depth": 10**9},
        {"depth": 10**400},
        {"depth": 0},
        {"width": -3},
        {"width": None},
    ],
)
def test_sizes_of_no_run_are_one_line(sizes: dict[str, Any], tmp_path: Path) -> None:
    path = altered(tmp_path / "m.onnx.checkpoint", lambda h, t: h["run"].update(sizes))
    with pytest.raises(ModelError, match="is no checkpoint of hedge; delete it"):
        saved_widths(path)


MEMORIES: dict[str, Callable[[Tensor], Tensor]] = {
    "of too many steps": lambda m: m.repeat(1, 60, 1),
    "of no step": lambda m: m[:, :0].clone(),
    "of other parameters": lambda m: m[..., 1:].clone(),
    "uphill": lambda m: torch.stack([m[0], -m[1]]),
    "of no size": lambda m: 0.0 * m,
    "of 32 bits": lambda m: m.float(),
    "of complex numbers": lambda m: m.to(torch.complex64),
    "not finite": lambda m: m / 0.0,
    "a matrix": lambda m: m[0],
}


@pytest.mark.parametrize("kind", MEMORIES)
def test_an_altered_memory_is_one_line(kind: str, tmp_path: Path) -> None:
    run, path = replace(RUN, method="lbfgs"), tmp_path / "c"
    states: list[State] = []
    train(run, max_steps=2, on_cycle=lambda state, record: states.append(state))
    save_checkpoint(path, run, states[0])
    assert load_checkpoint(path, run).descent.memory is not None
    rewritten(path, lambda h, t: t.update(memory=MEMORIES[kind](t["memory"])))
    with pytest.raises(ModelError, match="is no checkpoint of hedge; delete it"):
        load_checkpoint(path, run)


def void(result: object) -> None:
    """What an alteration returns means nothing."""


def test_an_unaltered_checkpoint_is_read(tmp_path: Path) -> None:
    path = altered(tmp_path / "m.onnx.checkpoint", lambda h, t: None)
    found = load_checkpoint(path, RUN)
    assert torch.equal(parameters_of(found.best), parameters_of(initial_state(RUN).best))


def test_an_inverse_that_overflows_makes_no_steps_and_no_warnings(tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    altered(
        tmp_path / "m.onnx.checkpoint",
        lambda h, t: t.update(inverse=1e300 * whole_inverse(t).double()),
    )
    hedge.train("heat", out, width=3, depth=2, max_steps=5, resume=True)
    assert out.exists()


@pytest.mark.parametrize("depth", [10**5, 4000])
def test_a_header_nested_too_deep_is_one_line(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx.checkpoint"
    save_file({"network": torch.ones(3)}, path, {"hedge": "[" * depth, "sha256": ""})
    with pytest.raises(ModelError, match="is no checkpoint of hedge"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize(
    "other", [{"width": 4}, {"depth": 1}, {"precision": "float32"}, {"method": "lbfgs"}]
)
def test_a_checkpoint_of_another_run_says_what_differs(
    other: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx.checkpoint"
    run = replace(RUN, **other)
    save_checkpoint(path, run, initial_state(run))
    ((key, value),) = other.items()
    with pytest.raises(ModelError, match=f"is of another run, with {key} {value}; use that again"):
        load_checkpoint(path, RUN)


def test_a_checkpoint_of_another_problem_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx.checkpoint"
    run = replace(RUN, problem=find_problem("poisson"))
    save_checkpoint(path, run, initial_state(run))
    with pytest.raises(ModelError, match="with problem poisson"):
        load_checkpoint(path, RUN)
