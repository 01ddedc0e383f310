"""Workers on machines that the user's ssh reaches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.settings import Ssh
from hedge.clusters.versions import difference, said_by
from hedge.errors import RemoteError, first_line, quoted

LONGEST_LOGIN_S = 15.0
NOT_FOUND = (126, 127)  # exit codes of a shell
# Run there before anything is started, by any Python: what is missing is then told by name.
PROBE = "-c 'from hedge.clusters.versions import say; say()'"


@contextmanager
def ssh_cluster(settings: Ssh) -> Iterator[Any]:
    """An SSHCluster, its scheduler on the first host: all of it ends with this process.

    Keys, known hosts and names are those of the user's ``~/.ssh``. Raises RemoteError, naming the host, for
    one that can't be reached or has no Python, Dask or hedge, or another version of it.
    """
    distributed = installed("distributed")
    installed("asyncssh")
    with ThreadPoolExecutor(1) as pool:  # whoever called this may have a loop of their own
        pool.submit(asyncio.run, _check_hosts(settings)).result()
    network = {} if settings.interface is None else {"interface": settings.interface}
    worker = {"nthreads": 1, "n_workers": settings.workers_each, **network}
    if settings.memory is not None:
        worker["memory_limit"] = settings.memory
    with distributed.SSHCluster(
        [settings.hosts[0], *settings.hosts],
        connect_options={"login_timeout": LONGEST_LOGIN_S},
        worker_options=worker,
        scheduler_options={
            "dashboard_address": ":0",
            "preload": "hedge.clusters.ending",
            **network,
        },
        remote_python=settings.python,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


async def _check_hosts(settings: Ssh) -> None:
    """Raise RemoteError for the first host that can't take part."""
    hosts = dict.fromkeys(settings.hosts)
    for fault in await asyncio.gather(*(_fault_of(host, settings.python) for host in hosts)):
        if fault is not None:
            raise RemoteError(fault)


async def _fault_of(host: str, python: str) -> str | None:
    asyncssh = installed("asyncssh")
    try:
        async with asyncssh.connect(host, login_timeout=LONGEST_LOGIN_S) as connection:
            done = await connection.run(f"{python} {PROBE}", check=False)
    except (OSError, asyncssh.Error, TimeoutError) as error:
        return f"{host}: can't be reached by ssh ({first_line(error)}); does this work? ssh {host} true"
    if done.exit_status in NOT_FOUND:
        return f"{host}: there is no Python {quoted(python)}; give the one of hedge's environment there"
    if done.exit_status != 0:
        return (
            f"{host}: hedge or Dask is not there ({_last_line(done.stderr)}); install the same one: "
            'pip install "hedge-pinn[sweep]"'
        )
    there = said_by(done.stdout)
    if there is None:
        return f"{host}: says {quoted(done.stdout)}; does its shell print a greeting?"
    fault = difference(there)
    return None if fault is None else f"{host}: {fault}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
