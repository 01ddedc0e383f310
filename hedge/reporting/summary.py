"""What the page says first: a title, one sentence, and the figures that matter most."""

from __future__ import annotations

from dataclasses import dataclass

from hedge.benching import Measurement
from hedge.compression import Plan
from hedge.reporting.numbers import count, error, quantity, ratio
from hedge.reporting.runs import label_of
from hedge.reporting.story import Model, Story


@dataclass(frozen=True)
class Key:
    """A figure in large letters, and what it is."""

    figure: str
    words: str


@dataclass(frozen=True)
class Summary:
    """The head of the page."""

    title: str
    lead: str
    keys: tuple[Key, ...]


def summary(story: Story) -> Summary:
    """Of the smallest compressed model, where there is one."""
    if not story.compressed:
        names = [run.origin.name for run in story.runs]
        return Summary("Report", f"Made from {', '.join(names)}.", ())
    model, plan = min(story.compressed, key=lambda found: found[1].parameters)
    title = f"{label_of(plan.source)}, compressed"
    if not plan.gains:
        return Summary(title, f"{model.label} stays dense: {plan.note}.", ())
    timed = _fastest(story, model)
    lead = (
        f"{model.label}: {count(plan.dense_parameters)} parameters became {count(plan.parameters)}. "
        f"Against {'the dense model' if plan.against == 'dense' else 'the reference solution'} it is off by "
        f"{error(plan.relative_error)} (relative L2, on {count(plan.fresh_points)} points that no fit "
        f"has seen); {plan.tolerance:g} was allowed."
    )
    return Summary(title, lead, _keys(plan, timed))


def _fastest(story: Story, model: Model) -> Measurement | None:
    """Its measurement with the largest speedup."""
    found = [
        m for bench in story.benches for m in bench.result.models if label_of(m.path) == model.label
    ]
    return max(found, key=lambda m: m.speedup, default=None)


def _keys(plan: Plan, timed: Measurement | None) -> tuple[Key, ...]:
    keys = [
        Key(f"{ratio(plan.dense_parameters / max(plan.parameters, 1))}×", "fewer parameters"),
        Key(error(plan.relative_error), f"relative L2 error, {plan.tolerance:g} allowed"),
    ]
    if timed is not None:
        speed = f"{ratio(timed.speedup)}×"
        words = f"faster at batch {count(timed.batch)}, measured"
        keys.append(Key(speed, words))
        keys.append(Key(quantity(timed.median_s, "s"), f"a call of {count(timed.batch)} rows"))
    elif plan.predicted_s > 0.0:
        speed = f"{ratio(plan.dense_predicted_s / plan.predicted_s)}×"
        keys.append(Key(speed, f"faster at batch {count(plan.batch)}, predicted for {plan.device}"))
    return tuple(keys)
