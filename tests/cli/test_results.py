"""``hedge compress --out``: the file's name says what is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.devices import write_profile
from hedge.devices.figures import Bytes
from hedge.devices.profile import Memory
from hedge.errors import InputError, RoomError
from hedge.exporting import plan_of
from hedge.exporting.c99.export import CALL_BYTES
from hedge.formats import Exported
from hedge.graph import load_model, run_float32
from tests.cli.conftest import Refuses, Run
from tests.conftest import random_mlp
from tests.devices.c_profile import c_device
from tests.exporting.c_compiler import needs_gcc
from tests.recovery.cases import cut_gently

ASKED = [
    "--device",
    "laptop-x86",
    "--domain",
    "-1:1,-1:1",
    "--tolerance",
    "1e-2",
    "--objective",
    "size",
]
DENSE = random_mlp([2, 24, 24, 1], seed=1)


def test_an_onnx_file_is_what_export_writes(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    for out in ("small.onnx", "small.hedge.safetensors"):
        assert run("compress", "model.onnx", *ASKED, "--no-recover", "--out", out).code == 0
    assert run("export", "small.hedge.safetensors", "--out", "exported.onnx").code == 0
    one, other = (load_model(tmp_path / name) for name in ("small.onnx", "exported.onnx"))
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    np.testing.assert_array_equal(run_float32(one, x), run_float32(other, x))
    error = run_float32(one, x) - run_float32(DENSE, x)
    assert np.linalg.norm(error) <= 1e-2 * np.linalg.norm(run_float32(DENSE, x))
    assert run("inspect", "small.onnx").code == 0


@needs_gcc
def test_a_c_file_comes_with_its_header(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    assert run("compress", "model.onnx", *ASKED, "--no-recover", "--out", "small.c").code == 0
    assert '#include "small.h"' in (tmp_path / "small.c").read_text()
    assert (
        run(
            "compress", "model.onnx", *ASKED, "--no-recover", "--out", "small.hedge.safetensors"
        ).code
        == 0
    )
    assert (
        run(
            "export", "small.hedge.safetensors", "--format", "c", "--out", "small.c", "--force"
        ).code
        == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.onnx", "small.c", "small.h", "small.hedge.safetensors"
    ]  # fmt: skip


def test_what_c_takes_is_told_and_kept_or_refused(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    words = ["compress", "model.onnx", *ASKED, "--no-recover", "--force", "--out", "small.c"]
    lines = run(*words).out.splitlines()
    told = lines[-1]
    assert lines[-2].startswith("made with "), "commands that read the file are for other kinds"
    assert told.startswith("small.c, small.h: ")
    free = run(*words, "--json").document()["exported"]
    row, batch = free["stack_bytes"], free["batch_stack_bytes"]
    assert told.endswith(f"stack {row} bytes a row, {batch} for a batch")
    asked = str(row + CALL_BYTES)
    assert run(*words, "--ram", asked, "--json").document()["exported"]["batch_stack_bytes"] == row
    for option, limit in (("--ram", CALL_BYTES + 1), ("--flash", 100)):
        for name in ("small.c", "small.onnx", "small.hedge.safetensors"):
            before = (tmp_path / "small.c").read_bytes()
            refused = run(*words[:-1], name, option, str(limit))
            assert refused.code == 1
            line = refused.err.splitlines()[-1]
            assert re.match(
                rf"hedge: {option[2:]}: .* \d+ more than {limit}; that is the smallest", line
            )
            assert (tmp_path / "small.c").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "small.c", "small.h"]


def test_an_export_keeps_to_what_compress_was_given(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    """Where it is given nothing else, from a compressed file and from ONNX."""
    saved(DENSE)
    asked = {"device": "laptop-x86", "domain": "-1:1,-1:1", "tolerance": 1e-2, "recover": None}
    found = hedge.compress(tmp_path / "model.onnx", **asked)
    free = hedge.export_c(found, tmp_path / "free.c")
    flash, ram = free.flash_bytes, free.stack_bytes + CALL_BYTES
    assert free.batch_stack_bytes > free.stack_bytes
    kept, text = tmp_path / "kept.hedge.safetensors", ["--format", "c", "--json"]
    hedge.compress(tmp_path / "model.onnx", out=kept, flash=flash, ram=ram, **asked)
    hedge.export(kept, tmp_path / "kept.onnx")
    for i, file in enumerate(("kept.hedge.safetensors", "kept.onnx")):
        row = run("export", file, *text, "--out", f"row{i}.c").document()
        assert row["batch_stack_bytes"] == free.stack_bytes
        tile = run("export", file, *text, "--out", f"tile{i}.c", "--ram", "99999").document()
        assert tile["batch_stack_bytes"] == free.batch_stack_bytes
        slope = ["--out", "u.c", "--outputs", "u,u_x", "--inputs", "x,y"]
        refused = run("export", file, *text, *slope)
        assert re.match(f"hedge: ram: .* more than {ram};", refused.err), refused.err
    tight = replace(found, plan=found.plan.model_copy(update={"flash": flash - 1}))
    with pytest.raises(RoomError, match=f"flash: .* 1 more than {flash - 1}"):
        hedge.export_c(tight, tmp_path / "u.c")


def test_c_that_was_chosen_for_another_runtime_says_so(
    run: Run, saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    (tmp_path / "board.toml").write_bytes(write_profile(c_device(1)))
    words = [
        "compress",
        "model.onnx",
        "--domain",
        "-1:1,-1:1",
        "--tolerance",
        "1e-2",
        "--no-recover",
    ]
    for device, told in (("laptop-x86", True), ("board.toml", False)):
        found = run(*words, "--device", device, "--out", "small.c", "--force")
        assert found.code == 0
        assert ("chosen for onnxruntime on laptop-x86; a profile of C" in found.err) is told
    onnx = run(*words, "--device", "laptop-x86", "--out", "small.onnx")
    assert "chosen for" not in onnx.err


def test_where_the_fastest_takes_too_much_the_smallest_is_taken(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    written: list[Exported] = []
    asked = {
        "domain": "-1:1,-1:1",
        "tolerance": 1e-2,
        "recover": None,
        "on_written": written.append,
    }
    model, board = tmp_path / "model.onnx", c_device(1)
    fastest = hedge.compress(model, device=board, out=tmp_path / "a.c", **asked)
    smallest = hedge.compress(model, device=board, objective="size", out=tmp_path / "b.c", **asked)
    much, little = (one.document["flash_bytes"] for one in written)
    assert little < much
    for limit, matrices in ((much, fastest.plan.sites), (much - 1, smallest.plan.sites)):
        flash = Bytes(value=limit, unit="byte", source="a test's")
        roomy = board.model_copy(update={"memory": Memory(flash=flash)})
        found = hedge.compress(
            model, device=roomy, out=tmp_path / f"{limit}.hedge.safetensors", **asked
        )
        assert [s.parameters for s in found.plan.sites] == [s.parameters for s in matrices]
        assert hedge.load(tmp_path / f"{limit}.hedge.safetensors").plan == found.plan
        hedge.export_c(found, tmp_path / f"f{limit}.c")
    with pytest.raises(RoomError, match=r"flash: .* 1 more than"):
        hedge.export_c(found, tmp_path / "c.c", flash=written[1].document["flash_bytes"] - 1)
    tight = Bytes(value=little - 1, unit="byte", source="a test's")
    small = board.model_copy(update={"memory": Memory(flash=tight)})
    with pytest.raises(RoomError, match=r"1 more than .*smallest found"):
        hedge.compress(model, device=small, **asked)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"flash": 0}, "flash"),
        ({"flash": -1}, "flash"),
        ({"ram": 511}, "ram"),
        ({"flash": 2**53 + 1}, "flash"),
        ({"ram": 2**53 + 1}, "ram"),
    ],
)
def test_limits_that_nothing_keeps_to_are_refused_at_once(
    tmp_path: Path, limits: dict[str, int], told: str
) -> None:
    """Before the model is read."""
    with pytest.raises(InputError, match=f"^{told}: must be at (least|most)"):
        hedge.compress(tmp_path / "none.onnx", device="auto", tolerance=1e-2, **limits)
    with pytest.raises(InputError, match=f"^{told}: must be at (least|most)"):
        hedge.export_c(tmp_path / "none.onnx", tmp_path / "none.c", **limits)


def test_a_result_that_fits_is_written_whatever_came_before(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without recovery too much is left: that is not written, and what recovery leaves is."""
    saved(DENSE)
    cut_gently(monkeypatch)
    written: list[Exported] = []
    asked = {"device": "laptop-x86", "domain": "-1:1,-1:1", "tolerance": 1e-2, "objective": "size"}
    cut = hedge.compress(tmp_path / "model.onnx", recover=None, out=tmp_path / "cut.c",
                         on_written=written.append, **asked)  # fmt: skip
    most = written[0].document["flash_bytes"] - 1
    small = hedge.compress(
        tmp_path / "model.onnx", out=tmp_path / "small.c", steps=300, flash=most, **asked
    )
    assert small.plan.parameters < cut.plan.parameters
    assert f"--flash {most}" in (small.plan.command or "")
    assert (tmp_path / "small.c").is_file()


def test_every_better_result_is_in_the_file(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found without recovery first, so that Ctrl-C at any moment after leaves a file."""
    saved(DENSE)
    cut_gently(monkeypatch)
    sizes: list[int] = []

    def look(text: str) -> None:
        if text.startswith("cut to"):
            sizes.append(len((tmp_path / "small.onnx").read_bytes()))
        if len(sizes) == 2:
            raise KeyboardInterrupt

    asked = {"device": "laptop-x86", "domain": "-1:1,-1:1", "tolerance": 1e-2, "objective": "size"}
    found = hedge.compress(
        tmp_path / "model.onnx", **asked, out=tmp_path / "small.onnx", steps=400, on_progress=look
    )  # type: ignore[arg-type]
    assert len(sizes) == 2
    assert sizes[1] < sizes[0]
    plan = plan_of(load_model(tmp_path / "small.onnx"))
    assert plan is not None
    assert plan.parameters == found.plan.parameters
    assert plan.recovery.endswith("interrupted")


REFUSED = {
    "a header": (["--out", "small.h"], ("small.h", ".c")),
    "going on from an export": (["--out", "small.onnx", "--resume"], ("resume", "small.onnx")),
    "over the model": (["--out", "model.onnx", "--force"], ("model.onnx",)),
    "an .onnx in capitals": (["--out", "small.ONNX"], ("small.ONNX", ".onnx")),
    "a .c in capitals": (["--out", "small.C"], ("small.C", ".c")),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(refuses: Refuses, saved: Callable[..., Path], kind: str) -> None:
    saved(DENSE)
    argv, named = REFUSED[kind]
    refuses("compress", "model.onnx", *ASKED, *argv, named=named)


def test_a_header_that_is_there_is_not_written_over(
    refuses: Refuses, saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    (tmp_path / "small.h").write_text("mine")
    refuses("compress", "model.onnx", *ASKED, "--out", "small.c", named=("small.h", "--force"))


def test_a_name_that_c_does_not_take_is_refused_before_the_work(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    saved(DENSE)
    told: list[str] = []
    with pytest.raises(InputError, match=r"'my-net' is no C identifier"):
        hedge.compress(
            tmp_path / "model.onnx", device="laptop-x86", domain="-1:1,-1:1",
            out=tmp_path / "my-net.c", on_progress=told.append,
        )  # fmt: skip
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
