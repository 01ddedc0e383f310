"""Recovery from file to file: Ctrl-C keeps the best, a later run goes on from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.api import results
from hedge.compression import CompressedModel, save_compressed
from hedge.errors import HedgeError, InputError, ModelError
from hedge.graph import load_model, run_float32, with_bias
from tests.architectures import worst_error
from tests.conftest import random_mlp
from tests.recovery.cases import check_rungs, cut_gently

TOLERANCE = 1e-3


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    path = tmp_path / "dense.onnx"
    path.write_bytes(random_mlp([2, 24, 24, 1], seed=1).SerializeToString())
    return path


def recover(dense: Path, **options: object) -> CompressedModel:
    options = {
        "tolerance": TOLERANCE, "objective": "size", "domain": "-1:1,-1:1", "device": "laptop-x86",
        "recover": "outputs", "steps": 250, "out": dense.with_suffix(".safetensors"), **options,
    }  # fmt: skip
    return hedge.compress(dense, **options)  # type: ignore[arg-type]


def ctrl_c_at(message: str, times: int = 1) -> Callable[[str], None]:
    """Progress that is interrupted when a message that starts so comes for the ``times``-th time."""
    left = times

    def on_progress(said: str) -> None:
        nonlocal left
        left -= said.startswith(message)
        if left == 0:
            raise KeyboardInterrupt

    return on_progress


def same_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_ctrl_c_keeps_the_best_and_resume_goes_on(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_gently(monkeypatch)
    out = dense.with_suffix(".safetensors")
    first = recover(dense, on_progress=ctrl_c_at("cut to", times=2))
    assert first.plan.recovery == "1 cut(s) recovered; interrupted"
    assert hedge.load(out).plan == first.plan
    assert worst_error(hedge.load(out).to_onnx(), load_model(dense)) <= TOLERANCE
    assert same_files(dense.parent) == ["dense.onnx", "dense.safetensors"]
    second = recover(dense, resume=True)
    assert second.plan.rungs[0] == first.plan.rungs[0]
    assert second.plan.bytes <= first.plan.bytes
    assert "interrupted" not in second.plan.recovery
    assert hedge.load(out).plan == second.plan
    assert worst_error(hedge.load(out).to_onnx(), load_model(dense)) <= TOLERANCE
    check_rungs(second, TOLERANCE)
    third = recover(dense, resume=True, budget_s=1e-9)
    assert third.plan.rungs == second.plan.rungs
    assert third.plan.bytes == second.plan.bytes


@pytest.mark.parametrize("moment", ["cut to", "fitting outputs"])
def test_ctrl_c_before_anything_is_recovered_keeps_what_compression_found(
    dense: Path, moment: str
) -> None:
    small = recover(dense, on_progress=ctrl_c_at(moment))
    assert small.plan.recovery == "nothing cheaper found; interrupted"
    assert small.plan.parameters < small.plan.dense_parameters
    assert hedge.load(dense.with_suffix(".safetensors")).plan == small.plan


def test_ctrl_c_while_a_file_is_written_leaves_the_one_before(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    as_bytes = results.as_bytes

    def interrupted(model: CompressedModel) -> bytes:
        written.append(model.plan.parameters)
        if len(written) == 2:
            raise KeyboardInterrupt
        return as_bytes(model)

    monkeypatch.setattr(results, "as_bytes", interrupted)
    cut_gently(monkeypatch)
    small = recover(dense)
    assert small.plan.parameters < written[0]
    assert small.plan.recovery.endswith("interrupted")
    assert hedge.load(dense.with_suffix(".safetensors")).plan == small.plan


def test_ctrl_c_before_compression_is_done_leaves_no_file(dense: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        recover(dense, on_progress=ctrl_c_at("searching"))
    assert same_files(dense.parent) == ["dense.onnx"]


def test_a_result_of_another_method_is_gone_on_from(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sites are factors, which are made dense to be cut."""
    factorized = recover(dense, recover=None, method="activation-svd", tolerance=0.1)
    assert any(len(matrix.factors) > 1 for matrix in factorized.matrices.values())
    cut_gently(monkeypatch)
    small = recover(dense, resume=True, tolerance=0.1)
    assert small.plan.rungs
    assert small.plan.bytes < factorized.plan.bytes
    assert worst_error(small.to_onnx(), load_model(dense)) <= 0.1


def test_a_result_that_gains_nothing_now_is_not_gone_on_from(dense: Path) -> None:
    """The paper's method counts another energy, and makes files larger."""
    partitioned = recover(dense, recover=None, method="paper", tolerance=0.1)
    assert all(site.structure.tree for site in partitioned.plan.sites)
    with pytest.raises(InputError, match=r"gains nothing over dense\.onnx"):
        recover(dense, resume=True, tolerance=0.1)


def test_the_torch_of_an_earlier_run_stays_in_the_plan(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which made some of the cuts, whether there is one now or not."""
    cut_gently(monkeypatch)
    first = recover(dense, steps=100)
    assert "torch" not in first.plan.versions
    plan = first.plan.model_copy(update={"versions": {**first.plan.versions, "torch": "0.1"}})
    save_compressed(replace(first, plan=plan), dense.with_suffix(".safetensors"), force=True)
    second = recover(dense, resume=True, tolerance=3e-3)
    assert len(second.plan.rungs) > len(first.plan.rungs)
    assert second.plan.versions == plan.versions


def test_a_few_hundred_samples_are_enough(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie on a line, along which the small network is as good on points between them."""
    t = np.random.default_rng(0).uniform(-1, 1, (300, 1))
    samples = dense.with_name("samples.npy")
    np.save(samples, np.hstack([t, t**2]))
    cut_gently(monkeypatch, 3e-2)
    small = recover(dense, samples=samples, domain=None, tolerance=1e-2)
    assert small.plan.rungs
    between = np.linspace(-1, 1, 1001)[:, None]
    x = np.hstack([between, between**2])
    expected = run_float32(load_model(dense), x)
    missed = run_float32(small.to_onnx(), x) - expected
    assert np.linalg.norm(missed) <= 1e-2 * np.linalg.norm(expected)


def test_steps_and_a_seed_give_the_same_file_however_slow_the_machine_is(
    dense: Path, monkeypatch: pytest.MonkeyPatch, hurry: Callable[[], None]
) -> None:
    cut_gently(monkeypatch)
    out = dense.with_suffix(".safetensors")
    first = recover(dense, steps=150)
    assert first.plan.rungs
    assert sum(rung.steps or 0 for rung in first.plan.rungs) <= 150
    assert "--steps 150" in first.plan.command
    written = out.read_bytes()
    hurry()
    recover(dense, steps=150, force=True)
    assert out.read_bytes() == written
    recover(dense, steps=150, force=True, seed=1)
    assert out.read_bytes() != written


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def of_another_model(path: Path) -> None:
    other = path.with_name("other.onnx")
    other.write_bytes(random_mlp([2, 16, 1], seed=2).SerializeToString())
    recover(other, recover=None, out=path, force=True)


def too_inaccurate(path: Path) -> None:
    recover(path.with_suffix(".onnx"), recover=None, tolerance=0.1, out=path, force=True)


@pytest.mark.parametrize(
    ("spoil", "error", "reason"),
    [
        (Path.unlink, InputError, "there is no such file"),
        (damaged, ModelError, "cut short"),
        (of_another_model, InputError, "was not made from dense.onnx"),
        (too_inaccurate, InputError, "does not keep the tolerance 0.001"),
    ],
    ids=["missing", "damaged", "another model", "another tolerance"],
)
def test_no_file_to_resume(
    dense: Path, spoil: Callable[[Path], None], error: type[HedgeError], reason: str
) -> None:
    out = dense.with_suffix(".safetensors")
    recover(dense, recover=None)
    spoil(out)
    before = out.read_bytes() if out.exists() else None
    with pytest.raises(error, match=f"dense.safetensors: .*{reason}"):
        recover(dense, resume=True)
    assert before == (out.read_bytes() if out.exists() else None)


def test_resume_needs_a_file_and_recovery(dense: Path) -> None:
    for missing in ({"out": None}, {"recover": None}):
        with pytest.raises(InputError, match="resume: needs recover, and out"):
            recover(dense, resume=True, **missing)


def test_what_is_not_known_is_not_recovered_to(dense: Path) -> None:
    with pytest.raises(
        InputError, match="recover: 'output' is not known; take one of auto, outputs"
    ):
        recover(dense, recover="output")
    assert not dense.with_suffix(".safetensors").exists()


def test_what_was_certified_stays_so_where_a_second_test_fails_by_chance(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_gently(monkeypatch)
    earlier = recover(dense)
    out = dense.with_suffix(".safetensors")
    monkeypatch.setattr("hedge.recovery.files.certified", lambda *_: None)
    again = recover(dense, resume=True, steps=1)
    assert again.plan.parameters <= earlier.plan.parameters
    assert again.plan.attempts > earlier.plan.attempts
    # Not for another tolerance, and not where the file does not hold what its plan says.
    with pytest.raises(InputError, match=r"does not keep the tolerance 0\.0009"):
        recover(dense, resume=True, tolerance=9e-4)
    shifted = {
        name: with_bias(matrix, matrix.bias + 1.0) for name, matrix in earlier.matrices.items()
    }
    save_compressed(replace(earlier, matrices=shifted), out, force=True)
    with pytest.raises(InputError, match=r"has an error of .* and does not keep the tolerance"):
        recover(dense, resume=True)
