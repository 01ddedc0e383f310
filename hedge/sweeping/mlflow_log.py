"""Cells as runs of MLflow, for those who look at theirs there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from hedge.errors import InputError, first_line
from hedge.sweeping.table import Row

TAG = "hedge.cell"
# What a store takes at once, and the longest value of a parameter.
MOST_METRICS, LONGEST = 900, 500
# Recent ones ask the first of whoever names a folder; without the other two a server that is not there is
# asked for minutes.
USUAL = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def check_mlflow(uri: str) -> None:
    """Raise InputError where mlflow is not installed, or nothing can be read at uri, before any work."""
    with _answering(uri) as client:
        client.search_experiments(max_results=1)


def log_cells(uri: str, experiment: str, rows: Sequence[Row]) -> int:
    """Log each cell as a run: axes are parameters, figures metrics; those that are there already stay.

    uri is MLflow's: that of a server, or a folder. Gives how many were new. Raises InputError where
    mlflow is not installed or refuses.
    """
    entities = _imported("mlflow.entities")
    with _answering(uri) as client:
        found = client.get_experiment_by_name(experiment)
        place = client.create_experiment(experiment) if found is None else found.experiment_id
        known = _known(client, place)
        fresh = [row for row in rows if row.key not in known]
        for row in fresh:
            _log(client, entities, place, row)
    return len(fresh)


@contextmanager
def _answering(uri: str) -> Iterator[Any]:
    """A client; what its stores and servers raise, of whatever kind, is an InputError."""
    if not uri:
        raise InputError("mlflow: no URI is given; name a server, http://HOST:PORT, or a folder")
    for name, value in USUAL.items():
        os.environ.setdefault(name, value)
    mlflow = _imported("mlflow")
    try:
        yield mlflow.MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise InputError(
            f"mlflow: {uri} does not take cells ({first_line(error)}); name a server, http://HOST:PORT, or a "
            "folder"
        ) from error


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError("mlflow: is not installed; run: pip install mlflow-skinny") from error


def _known(client: Any, place: str) -> set[str]:
    """The cells that have a run."""
    found: set[str] = set()
    token = None
    while True:
        page = client.search_runs([place], max_results=1000, page_token=token)
        found |= {run.data.tags[TAG] for run in page if TAG in run.data.tags}
        token = page.token
        if not token:
            return found


def _log(client: Any, entities: Any, place: str, row: Row) -> None:
    run = client.create_run(place, run_name=row.key)
    metrics = [
        entities.Metric(name, float(value), 0, 0)
        for name, value in row.figures.items()
        if isinstance(value, int | float)
    ]
    params = [entities.Param(name, str(value)[:LONGEST]) for name, value in row.axes.items()]
    client.log_batch(run.info.run_id, metrics=metrics[:MOST_METRICS], params=params)
    if row.failed is not None:
        client.set_tag(run.info.run_id, "hedge.failed", row.failed)
    client.set_tag(run.info.run_id, TAG, row.key)  # last: one that was killed before is logged anew
    client.set_terminated(run.info.run_id, "FINISHED" if row.failed is None else "FAILED")
