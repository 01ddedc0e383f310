"""The commands. Each parses, calls hedge.api and prints; heavy imports happen inside."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.main import get_command

from hedge.cli.bench_command import bench
from hedge.cli.certify_command import certify
from hedge.cli.compare_command import compare
from hedge.cli.devices_command import calibrate, devices
from hedge.cli.export_command import examples, export
from hedge.cli.import_command import import_file
from hedge.cli.options import (
    IN_FILE,
    Box,
    DeviceName,
    Force,
    Json,
    ProblemName,
    Samples,
    Seed,
    file_argument,
    file_option,
    with_options_of,
)
from hedge.cli.reproduce_command import reproduce
from hedge.cli.sweep_command import sweeps
from hedge.cli.train_command import train
from hedge.documents import finite
from hedge.errors import InputError
from hedge.formats import FORMATS, Exported
from hedge.request import Request
from hedge.version import __version__


def report(
    runs: Annotated[
        list[Path],
        file_argument(
            help="Compressed models, .onnx files, results of bench --out and compare --json."
        ),
    ],
    out: Annotated[Path, file_option(help="The .html file to write.")],
    problem: Annotated[
        str | None,
        typer.Option(help=f"What the models solve, if they don't say it. {IN_FILE}"),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write one HTML page about models, bench results and comparisons, for people to look at."""
    from hedge import api
    from hedge.cli.console import print_json, progress, say

    with progress() as on_progress:
        api.report(runs, out, problem=problem, force=force, on_progress=on_progress)
    size = out.stat().st_size
    if json:
        print_json({"out": str(out), "bytes": size})
    else:
        say(f"{out}: one page of {size} bytes, needs nothing else")


SUFFIXES = [" and ".join(one.suffixes) for one in FORMATS.values() if one.suffixes]

app = typer.Typer(
    help="Take a PINN from training to a small device: train, compress, export, bench.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _example(text: str) -> str:
    return f"[bold]Example:[/bold] {text}"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hedge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=_example("hedge demo burgers --out my-demo"))
def demo(
    problem: Annotated[str, typer.Argument(help="burgers, heat or poisson.")] = "burgers",
    out: Annotated[Path, file_option(help="Folder for all files.")] = Path("hedge-demo"),
    device: DeviceName = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer timed runs.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run the whole pipeline on this machine, from a model that comes with hedge."""
    from hedge.cli.demo import run_demo

    run_demo(problem, out, device, quick=quick, force=force, json=json)


@app.command(epilog=_example("hedge problems --template > my_problem.py"))
def problems(
    template: Annotated[
        bool,
        typer.Option("--template", help="Print a file with a problem of your own to begin with."),
    ] = False,
    json: Json = False,
) -> None:
    """List the problems of the gallery, and the operators.

    Your own is a Problem in a Python file, which runs where it is named: hedge train my_problem.py:plate
    """
    from hedge.cli.problem_table import print_problems, problem_document, template_text

    if template and json:
        raise InputError("template: is Python, no JSON; leave out --json")
    if template:
        print(template_text(), end="")
    elif json:
        from hedge.cli.console import print_json

        print_json(problem_document())
    else:
        print_problems()


app.command(epilog=_example("hedge devices --check auto models/burgers-128x4.onnx"))(devices)


app.command(epilog=_example("hedge train burgers --out burgers.onnx --steps 2000"))(train)


app.command("import", epilog=_example("hedge import model.ckpt --out burgers.onnx"))(import_file)


@app.command(epilog=_example("hedge evaluate burgers.onnx --problem burgers"))
def evaluate(
    model: Annotated[Path, file_argument(help="An .onnx or .hedge.safetensors file.")],
    problem: Annotated[str, typer.Option(help=f"The problem or operator it solves. {IN_FILE}")],
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a model's error against the reference solution, and its residual.

    Of its conditions and measurements it says what the model misses them by.
    A problem without a reference has no error.
    """
    from hedge import api
    from hedge.cli.console import print_json, print_table, say

    result = api.evaluate(model, problem, seed=seed)
    if json:
        told = {**vars(result), "misfits": {each.name: each.rms for each in result.misfits}}
        print_json(finite({"model": str(model), "problem": problem, **told}))
    else:

        def cell(value: float | None) -> str:
            return "-" if value is None else f"{value:.3e}"

        print_table(
            f"{model} on {problem}",
            ["relative L2 error", *(f"of {name}" for name in result.by_field), "largest error",
             "residual, rms", "parameters"],
            [[cell(result.relative_l2), *map(cell, result.by_field.values()),
              cell(result.max_abs), cell(result.residual_rms), str(result.parameters)]],
        )  # fmt: skip
        for name, rms in result.missed.items():
            say(f"{name}: missed by {rms:.2e} (rms)")
        for misfit in result.misfits:
            say(str(misfit))


app.command(epilog=_example("hedge calibrate --out here.toml"))(calibrate)


def compress(
    model: Annotated[Path, file_argument(help="A dense .onnx, from any tool.")],
    out: Annotated[
        Path, file_option(help=f"The file to write: {', '.join(SUFFIXES)} or .hedge.safetensors.")
    ],
    device: DeviceName = "auto",
    against: Annotated[
        Literal["dense", "reference"], typer.Option(help="What the error is measured against.")
    ] = "dense",
    problem: ProblemName = None,
    domain: Box = None,
    samples: Samples = None,
    recover: Annotated[
        Literal["auto", "outputs", "gradients", "residual"],
        typer.Option(
            help="Cut further and fit what is left again, to what (residual needs torch)."
        ),
    ] = "auto",
    no_recover: Annotated[
        bool, typer.Option("--no-recover", help="Do not fit again: seconds, and far more is left.")
    ] = False,
    steps: Annotated[
        int, typer.Option(help="Steps to recover in, at most; they make a run repeatable.")
    ] = 50_000,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which to end recovery early.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on recovering what --out holds.")
    ] = False,
    flash: Annotated[
        int | None, typer.Option(help="Most bytes of its C's constants; else a C profile's flash.")
    ] = None,
    ram: Annotated[
        int | None,
        typer.Option(
            "--ram", "--stack", help="Most bytes that its C takes a call; else a C profile's RAM."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    **asked: Any,
) -> None:
    """Compress a model for a device, within an error that holds on fresh points.

    As C for a microcontroller: hedge compress burgers.onnx --device rp2040 --ram 2048 --out burgers.c
    """
    from hedge import api
    from hedge.cli.console import print_json, progress, say, warn
    from hedge.cli.plan_table import (
        plan_document,
        print_plan,
        runtime_remark,
        spread_remark,
    )

    written: list[Exported] = []
    with progress() as on_progress:
        compressed = api.compress(
            model, device=device, out=out, against=against, problem=problem, domain=domain,
            samples=samples, recover=None if no_recover else recover, steps=steps, budget_s=budget,
            resume=resume, flash=flash, ram=ram, force=force, on_progress=on_progress,
            on_written=written.append, **asked,
        )  # fmt: skip
    if (note := runtime_remark(out, compressed.plan)) is not None:
        warn(note)
    if not compressed.plan.gains:
        warn(f"the model stays dense: {compressed.plan.note}")
    if compressed.plan.small_spread is not None:
        warn(spread_remark(compressed.plan.small_spread))
    if json:
        exported = {"exported": written[0].document} if written else {}
        print_json({"out": str(out), **plan_document(compressed.plan), **exported})
    else:
        print_plan(str(out), compressed.plan)
        for one in written:
            say(one.told)


app.command(
    epilog=_example(
        "hedge compress burgers.onnx --device raspberry-pi-4b --tolerance 1e-3 "
        "--out burgers.hedge.safetensors"
    )
)(with_options_of(Request)(compress))


@app.command(epilog=_example("hedge inspect burgers.hedge.safetensors"))
def inspect(
    file: Annotated[Path, file_argument(help="A .hedge.safetensors or .onnx file.")],
    json: Json = False,
) -> None:
    """Show the plan, the blocks and the error report of a file; of a dense .onnx, its sites."""
    from hedge.cli.console import print_json, progress
    from hedge.cli.plan_table import inspect_file

    with progress() as on_progress:
        document, show = inspect_file(file, on_progress)
    if json:
        print_json(document)
    else:
        show()


app.command(epilog=_example("hedge certify small.onnx burgers.onnx --out cert.json"))(certify)


app.command(epilog=examples())(export)


@app.command(epilog=_example("hedge ntk burgers.onnx burgers.hedge.safetensors --points 1024"))
def ntk(
    model: Annotated[Path, file_argument(help="A dense .onnx.")],
    compressed: Annotated[
        Path | None, file_argument(help="Its compressed form, .onnx or .hedge.safetensors.")
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(help=f"What it solves; of the gallery models say it. {IN_FILE}"),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help='Where inputs come from, such as "-1:1,0:1".')
    ] = None,
    points: Annotated[int, typer.Option(help="Points of the domain, uniform.")] = 1024,
    residual: Annotated[
        bool, typer.Option("--residual", help="Of the residuals, not the outputs (needs torch).")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(help="Relative error of the H-matrix used above 2,048 rows.")
    ] = 1e-6,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show the neural tangent kernel's spectrum, before and after, with the paper's theorems."""
    from hedge import api
    from hedge.cli.console import print_json
    from hedge.cli.ntk_table import kernel_document, print_kernels

    found = api.tangent_kernels(
        model,
        compressed,
        problem=problem,
        domain=domain,
        points=points,
        residual=residual,
        tolerance=tolerance,
        seed=seed,
    )
    if json:
        print_json(kernel_document(found))
    else:
        print_kernels(found, "residuals" if residual else "outputs")


app.command(
    epilog=_example("hedge bench burgers.onnx burgers.pi.onnx --device auto --batch 1,1024")
)(bench)


app.command(
    epilog=_example("hedge compare burgers.onnx --device raspberry-pi-4b --tolerance 1e-2")
)(compare)


app.add_typer(sweeps, name="sweep")


app.command(
    epilog=_example("hedge report burgers.onnx burgers.pi.onnx bench.json --out report.html")
)(report)


app.command(epilog=_example("hedge reproduce ex1 ex4 fig3b --out paper --quick"))(reproduce)


@cache
def program() -> Any:
    """All commands as one to be called; made once, since to read all signatures takes a while."""
    return get_command(app)
