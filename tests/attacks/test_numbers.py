"""Plans, bench results, comparisons and profiles whose numbers, lists and sizes are beyond reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

import hedge
from hedge.benching.result import parse_result, read_result
from hedge.cli.bench_table import print_bench
from hedge.cli.plan_table import inspect_file, print_plan
from hedge.compression import CompressedModel, Request, read_plan
from hedge.devices import find_profile, read_profile, write_profile
from hedge.documents import parse_json, read_text
from hedge.errors import HedgeError, InputError, ModelError, ProfileError
from hedge.graph.structures.lowering import lowered
from hedge.graph.structures.partition import LeafMatrix
from hedge.hmatrix import Leaf
from hedge.hmatrix.leaf import tiles
from tests.conftest import random_mlp
from tests.fuzz.altering import NUMBERS, OTHERS, spots, with_value
from tests.reporting.conftest import bench_document, comparison


def works_or_is_one_line(run: Callable[[Any], object], document: Any) -> None:
    """Every key with every hostile value: an error of hedge's in one line of a sensible length."""
    said = []
    for spot in spots(document):
        for value in (*NUMBERS, *OTHERS):
            try:
                run(with_value(document, spot, value))
            except HedgeError as error:
                said.append(str(error))
    assert said
    assert not [text for text in said if "\n" in text or len(text) > 500]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompressedModel, ModelProto]:
    """A compressed model, and what is exported from it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.onnx").write_bytes(random_mlp([2, 8, 8, 1]).SerializeToString())
    compressed = hedge.compress(
        folder / "m.onnx",
        device="paper-example",
        domain="0:1,0:1",
        tolerance=0.5,
        objective="size",
        recover=None,
    )
    return compressed, hedge.export(compressed, folder / "e.onnx")


def plan_of(made: tuple[CompressedModel, ModelProto]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(made[0].plan.model_dump_json())
    document.pop("device_profile")
    return document


def test_any_value_in_a_plan(
    made: tuple[CompressedModel, ModelProto], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(document: Any) -> None:
        print_plan("m", read_plan(json.dumps(document)))
        capsys.readouterr()

    works_or_is_one_line(run, plan_of(made))


def test_any_value_in_a_bench_result(capsys: pytest.CaptureFixture[str]) -> None:
    def run(document: Any) -> None:
        print_bench(parse_result(document, "a host"))
        capsys.readouterr()

    works_or_is_one_line(run, bench_document(["a.onnx"]))


def in_file(made: tuple[CompressedModel, ModelProto], folder: Path, plan: str) -> Path:
    """The exported model with another plan in its metadata."""
    model = ModelProto()
    model.CopyFrom(made[1])
    for entry in model.metadata_props:
        if entry.key == "hedge.plan":
            entry.value = plan
    path = folder / "e.onnx"
    path.write_bytes(model.SerializeToString())
    return path


SITES: dict[str, tuple[dict[str, Any], str]] = {
    "leaves beyond its sides": ({"leaves": 10**9, "rank": 1}, "more than its rows or columns"),
    "leaves of no rank": ({"leaves": 2, "rank": None}, "need a rank"),
    "leaves of rank 0": ({"leaves": 2, "rank": 0}, "greater than or equal to 1"),
    "leaves and a tree": ({"leaves": 2, "rank": 1, "tree": []}, "no tree beside"),
    "parameters of 400 digits": ({"parameters": 10**400}, "less than or equal to"),
    "a side of 400 digits": ({"outputs": 10**400}, "less than or equal to"),
    "a negative side": ({"inputs": -8}, "greater than or equal to 0"),
    "a tree of nothing": ({"rank": None, "tree": []}, "don't tile"),
    "a tree beyond its sides": ({"rank": None, "tree": [[0, 10**9, 0, 2, None]]}, "don't tile"),
    "a tree twice": ({"rank": None, "tree": [[0, 8, 0, 2, None]] * 2}, "don't tile"),
    "a tree of a rank beyond all": (
        {"rank": None, "tree": [[0, 8, 0, 2, 10**400]]},
        "less than or equal to",
    ),
    "a leaf of 400 digits": (
        {"rank": None, "tree": [[0, 8, 0, 10**400, None]]},
        "less than or equal to",
    ),
    "leaves of 400 digits": ({"leaves": 10**400, "rank": 1}, "less than or equal to"),
    "a leaf turned round": ({"rank": None, "tree": [[8, 0, 2, 0, None]]}, "don't tile"),
}


@pytest.mark.parametrize("kind", SITES)
def test_structures_that_do_not_fit_their_sides(
    kind: str, made: tuple[CompressedModel, ModelProto], tmp_path: Path
) -> None:
    changed, named = SITES[kind]
    plan = plan_of(made)
    plan["sites"][0].update(outputs=8, inputs=2, leaves=None, tree=None)
    plan["sites"][0].update(changed)
    path = in_file(made, tmp_path, json.dumps(plan))
    with pytest.raises(ModelError, match=named):
        inspect_file(path)
    with pytest.raises(ModelError, match=named):
        hedge.report([path], tmp_path / "r.html")


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ("[" * 10**5, "nested too deep"),
        ('{"sites": ' * 5000 + "1" + "}" * 5000, "nested too deep"),
        ('{"batch": 1, "batch": 2}', "'batch' stands more than once"),
        ('{"batch": ' + "1" * 5000 + "}", "no JSON"),
        (json.dumps({f"key{i}": 0 for i in range(5000)}), "of its keys and values are wrong"),
        (json.dumps({"x" * 10**5: 0, "method": "svd"}), "damaged"),
    ],
    ids=["deep lists", "deep keys", "a key twice", "5,000 digits", "5,000 keys", "a long key"],
)
def test_plans_that_are_no_plans(
    plan: str, named: str, made: tuple[CompressedModel, ModelProto], tmp_path: Path
) -> None:
    path = in_file(made, tmp_path, plan)
    for read in (inspect_file, lambda path: hedge.report([path], tmp_path / "r.html")):
        with pytest.raises(ModelError, match=named) as refusal:
            read(path)
        assert len(str(refusal.value)) < 1000


# --- Leaves -----------------------------------------------------------------------------------------


def random_tiling(rng: np.random.Generator, rows: int, columns: int) -> list[tuple[int, ...]]:
    """Rectangles that come of cuts here and there."""
    found, open_ = [], [(0, rows, 0, columns)]
    while open_:
        top, bottom, start, stop = open_.pop()
        if bottom - top > 1 and rng.random() < 0.5:
            cut = int(rng.integers(top + 1, bottom))
            open_ += [(top, cut, start, stop), (cut, bottom, start, stop)]
        elif stop - start > 1 and rng.random() < 0.7:
            cut = int(rng.integers(start + 1, stop))
            open_ += [(top, bottom, start, cut), (top, bottom, cut, stop)]
        else:
            found.append((top, bottom, start, stop))
    rng.shuffle(found)
    return [tuple(place) for place in found]


@pytest.mark.parametrize("seed", range(40))
def test_tiles_agrees_with_a_count_of_every_entry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (int(n) for n in rng.integers(1, 9, 2))
    places: list[Any] = random_tiling(rng, rows, columns)
    assert tiles(places, rows, columns)
    top, bottom, start, stop = places[0]
    for moved in ((1, 1, 0, 0), (0, 1, 0, 0), (0, 0, -1, 0), (0, 0, 1, 1), (-1, 0, 0, 1)):
        other = (top + moved[0], bottom + moved[1], start + moved[2], stop + moved[3])
        count = np.zeros((rows + 2, columns + 2), dtype=int)
        for a, b, c, d in (other, *places[1:]):
            count[a + 1 : b + 1, c + 1 : d + 1] += 1
        once = np.zeros_like(count)
        once[1:-1, 1:-1] = 1
        whole = bool((count == once).all())
        assert tiles([other, *places[1:]], rows, columns) == whole


def test_a_matrix_of_single_entries_is_lowered_strip_by_strip() -> None:
    """One Gemm a strip, whatever the number of leaves."""
    side = 64
    weight = np.random.default_rng(0).standard_normal((side, side))
    leaves = tuple(
        Leaf(i, i + 1, j, j + 1, (weight[i : i + 1, j : j + 1],))
        for i in range(side)
        for j in range(side)
    )
    assert tiles([(leaf.top, leaf.bottom, leaf.start, leaf.stop) for leaf in leaves], side, side)
    nodes = lowered("s", LeafMatrix(leaves, np.zeros(side), side), "x", "z").nodes
    assert sum(node.op_type == "Gemm" for node in nodes) == side


# --- Files ------------------------------------------------------------------------------------------

TEXTS: dict[str, tuple[bytes, str]] = {
    "UTF-16": ('{"hedge_bench": 2}'.encode("utf-16"), "not JSON"),
    "Latin-1": ('{"device": "\xe9"}'.encode("latin-1"), "not JSON"),
    "deep": (b"[" * 10**6, "nested too deep"),
    "a key twice": (b'{"hedge_bench": 1, "hedge_bench": 2}', "'hedge_bench' stands more than once"),
    "5,000 digits": (b'{"hedge_bench": ' + b"1" * 5000 + b"}", "not JSON"),
    "empty": (b"", "not JSON"),
    "zeros": (bytes(1000), "not JSON"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_json_files_that_are_none(kind: str, tmp_path: Path) -> None:
    data, named = TEXTS[kind]
    path = tmp_path / "r.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=named):
        read_result(path)
    with pytest.raises(InputError, match=named):
        hedge.report([path], tmp_path / "r.html")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(bench_document(["a.onnx"])).encode())
    assert read_result(path).models[0].path == "a.onnx"


def test_a_file_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # no block of the disk is used
    with pytest.raises(InputError, match=rf"has {2**40} bytes; such a file has at most {2**26}"):
        read_result(path)
    with pytest.raises(InputError, match="at most 3"):
        read_text(path, 3)


def test_a_profile_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ProfileError, match=f"at most {2**20}"):
        read_profile(path)


@pytest.mark.parametrize(
    "key",
    [
        f"a{'.a' * 10**5} = 1",
        f"[{'b.' * 10**5}b]",
        "'a' . " * 10**5,
        '"a b".' * 10**5,
        "'=\"' . " * 10**5,
        r'"\"\u0041".' * 50_000,
        "b = { " + "c.\t" * 10**5,
    ],
)
def test_a_toml_key_of_many_parts_is_not_parsed(key: str, tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text(key)
    with pytest.raises(ProfileError, match="too many parts"):
        read_profile(path)


PROFILE = write_profile(find_profile("raspberry-pi-4b")).decode()
LONG = {
    "a word": "x" * 10**6, "quotes": '\\"' * 500_000, "dots": "a." * 500_000, "blanks": "a " * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", LONG)
def test_a_long_text_in_a_profile_is_read_at_once(kind: str, tmp_path: Path) -> None:
    """It is looked through for deep keys, in a time that may not grow with its square."""
    path = tmp_path / "d.toml"
    path.write_text(f'long = "{LONG[kind]}"\n{PROFILE}')
    with pytest.raises(ProfileError, match="key 'long': is not known"):
        read_profile(path)


@pytest.mark.parametrize("value", ["1e999", "nan", "-1", "1" * 400, "0x" + "f" * 300, "1e-320"])
def test_numbers_of_a_profile(value: str, tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text(PROFILE.replace("value = 1.6,", f"value = {value},"))
    with pytest.raises(ProfileError, match=r"key 'power\.idle\.value'"):
        read_profile(path)


def test_numbers_of_a_comparison(tmp_path: Path) -> None:
    document = {"model": "a.onnx", **comparison().to_json()}
    path = tmp_path / "c.json"
    for key, value in (("parameters", 10**400), ("bytes", -1), ("error", 1e308), ("error", "NaN")):
        path.write_text(json.dumps(with_value(document, ("rows", 0, key), value)))
        with pytest.raises(InputError, match=rf"key 'rows\.0\.{key}'"):
            hedge.report([path], tmp_path / "r.html")


def test_what_is_tiny_counts_as_zero() -> None:
    found = parse_result(with_value(bench_document(["a"]), ("models", 0, "energy_j"), 1e-320), "x")
    assert found.models[0].energy_j == 0.0


def test_a_document_nested_too_deep_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json('{"a":' * 10**5)


@pytest.mark.parametrize("seed", [2**53 + 1, 10**400])
def test_a_seed_that_a_plan_can_not_hold_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="is too large; give at most 9007199254740992"):
        Request(1e-2, seed=seed)
