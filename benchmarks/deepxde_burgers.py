"""DeepXDE's own Burgers example (examples/pinn_forward/Burgers.py), to be run in a process of its own."""

MODEL = """
import deepxde as dde, numpy as np
dde.config.set_random_seed(0)
box = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
def residual(x, u):
    u_x, u_t = dde.grad.jacobian(u, x, i=0, j=0), dde.grad.jacobian(u, x, i=0, j=1)
    return u_t + u * u_x - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)
conditions = [
    dde.icbc.DirichletBC(box, lambda x: 0, lambda _, on_boundary: on_boundary),
    dde.icbc.IC(box, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on_initial: on_initial),
]
data = dde.data.TimePDE(box, residual, conditions, num_domain=2540, num_boundary=80, num_initial=160)
model = dde.Model(data, dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal"))
"""
