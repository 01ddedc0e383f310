"""The package stands alone: numpy and scipy, nothing else."""

from __future__ import annotations

import subprocess
import sys

import hedge.hmatrix

OTHERS = """
import sys, sysconfig
from pathlib import Path
import numpy.f2py  # loads charset_normalizer if another package brought it
before = set(sys.modules)
import hedge.hmatrix
new = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
homes = [Path(sys.modules[name].__file__).parent for name in ("hedge", "numpy", "scipy")]
for name, file in new.items():
    known = name.partition(".")[0] in sys.stdlib_module_names
    built_in = file is None or Path(file).parent == Path(sysconfig.get_path("stdlib"))
    if not known and not built_in and not set(homes) & set(Path(file).parents):
        print(name)
"""


def test_importing_loads_no_third_party_module_but_numpy_and_scipy() -> None:
    def others(code: str) -> set[str]:
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return {name.partition(".")[0] for name in run.stdout.split()}

    assert others(OTHERS) == set()
    # that it would find one
    assert others(OTHERS.replace("import hedge.hmatrix", "import hedge.hmatrix, pytest")) >= {
        "pytest"
    }


def test_the_public_names_resolve_and_are_sorted() -> None:
    for name in hedge.hmatrix.__all__:
        assert getattr(hedge.hmatrix, name) is not None
    assert len(set(hedge.hmatrix.__all__)) == len(hedge.hmatrix.__all__)
    assert list(hedge.hmatrix.__all__) == sorted(hedge.hmatrix.__all__)
