"""inspect on an exported file: where each site went, counted in the file itself."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import hedge
from hedge.cli.plan_table import inspect_file
from hedge.compression import CompressedModel
from hedge.errors import ModelError


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompressedModel, Path]:
    """A factorized network, and the file of it."""
    compressed = hedge.compress(
        hedge.reference_models()["burgers"],
        device="laptop-x86",
        tolerance=1e-2,
        batch=1024,
        keep_widths=True,
        recover=None,
    )
    path = tmp_path_factory.mktemp("inspect") / "b.onnx"
    hedge.export(compressed, path)
    return compressed, path


def test_nodes_flops_and_bytes_are_those_of_the_file(
    exported: tuple[CompressedModel, Path],
) -> None:
    compressed, path = exported
    document, _ = inspect_file(path)
    graph = document["graph"]
    sites = {site["name"]: site for site in graph["sites"]}
    assert any(site["form"] == "factors" for site in sites.values())
    for name, matrix in compressed.matrices.items():
        weights = sum(factor.size for factor in matrix.arrays.values())
        assert sites[name]["flops"] == 2 * weights
        assert sites[name]["bytes"] == 4 * matrix.parameters
        assert sites[name]["nodes"] == len(matrix.arrays)
    assert graph["opset"] == 17
    assert graph["flops"] == sum(site["flops"] for site in sites.values())
    assert graph["nodes"] > sum(site["nodes"] for site in sites.values())
    assert sum(site["bytes"] for site in sites.values()) < graph["bytes"] < path.stat().st_size


def test_a_table_says_the_same(
    exported: tuple[CompressedModel, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    document, show = inspect_file(exported[1])
    show()
    printed = capsys.readouterr().out
    assert "where each site went" in printed
    for figure in ("relative L2 error", "parameters", "predicted on"):
        assert f"as the file says, not measured now: {figure}" in printed
    assert f"{document['graph']['nodes']} nodes after fusion" in printed


def test_a_file_whose_sites_were_renamed_is_read_all_the_same(
    exported: tuple[CompressedModel, Path], tmp_path: Path
) -> None:
    """Tools rewrite names of nodes; then no node is known to be a site's."""
    model = onnx.load(exported[1])
    for i, node in enumerate(model.graph.node):
        node.name = f"n{i}"
    path = tmp_path / "renamed.onnx"
    onnx.save(model, path)
    document, _ = inspect_file(path)
    assert all(site["nodes"] == 0 for site in document["graph"]["sites"])
    assert document["graph"]["nodes"] > 0


def test_an_edited_plan_is_refused(exported: tuple[CompressedModel, Path], tmp_path: Path) -> None:
    model = onnx.load(exported[1])
    for entry in model.metadata_props:
        if entry.key == "hedge.plan":
            entry.value = entry.value.replace('"form":"factors"', '"form":"magic"')
    path = tmp_path / "edited.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"edited\.onnx: the plan in its metadata is damaged"):
        inspect_file(path)
