"""Tables: exact where time is multilinear, positive and growing in between and beyond."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge.devices import (
    Device,
    Table,
    find_profile,
    gemm_work,
    marginal_seconds,
    pass_work,
    product_work,
    read_profile,
    write_profile,
)
from hedge.devices.figures import SizedRate
from hedge.errors import ProfileError

AXES = ((1, 16, 1000), (16, 128, 1008), (1, 64, 500))


def truth(rows: np.ndarray, outputs: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Seconds of a Gemm on a machine without caches: a node, the result, the products."""
    return 3e-7 + 2e-10 * rows * outputs + 2e-11 * rows * outputs * inputs


def table(axes: tuple[tuple[int, ...], ...] = AXES, exponent: float = 1.0) -> Table:
    values = truth(*np.meshgrid(*axes, indexing="ij")) ** exponent
    return Table(axes=axes, value=tuple(values.ravel().tolist()), unit="s", source="made up")


def with_tables() -> Device:
    device = find_profile("laptop-x86")
    passes = {"Tanh": Table(axes=((1, 1000),), value=(1e-7, 1e-6), unit="s", source="made up")}
    rows = Table(
        axes=((2, 100), (1, 50)), value=(1e-7, 2e-7, 3e-7, 9e-7), unit="s", source="made up"
    )
    runtime = device.runtime.model_copy(
        update={"gemm": table(), "batched": table(), "passes": {**passes, "Concat": rows}}
    )
    return device.model_copy(update={"runtime": runtime})


sizes = st.tuples(st.integers(1, 1000), st.integers(16, 1008), st.integers(1, 500))


@given(sizes)
def test_a_table_is_exact_where_time_is_multilinear(at: tuple[int, int, int]) -> None:
    assert float(table().at(*at)) == pytest.approx(truth(*at), rel=1e-9)


@given(sizes, st.integers(0, 2), st.integers(1, 3000), st.floats(0.3, 1.5))
def test_time_is_positive_and_grows_with_every_size(
    at: tuple[int, int, int], axis: int, more: int, exponent: float
) -> None:
    """Also beyond the last size, and where time is not multilinear."""
    larger = list(at)
    larger[axis] += more
    one, other = (float(table(exponent=exponent).at(*size)) for size in (at, larger))
    assert 0.0 < one <= other * (1 + 1e-12)


def test_beyond_the_last_size_time_is_in_proportion() -> None:
    assert float(table().at(4000, 128, 64)) == pytest.approx(4 * float(table().at(1000, 128, 64)))


def test_many_sizes_at_once_cost_what_they_cost_alone() -> None:
    device, outputs, inputs = with_tables(), np.arange(1, 200)[:, None], np.arange(1, 60)[None]
    together = marginal_seconds(device, gemm_work(33, outputs, inputs))
    assert together.shape == (199, 59)
    for i, j in ((0, 0), (16, 30), (198, 58)):
        alone = marginal_seconds(device, gemm_work(33, outputs[i, 0], inputs[0, j]))
        assert together[i, j] == alone


def test_a_panel_of_outputs_costs_the_same_however_full() -> None:
    device = with_tables()
    seventeen, thirty_two, thirty_three = (
        float(marginal_seconds(device, gemm_work(10, n, 30))) for n in (17, 32, 33)
    )
    assert seventeen == thirty_two < thirty_three


def test_what_has_a_table_is_priced_by_it_and_what_has_none_by_rates() -> None:
    device, plain = with_tables(), find_profile("laptop-x86")

    def priced(op: str) -> float:
        return float(marginal_seconds(device, pass_work(op, 1, 1000)))

    assert priced("Tanh") == 1e-6
    assert priced("Sin") == float(marginal_seconds(plain, pass_work("Sin", 1, 1000)))
    split_by_rows = marginal_seconds(device, pass_work("Concat", 100, 50))
    assert float(split_by_rows) == 9e-7
    products = marginal_seconds(device, product_work(16, 128, 64, count=5))
    node = device.runtime.node.value
    assert float(products) == pytest.approx(node + 5 * truth(16, 128, 64))


def test_tables_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(write_profile(with_tables()))
    assert read_profile(path) == with_tables()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("axes = [[1, 1000]]", "axes = [[1000, 1]]", "increasing"),
        ("axes = [[1, 1000]]", "axes = [[1]]", "one time for every combination"),
        ("axes = [[1, 1000]]", "axes = [[0, 1000]]", "must be greater than 0"),
        ("axes = [[1, 1000]]", f"axes = [[1, {10**400}]]", "less than or equal to"),
        ("axes = [[1, 1000]]", "axes = [[1, 2], [1], [1]]", "1 or 2 axes, has 3"),
        ("value = [1e-07, 1e-06]", "value = [1e-07, -1e-06]", "must not be negative"),
        ("value = [1e-07, 1e-06]", "value = [1e-07, 1e308]", "not between"),
    ],
)
def test_wrong_tables_are_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = write_profile(with_tables()).decode()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ProfileError, match=r"mine\.toml.*Tanh.*") as refused:
        read_profile(path)
    assert named in str(refused.value)


@pytest.mark.parametrize("name", ["gemm", "batched"])
def test_a_table_of_products_over_too_few_sizes_is_refused(tmp_path: Path, name: str) -> None:
    flat = Table(axes=((1, 2),), value=(1e-6, 2e-6), unit="s", source="made up")
    device = with_tables()
    path = tmp_path / "mine.toml"
    path.write_bytes(
        write_profile(
            device.model_copy(update={"runtime": device.runtime.model_copy(update={name: flat})})
        )
    )
    with pytest.raises(ProfileError, match=rf"mine\.toml.*runtime\.{name}.*needs 3 axes, has 1"):
        read_profile(path)


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096))
def test_rates_by_size_lie_between_those_known(rows: int, outputs: int, inputs: int) -> None:
    pi = find_profile("raspberry-pi-5")
    sized = tuple(
        SizedRate(size=size, value=rate, unit="flop/s", source="made up")
        for size, rate in ((64, 6.6e9), (128, 30e9))
    )
    pi = pi.model_copy(update={"runtime": pi.runtime.model_copy(update={"compute_by_size": sized})})
    work = gemm_work(rows, outputs, inputs)
    seconds = float(marginal_seconds(pi, work)) - pi.runtime.node.value
    rate = work.flops / (seconds - work.bytes / pi.runtime.bandwidth.value)
    slowest, fastest = (sized.value for sized in pi.runtime.compute_by_size)
    assert slowest * (1 - 1e-6) <= rate <= fastest * (1 + 1e-6)
