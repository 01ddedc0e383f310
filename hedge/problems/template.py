"""A problem of my own: a plate on springs, under a load, held on its edges.

    hedge train my_problem.py:plate --width 16 --depth 2 --steps 500 --out plate.onnx
    hedge evaluate plate.onnx --problem my_problem.py:plate
    hedge compress plate.onnx --problem my_problem.py:plate --tolerance 1e-2 --out plate.small.onnx
    hedge certify plate.small.onnx --problem my_problem.py:plate

Every one of these runs this file.
"""

import numpy as np

from hedge.problems import Domain, Problem

PI = 3.141592653589793
SPRINGS = 10.0
LOAD = 2.0 * PI**2 + SPRINGS

plate = Problem(
    # What model files call it; no other problem in `hedge problems` may have that name.
    name="plate",
    title="A plate on springs, x and y in [0, 1]",
    # A letter for each input, and the interval that it is from.
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    # What the residual reads: u, u_x, u_xy, ... up to fourth derivatives.
    derivatives=("u", "u_xx", "u_yy"),
    # What is zero for a solution: x[0] is x, x[1] is y; of functions there are math.sin, cos, exp, log.
    residual=lambda x, d, math: (
        d["u_xx"] + d["u_yy"] - SPRINGS * d["u"] + LOAD * math.sin(PI * x[0]) * math.sin(PI * x[1])
    ),
    # u = offset + distance * network: the distance is 0 where u is given, and the offset has the values
    # there. Here u is 0 on all edges.
    offset=None,
    distance=lambda x, math: 16.0 * x[0] * (1.0 - x[0]) * x[1] * (1.0 - x[1]),
    # Points (n, 2) to the solution (n, 1), if you know it, for the errors that are told; else leave it out.
    reference=lambda points: np.prod(np.sin(PI * points), axis=1, keepdims=True),
)
