"""The package stands alone: numpy and scipy, nothing else."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import hedge.hmatrix

OTHERS = """
import sys, sysconfig
from pathlib import Path
import numpy.f2py  # loads charset_normalizer if another package brought it
before = set(sys.modules)
import hedge.hmatrix
for name in hedge.hmatrix.__all__:
    getattr(hedge.hmatrix, name)
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


def test_no_module_hides_a_public_name() -> None:
    """A module that is imported becomes an attribute of the package, in place of a name not yet asked for."""
    modules = {module.name for module in pkgutil.iter_modules(hedge.hmatrix.__path__)}
    assert not modules & set(hedge.hmatrix.__all__)


def test_what_compresses_loads_less_than_half_of_the_package_and_nothing_of_the_paper() -> None:
    code = (
        "import sys, hedge.compression; print(*(m for m in sys.modules if m.startswith('hedge.')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [name for name in run.stdout.split() if name.startswith("hedge.hmatrix.")]
    assert len(loaded) < 0.5 * len(list(pkgutil.iter_modules(hedge.hmatrix.__path__)))
    assert "hedge.paper" not in run.stdout
