"""Rows: in the order of a figure, on the front, as Parquet and as runs of MLflow."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hedge.errors import InputError
from hedge.sweeping import Row, best_first, front
from hedge.sweeping.mlflow_log import check_mlflow, log_cells
from hedge.sweeping.parquet import as_parquet


def rows(count: int, seed: int = 0) -> list[Row]:
    """Of two devices, with errors and costs at random, some of them measured."""
    rng = np.random.default_rng(seed)
    return [
        Row(
            {"device": f"d{i % 2}", "seed": i},
            {
                "error": float(rng.integers(1, 9)), "bytes": int(rng.integers(1, 9)),
                "predicted_s": float(rng.integers(1, 9)),
                **({"measured_s": float(rng.integers(1, 9))} if i % 2 else {}),
            },
            key=f"k{i}",
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("cost", ["latency", "bytes"])
def test_the_front_is_what_nothing_beats(cost: str) -> None:
    def figures(row: Row) -> tuple[float, float]:
        name = {
            "bytes": "bytes",
            "latency": "measured_s" if "measured_s" in row.figures else "predicted_s",
        }
        return row.figures["error"], row.figures[name[cost]]

    found = rows(60)
    kept = front(found, cost)  # type: ignore[arg-type]
    for row in found:
        others = [figures(one) for one in found if one.axes["device"] == row.axes["device"]]
        error, price = figures(row)
        beaten = any(e <= error and p <= price and (e, p) != (error, price) for e, p in others)
        twin = any(
            figures(one) == (error, price)
            for one in kept
            if one.axes["device"] == row.axes["device"]
        )
        assert beaten != twin


def test_what_failed_is_on_no_front_and_costs_count_only_where_all_have_them() -> None:
    good = Row({}, {"error": 0.2, "bytes": 5, "measured_j": 1.0, "energy_j": 9.0})
    failed = Row({}, {"error": 0.1, "bytes": 1}, failed="export: x")
    other = Row({}, {"error": 0.1, "bytes": 6, "energy_j": 3.0})
    assert front([good, failed, other], "bytes") == [good, other]
    assert front([good, failed, other], "energy") == [
        other
    ]  # measured of one only: both are predicted


def test_best_first_by_any_column_the_others_last() -> None:
    found = [
        Row({"name": "b"}, {"speedup": 2.0, "error": 0.5}),
        Row({"name": "a"}, {"speedup": 3.0, "error": 0.1}),
        Row({"name": "c"}, {}, failed="train: x"),
    ]
    for by, order in (("speedup", "abc"), ("error", "abc"), ("name", "abc")):
        assert "".join(row.axes["name"] for row in best_first(found, by)) == order
    with pytest.raises(InputError, match="by: no cell has 'eror'; take error"):
        best_first(found, "eror")


def test_parquet_has_a_row_for_each_cell() -> None:
    found = [
        Row({"tolerance": 1, "bench.batch": [1, 2]}, {"error": 0.5, "gains": True}, key="x"),
        Row({"tolerance": 0.1, "bench.batch": [1]}, {"error": 1}, key="y"),
        Row({"tolerance": 0.01, "bench.batch": [3]}, {}, failed="compress: no", key="z"),
    ]
    table = pq.read_table(BytesIO(as_parquet(found))).to_pydict()
    assert table == {
        "cell": ["x", "y", "z"],
        "tolerance": [1.0, 0.1, 0.01],
        "bench.batch": ["[1, 2]", "[1]", "[3]"],
        "error": [0.5, 1.0, None],
        "gains": [True, None, None],
        "failed": [None, None, "compress: no"],
    }


@pytest.mark.filterwarnings("ignore")  # of MLflow about itself
def test_runs_of_mlflow_are_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "store").as_uri()
    found = [*rows(3), Row({"seed": 9}, {}, failed="compress: no", key="k9")]
    assert log_cells(store, "runs", found[:2]) == 2
    assert log_cells(store, "runs", found) == 2
    assert log_cells(store, "runs", found) == 0
    client = mlflow.MlflowClient(tracking_uri=store)
    place = client.get_experiment_by_name("runs").experiment_id
    runs = {run.data.tags["hedge.cell"]: run for run in client.search_runs([place])}
    assert set(runs) == {"k0", "k1", "k2", "k9"}
    assert runs["k1"].data.params == {"device": "d1", "seed": "1"}
    assert runs["k1"].data.metrics == {key: float(v) for key, v in found[1].figures.items()}
    assert (runs["k9"].info.status, runs["k9"].data.tags["hedge.failed"]) == (
        "FAILED",
        "compress: no",
    )


def test_a_store_of_mlflow_that_refuses_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (str(tmp_path / "file"), "foo://x"):
        with pytest.raises(InputError, match=f"mlflow: {place} does not take cells"):
            log_cells(place, "runs", rows(1))
    with pytest.raises(InputError, match=r"mlflow: foo://x does not take cells"):
        check_mlflow("foo://x")
    with pytest.raises(InputError, match=r"mlflow: no URI is given"):
        check_mlflow("")
