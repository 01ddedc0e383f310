"""``hedge train`` of an operator."""

from __future__ import annotations

from pathlib import Path

from hedge.errors import InputError


def train_operator(
    name: str,
    out: Path,
    sensors: int | None,
    seed: int,
    steps: int | None,
    budget: float | None,
    log: Path | None,
    *,
    force: bool,
    json: bool,
) -> None:
    """Train the operator called ``name`` and write a dense .onnx (needs torch)."""
    from hedge import api
    from hedge.cli.console import print_json, say, warn
    from hedge.cli.training_progress import training_reports

    if sensors is None:
        raise InputError(f"sensors: not given; {name} needs a grid, for example --sensors 1024")
    with training_reports(
        budget, log, out, resume=False, force=force, checkpoints=False
    ) as on_record:
        result = api.train_operator(
            name, out, sensors=sensors, seed=seed, budget_s=budget, max_steps=steps,
            force=force, on_cycle=on_record,
        )  # fmt: skip
    error = f"{result.relative_l2:.2e}"
    if result.stopped == "interrupted":
        raise InputError(
            f"train: interrupted; {out} is the best network so far (relative L2 error {error})"
        )
    if not result.converged:
        warn(f"not converged: relative L2 error {error}; raise --steps or --budget")
    if json:
        print_json(
            {
                "out": str(out),
                "sensors": sensors,
                "relative_l2": result.relative_l2,
                "held_out_loss": result.held_out_loss,
                "parameters": result.parameters,
                "steps": result.steps,
                "seconds": result.seconds,
                "stopped": result.stopped,
                "converged": result.converged,
                "history": [record.as_dict() for record in result.history],
            }
        )
    else:
        say(
            f"{out}: relative L2 error {error} after {result.steps} steps and "
            f"{result.seconds:.0f} s (stopped by {result.stopped}), {result.parameters} parameters",
        )
