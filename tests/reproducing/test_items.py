"""Every item of the paper on quick runs: its numbers against references, timings excepted."""

from __future__ import annotations

import itertools
import json
from functools import cache
from typing import Any

import numpy as np
import pytest

import hedge
from hedge.cli.reproduce_command import shown
from hedge.devices import find_profile
from hedge.ntk import uniform_blocks
from hedge.paper import PaperEnergy, energy_efficient
from hedge.reproducing import ITEMS, Item, Materials, chosen, drawn
from hedge.reproducing.making import train
from hedge.reproducing.registry import DRAWN
from tests.conftest import ROOT

PAPER = [
    "def1",
    "alg1",
    "thm1",
    "thm2",
    "thm3",
    "thm4",
    "thm5",
    "thm6",
    "thm7",
    "thm8",
    "thm9",
    "thm10",
    "thm11",
    "cor1",
    "lem1",
    "secF",
    "ex1",
    "alg2",
    "ex2",
    "alg3",
    "alg4",
    "ex3",
    "ex4",
    "exV",
    "ex5",
    "fig2a",
    "fig2b",
    "fig3a",
    "fig3b",
    "fig4",
    "fig5",
    "tab1",
    "fig6",
    "fig7",
    "fig8",
]


@cache
def materials() -> Materials:
    found = Materials(hedge.reference_models(), quick=True)
    vars(found)["here"] = find_profile("laptop-x86")  # timings are not tested: no calibration
    return found


@cache
def item(id: str) -> Item:
    return ITEMS[id](materials())


def bounds(id: str) -> dict[str, dict[str, Any]]:
    """Both sides of an item's inequalities by their names."""
    return {bound["item"]: bound for bound in item(id).numbers["bounds"]}


def test_every_item_of_the_paper_is_there() -> None:
    assert set(ITEMS) == set(PAPER)
    assert chosen([]) == tuple(ITEMS)


def rows_of_the_page(id: str) -> list[str]:
    """The lines of an item in the table of docs/paper.md."""
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(f"| {id} |")]


@pytest.mark.parametrize("id", PAPER)
def test_the_page_has_a_row_for_every_claim(id: str) -> None:
    assert len(rows_of_the_page(id)) == len(item(id).claims)


@pytest.mark.parametrize("id", ["ex1", "alg3", "alg4", "ex3", "ex4", "ex5"])
def test_the_page_has_the_figures_that_quick_runs_share(id: str) -> None:
    for claim, row in zip(item(id).claims, rows_of_the_page(id), strict=True):
        assert f"| {shown(claim.hedge, claim.unit)} |" in row


@pytest.mark.parametrize("id", PAPER)
def test_every_item_says_why_it_disagrees_and_is_plain_json(id: str) -> None:
    found = item(id)
    assert found.id == id
    assert found.claims
    assert all(claim.why for claim in found.claims if claim.agrees is False)
    json.dumps(found.to_json(), allow_nan=False)
    assert (found.picture is not None) == (id in DRAWN)


@pytest.mark.parametrize("id", ["ex4", "fig3b"])
def test_a_figure_is_the_same_file_again(id: str) -> None:
    picture = item(id).picture
    assert picture is not None
    assert picture.alt
    assert drawn(picture, "svg") == drawn(picture, "svg")
    assert drawn(picture, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("id", ["thm1", "thm7", "alg2", "ex2", "ex4", "exV"])
def test_a_seed_fixes_the_numbers(id: str) -> None:
    again = ITEMS[id](Materials(hedge.reference_models(), quick=True))
    assert again.to_json() == item(id).to_json()


def test_a_seed_fixes_a_training() -> None:
    one, other = (train("poisson", 8, 20, seed=3) for _ in range(2))
    assert [r.train_loss for r in one.history] == [r.train_loss for r in other.history]


@pytest.mark.parametrize("id", ["thm1", "thm2", "thm3", "cor1", "thm4", "thm5", "thm6", "thm8"])
def test_sound_forms_hold(id: str) -> None:
    sound = [b for b in item(id).numbers["bounds"] if "-" in b["item"] and b["applies"]]
    assert sound
    assert all(bound["holds"] for bound in sound)


@pytest.mark.parametrize("name", ["thm1.3", "thm2", "cor1", "thm6.3"])
def test_letters_that_fail_on_a_real_kernel(name: str) -> None:
    bound = bounds(name.partition(".")[0])[name]
    assert bound["applies"]
    assert not bound["holds"]


def test_counterexamples_of_the_letters() -> None:
    for id in ("thm5", "thm8"):
        counter = item(id).numbers["bounds"][-1]
        assert counter["applies"]
        assert counter["left"] > counter["right"]


def test_definition_1_keeps_its_tolerance() -> None:
    numbers = item("def1").numbers
    assert numbers["relative_error"] <= 1e-6
    assert numbers["numbers"] < 64 * 64


def test_algorithm_1_keeps_its_tolerances() -> None:
    for run in item("alg1").numbers["runs"]:
        assert run["largest_block_error"] <= run["tolerance"]
        assert run["error"] <= run["bound"]
        assert run["optimum_numbers"] <= run["numbers"]


def test_theorem_3_converges() -> None:
    moved = [b["left"] for b in item("thm3").numbers["bounds"] if b["item"] == "thm3"]
    assert moved[-1] < 1e-6 * moved[0]


def test_theorem_4_compression_of_weights_keeps_the_kernel() -> None:
    assert item("thm4").numbers["difference"] < 1e-2


def test_section_f_keeps_the_function() -> None:
    numbers = item("secF").numbers
    assert numbers["output_moved"] < 1e-12
    grown = zip(numbers["widths_before"], numbers["widths_after"], strict=True)
    assert all(before < after <= 2 * before for before, after in grown)


def test_lemma_1_is_the_slope() -> None:
    numbers = item("lem1").numbers
    slope = np.polyfit(np.log(numbers["widths"]), np.log(numbers["errors"]), 1)[0]
    assert bounds("lem1")["lem1"]["left"] == pytest.approx(slope)


def test_theorem_7_gradient_descent_is_as_fast_as_the_kernel_says() -> None:
    losses = item("thm7").numbers["losses"]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.1 * losses[0]


def test_example_1() -> None:
    assert item("ex1").numbers["width"] == 36
    assert item("ex1").numbers["capacity"] == 20**2 + 36**2


def test_example_2_to_the_letter_and_sound() -> None:
    numbers, kernel = item("ex2").numbers, materials().poisson_kernel
    kernel = 0.2 * kernel / np.linalg.norm(kernel - uniform_blocks(kernel, 2, 1).to_dense())
    blocks = [
        [_rank_1(kernel[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]) for j in (0, 1)] for i in (0, 1)
    ]
    flat = [block for row in blocks for block in row]
    gamma = 0.05 / np.linalg.norm(blocks[0][0] @ blocks[1][1].T)
    adjusted = [
        p + sum(gamma * np.linalg.norm(p @ q.T) * q for q in flat if q is not p) for p in flat
    ]
    expected = np.linalg.norm(kernel - np.block([adjusted[:2], adjusted[2:]]))
    assert numbers["dependencies"][0, 3] == pytest.approx(0.05)
    assert numbers["error_adjusted"] == pytest.approx(float(expected), rel=1e-9)
    assert numbers["error_adjusted"] > numbers["error_first_block"] > 0.2
    assert numbers["error_refitted"] == pytest.approx(0.2)
    assert numbers["error_rank_2"] < 0.05


def _rank_1(block: np.ndarray) -> np.ndarray:
    u, s, vt = np.linalg.svd(block)
    return s[0] * np.outer(u[:, 0], vt[0])


def test_algorithm_2_refit_never_rises() -> None:
    errors = item("alg2").numbers["refit_errors"]
    assert errors[-1] < 0.5 * errors[0]
    assert min(item("alg2").numbers["errors"][1:]) > 0.2


@pytest.mark.parametrize("id", ["alg3", "alg4", "ex3", "ex4"])
def test_energy_by_the_papers_formula(id: str) -> None:
    numbers = item(id).numbers
    fixed, best = numbers["fixed rank"], numbers["optimum"]
    (rank,) = fixed["ranks"]
    assert fixed["energy"] == pytest.approx(64 * (0.01 * rank**2 + 0.5))
    lower = uniform_blocks(materials().heat_kernel, 8, rank - 1).to_dense()
    assert np.linalg.norm(materials().heat_kernel - lower) > 0.05
    for name in ("fixed rank", "Algorithm 3", "Algorithm 4", "optimum"):
        assert numbers[name]["error"] <= 0.05 * (1 + 1e-9)
        assert numbers[name]["energy"] >= best["energy"] * (1 - 1e-12)
    assert numbers["Algorithm 4"]["saved"] >= 0.30
    assert best["saved"] >= numbers["Algorithm 4"]["saved"]


def test_algorithm_4_is_that_of_the_library() -> None:
    energy = PaperEnergy(0.01, 0.5)
    h = energy_efficient(materials().heat_kernel, target=0.05, energy=energy)
    expected = sum(0.01 * leaf.rank**2 + 0.5 for leaf in h.leaves)
    assert item("ex4").numbers["Algorithm 4"]["energy"] == pytest.approx(expected)


def test_theorem_10_fails_for_larger_blocks_only() -> None:
    same, larger = item("thm10").numbers["bounds"]
    assert same["holds"]
    assert not larger["holds"]


def test_section_v_has_the_right_singular_values() -> None:
    numbers = item("exV").numbers
    first, second = numbers["singular_values"]
    assert first * second == pytest.approx(4.0)
    assert first**2 + second**2 == pytest.approx(66.0)
    assert (round(first, 3), round(second, 3)) == (8.109, 0.493)
    assert numbers["block_errors"][0] == pytest.approx(second)
    assert 0.9 < numbers["exponent"] < 1.3


def test_example_5_counts() -> None:
    numbers = item("ex5").numbers
    assert numbers["parameters"] == 921
    assert numbers["printed_parameters"] == 502
    assert numbers["exponents"] == pytest.approx((2.0, 1.0, 1.0))


def test_figure_3b_hedge_is_the_most_accurate_at_every_ratio() -> None:
    numbers = item("fig3b").numbers
    ratios, errors = numbers["ratios"], numbers["errors"]
    assert (ratios[0], ratios[-1]) == pytest.approx((2.0, 50.0))
    assert len(errors) == 6
    for i in range(len(ratios)):
        assert errors["hedge"][i] < min(e[i] for name, e in errors.items() if name != "hedge")


def test_figures_2a_and_3a_are_of_the_same_networks() -> None:
    trials = item("fig3a").numbers["trials"]
    assert min(t["error"] for t in trials) < 2e-4
    for trial in trials:
        assert trial["moved"] <= trial["knob"]
        assert trial["error"] < 2.0 * trial["fitted"]
    assert [t for t in item("fig2a").numbers["trials"] if t["method"] == "hedge"] == trials


def test_figure_2b_is_within_its_tolerance() -> None:
    numbers = item("fig2b").numbers
    error = np.linalg.norm(numbers["weight"] - numbers["compressed"])
    assert error <= 0.1 * np.linalg.norm(numbers["weight"])


def test_figure_5_svd_and_h_matrices_are_alike_and_hedge_is_smaller() -> None:
    numbers = item("fig5").numbers
    svd, paper = (np.array(numbers["errors"][n])[0, -1] for n in ("SVD", "H-matrix (Algorithm 4)"))
    assert paper == pytest.approx(svd, rel=0.5)
    assert numbers["parameters"]["hedge"] < 0.1 * numbers["parameters"]["SVD"]


def test_table_1_energies_are_multiples_of_weights() -> None:
    numbers = item("tab1").numbers
    assert numbers["printed_weights"] == [2 * 128, 128 * 128, 128]
    for energy, weights in zip(
        numbers["printed_energies"], numbers["printed_weights"], strict=True
    ):
        assert energy == pytest.approx(0.3001 * weights, abs=5e-5)
    assert numbers["energies"][0] == pytest.approx(3 * (0.01 * 128**2 + 0.5) + 0.54 + 0.51)
    assert numbers["relative_error"] <= 1e-2


def test_figure_6_compares_at_equal_error() -> None:
    numbers = item("fig6").numbers
    assert numbers["error_ratio"] < 1.1
    assert numbers["parameters"]["recovered"] < 0.03 * numbers["parameters"]["dense"]
    assert numbers["errors"]["reduced, no retraining"] < 1.1e-2


def test_figure_7_is_linear_for_systems_and_flat_for_networks() -> None:
    numbers = item("fig7").numbers
    assert numbers["slope"] == pytest.approx(1.0, abs=0.1)
    assert numbers["network_slope"] == pytest.approx(0.0, abs=0.1)


def test_figure_8_losses_fall() -> None:
    renewed, fixed = (item("fig8").numbers[name] for name in ("renewed", "fixed"))
    assert fixed[-1]["train_loss"] < 0.6 * fixed[0]["train_loss"]
    # On a new set the training loss is another one.
    lowest = min(record["held_out_loss"] for record in renewed)
    assert lowest < 0.6 * renewed[0]["held_out_loss"]
