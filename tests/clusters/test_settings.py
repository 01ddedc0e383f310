"""What a [cluster] table may say, and what is said where it is wrong."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from hedge.clusters import Local, Slurm, cluster_settings, job_script, open_cluster, spread_over
from hedge.errors import InputError

JOBS = {"kind": "slurm", "cores": 4, "memory": "8 GiB"}

WRONG: dict[str, tuple[Any, str]] = {
    "no table": ("ssh", "cluster: is no table"),
    "a kind": ({"kind": "slrm"}, "kind 'slrm' is none of local, scheduler, ssh, slurm"),
    "a kind that is none": ({"kind": []}, r"kind \[\] is none of"),
    "a key": ({"hosts": ["a"]}, "key 'hosts' is none of 'local'; it has kind, memory"),
    "no address": ({"kind": "scheduler"}, "key 'address': field required"),
    "an address": ({"kind": "scheduler", "address": "10.0.0.5"}, "key 'address': '10.0.0.5' is none"),
    "a port": ({"kind": "scheduler", "address": "tcp://a:99999"}, "'tcp://a:99999' has no port from 1 to"),
    "no port": ({"kind": "scheduler", "address": "tcp://a:0"}, "'tcp://a:0' has no port from 1 to 65535"),
    "true as a number": ({"kind": "ssh", "hosts": ["a"], "workers_each": True}, "key 'workers_each'"),
    "true as cores": ({**JOBS, "cores": True}, "key 'cores': input should be a valid integer"),
    "no hosts": ({"kind": "ssh", "hosts": []}, "key 'hosts'"),
    "an option as a host": ({"kind": "ssh", "hosts": ["-oProxyCommand=x"]}, "key 'hosts.0': '-oProxy"),
    "a shell as a Python": ({"kind": "ssh", "hosts": ["a"], "python": "x; rm"}, "key 'python': 'x; rm'"),
    "no cores": ({**JOBS, "cores": 0}, "key 'cores'"),
    "memory": ({**JOBS, "memory": "8"}, "key 'memory': '8' is none; write for example \"2 GiB\""),
    "walltime": ({**JOBS, "walltime": "1h"}, "key 'walltime': '1h' is none"),
    "two options in one": ({**JOBS, "queue": "short -A other"}, "key 'queue'"),
    "two lines in one": ({**JOBS, "options": ["--a\n--b"]}, "key 'options.0'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_is_wrong_is_told_with_its_key(name: str) -> None:
    table, said = WRONG[name]
    with pytest.raises(InputError, match=said) as caught:
        cluster_settings(table)
    assert "\n" not in str(caught.value)


def test_without_a_kind_it_is_this_machine() -> None:
    assert cluster_settings({}) == Local()


def test_the_script_of_a_job_is_one_of_bash_and_has_what_was_asked() -> None:
    asked = {"queue": "short", "account": "p12", "jobs": 3, "walltime": "02:00:00"}
    more = {
        "python": "/opt/py/bin/python",
        "prologue": ["module load x"],
        "options": ["--exclusive"],
    }
    settings = cluster_settings({**JOBS, **asked, **more})
    assert isinstance(settings, Slurm)
    text = job_script(settings)
    assert subprocess.run(["bash", "-n"], input=text.encode()).returncode == 0
    for line in (
        "#SBATCH -p short", "#SBATCH -A p12", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=8G",
        "#SBATCH -t 02:00:00", "#SBATCH --exclusive", "export OMP_NUM_THREADS=1", "module load x",
    ):  # fmt: skip
        assert line in text.splitlines()
    command = text.splitlines()[-1]
    assert command.startswith("/opt/py/bin/python -m distributed")
    assert "--nthreads 1 " in command
    assert "--nworkers 4 " in command


def test_too_few_workers_two_ways_at_once_and_numbers_that_the_table_says_itself() -> None:
    with pytest.raises(InputError, match="workers: 0 is too small"), spread_over(0):
        pass
    with pytest.raises(InputError, match="Leave out one"), spread_over(2, "tcp://10.0.0.5:8786"):
        pass
    with (
        pytest.raises(InputError, match=r"scheduler: key 'address': '10\.0\.0\.5' is none"),
        spread_over(1, "10.0.0.5"),
    ):
        pass
    with pytest.raises(InputError, match="workers: 0 is too small"), open_cluster(Local(), 0):
        pass
    with (
        pytest.raises(InputError, match="says itself how many"),
        open_cluster(cluster_settings(JOBS), 2),
    ):
        pass
