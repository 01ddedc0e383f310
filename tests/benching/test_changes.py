"""Two results beside each other: what is refused, what is matched, what the verdict is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hedge.benching import BenchResult, changes_since, check_comparable, check_shared
from hedge.benching.result import parse_result
from hedge.errors import InputError
from tests.benching.test_result import SCHEMA_1


def result(times: dict[tuple[str, int], float], **changed: Any) -> BenchResult:
    """Measurements around the given medians, in windows of 3 with a scatter of 1 %."""
    base = parse_result(SCHEMA_1, "here")
    rng = np.random.default_rng(0)

    def measured(path: str, batch: int, median: float) -> dict[str, Any]:
        windows = median * (1.0 + 0.01 * rng.standard_normal((40, 3)))
        return {
            "path": path, "batch": batch, "median_s": float(np.median(windows)),
            "times_s": tuple(map(tuple, windows.tolist())),
        }  # fmt: skip

    models = tuple(base.models[0].model_copy(update=measured(*k, v)) for k, v in times.items())
    return base.model_copy(update={"models": models, **changed})


def test_models_are_matched_by_name_and_batch() -> None:
    before = result({("a", 1): 1e-5, ("a", 64): 1e-4, ("b", 1): 2e-5})
    now = result({("b", 1): 1e-5, ("a", 1): 2e-5, ("c", 1): 1e-5, ("a", 8): 3e-5})
    found = changes_since(before, now)
    assert [(c.path, c.batch) for c in found] == [("b", 1), ("a", 1)]
    assert [c.verdict for c in found] == ["faster", "slower"]
    for change, truth in zip(found, (2.0, 0.5), strict=True):
        assert change.interval[0] <= truth <= change.interval[1]
        assert change.interval[1] - change.interval[0] < 0.02
        assert change.speedup == pytest.approx(change.before_s / change.now_s)


def test_a_difference_that_two_runs_can_have_is_none() -> None:
    before, now = result({("a", 1): 1.00e-5}), result({("a", 1): 1.03e-5})
    (change,) = changes_since(before, now)
    assert change.interval[1] < 1.0  # sure, as far as the scatter inside the runs goes
    assert change.verdict == "the same"


def test_an_unstable_run_gives_no_verdict() -> None:
    before, now = result({("a", 1): 1e-5}), result({("a", 1): 5e-5})
    throttled = now.models[0].model_copy(update={"unstable": "throttled"})
    (change,) = changes_since(before, now.model_copy(update={"models": (throttled,)}))
    assert change.verdict == "unstable"
    assert change.unstable == "now: throttled"


def test_a_run_of_few_windows_gives_no_verdict() -> None:
    before, now = result({("a", 1): 1e-5}), result({("a", 1): 5e-5})
    short = before.models[0].model_copy(update={"times_s": before.models[0].times_s[:4]})
    (change,) = changes_since(before.model_copy(update={"models": (short,)}), now)
    assert change.verdict == "unstable"
    assert change.unstable == "before: 4 windows, of 8 at least"


def test_a_machine_that_became_slower_gives_no_verdict() -> None:
    before, now = result({("a", 1): 1e-5}, loop_s=1e-3), result({("a", 1): 5e-5}, loop_s=1.5e-3)
    (change,) = changes_since(before, now)
    assert change.verdict == "unstable"
    assert "+50%" in str(change.unstable)


def test_nothing_in_common_is_refused() -> None:
    before = result({("a", 1): 1.0, ("b", 2): 1.0})
    check_shared(before, [Path("elsewhere/a")], [1, 2], "old.json")
    with pytest.raises(InputError, match=r"old\.json: has none of these"):
        check_shared(before, [Path("a")], [2], "old.json")


def test_models_of_the_same_name_are_matched_in_their_order() -> None:
    one, two = result({("a", 1): 1e-5}), result({("a", 1): 3e-5})
    both = one.model_copy(update={"models": (*one.models, *two.models)})
    assert [c.verdict for c in changes_since(both, both)] == ["the same", "the same"]
    (change,) = changes_since(both, one)
    assert change.before_s == one.models[0].median_s


@pytest.mark.parametrize(
    ("machine", "threads", "backend", "named"),
    [
        ({"processor": "Cortex-A72"}, 2, "onnxruntime", "processor is AMD EPYC, here Cortex-A72"),
        ({"cores": 4}, 2, "onnxruntime", "cores is 2, here 4"),
        ({}, 1, "onnxruntime", "threads is 2, here 1"),
        ({}, 2, "openvino", "backend is onnxruntime, here openvino"),
    ],
)
def test_another_machine_is_refused(
    machine: dict[str, object], threads: int, backend: str, named: str
) -> None:
    before = result({("a", 1): 1.0})
    here = before.machine.model_copy(update=machine)
    with pytest.raises(InputError, match=named) as refused:
        check_comparable(before, here, threads, backend, "old.json")
    assert str(refused.value).startswith("old.json: ")
    assert "--force" in str(refused.value)


def test_what_an_older_result_does_not_tell_is_no_difference() -> None:
    before = result({("a", 1): 1.0})
    here = before.machine.model_copy(update={"governor": "ondemand", "memory_bytes": 2**30})
    check_comparable(before, here, before.threads, before.backend, "old.json")
