"""The equations of Navier and Stokes for an incompressible flow in the plane, of density one."""

from __future__ import annotations

from collections.abc import Mapping

from hedge.problems.equations import Field

FLOW = ("u", "v", "p")  # velocities along x and y, and pressure
STEADY = (
    "u", "v", "u_x", "u_y", "v_x", "v_y", "p_x", "p_y", "u_xx", "u_yy", "v_xx", "v_yy",
)  # fmt: skip
UNSTEADY = (*STEADY, "u_t", "v_t")


def navier_stokes(
    d: Mapping[str, Field], viscosity: Field, weight: Field = 1.0
) -> tuple[Field, Field, Field]:
    """What is left of the forces along x and y, times ``weight``, and of the divergence, each (n,).

    w_t + u w_x + v w_y + p_x − ν Δw for w = u, the same along y for v, and u_x + v_y; without w_t where
    ``d`` has none. The equations weigh more or less against each other by the ``weight`` of the forces.
    """
    along_x = weight * _force(d, "u", "p_x", viscosity)
    along_y = weight * _force(d, "v", "p_y", viscosity)
    return along_x, along_y, d["u_x"] + d["v_y"]


def _force(d: Mapping[str, Field], w: str, pressure: str, viscosity: Field) -> Field:
    carried = d["u"] * d[f"{w}_x"]
    if f"{w}_t" in d:
        carried = d[f"{w}_t"] + carried
    return carried + d["v"] * d[f"{w}_y"] + d[pressure] - viscosity * (d[f"{w}_xx"] + d[f"{w}_yy"])
