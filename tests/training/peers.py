"""Makes real models with DeepXDE and PINA: ``python peers.py deepxde FOLDER tanh pina FOLDER silu``.

Run in a process of its own, since both change global settings (backend, warnings) when imported. Into
each FOLDER go the checkpoints, ``points.npy`` and ``outputs.npy``, what the tool itself predicts there.
``page FOLDER FILE`` runs a file in the same process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

ACTIVATIONS = {"tanh": "Tanh", "silu": "SiLU"}


def points() -> np.ndarray:
    return np.random.default_rng(5).uniform([-1.0, 0.0], [1.0, 1.0], (500, 2)).astype(np.float32)


def save_reference(folder: Path, outputs: np.ndarray) -> None:
    np.save(folder / "points.npy", points())
    np.save(folder / "outputs.npy", outputs)


def deepxde(folder: Path, activation: str) -> None:
    """The heat equation, a few steps of Adam, saved by ``Model.save``; a module with transforms."""
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde
    import torch

    import hedge

    dde.config.set_random_seed(0)
    rod = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))

    def residual(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - dde.grad.hessian(u, x, i=0, j=0)

    start = dde.icbc.IC(rod, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, initial: initial)
    data = dde.data.TimePDE(rod, residual, [start], num_domain=64, num_initial=32)
    net = dde.nn.FNN([2, 24, 24, 24, 1], activation, "Glorot normal")
    model = dde.Model(data, net)
    model.compile("adam", lr=1e-3)
    model.train(iterations=20, verbose=0)
    saved = model.save(str(folder / "model"))
    Path(saved).rename(folder / "checkpoint.pt")
    save_reference(folder, model.predict(points()))

    net.apply_feature_transform(lambda x: torch.cat([torch.sin(torch.pi * x[:, :1]), x[:, 1:]], 1))
    net.apply_output_transform(lambda x, u: (1 - x[:, 0:1] ** 2) * u)
    np.save(folder / "transformed.npy", model.predict(points()))
    hedge.import_model(net, folder / "transformed.onnx", inputs=2)

    parallel = dde.nn.PFNN([2, [8, 8], [8, 8], 2], activation, "Glorot normal")
    torch.save(parallel.state_dict(), folder / "parallel.pt")
    hedge.import_model(parallel, folder / "parallel.onnx", inputs=2)
    np.save(folder / "parallel.npy", parallel(torch.tensor(points())).detach().numpy())


def pina(folder: Path, activation: str) -> None:
    """A Poisson problem, a few epochs by the Trainer, saved as checkpoint and as state dicts."""
    import torch
    from pina import Condition, LabelTensor, Trainer
    from pina.domain import CartesianDomain
    from pina.equation import Equation
    from pina.equation.zoo import FixedValue
    from pina.model import FeedForward, ResidualFeedForward
    from pina.operator import laplacian
    from pina.problem import SpatialProblem
    from pina.solver import PhysicsInformedSingleModelSolver

    import hedge

    torch.manual_seed(0)

    def residual(x, u):
        return laplacian(u, x) - torch.sin(torch.pi * x.extract(["x"]))

    class Poisson(SpatialProblem):
        output_variables = ["u"]  # noqa: RUF012
        spatial_domain = CartesianDomain({"x": [-1, 1], "y": [0, 1]})
        domains = {  # noqa: RUF012
            "inside": spatial_domain,
            "edge": CartesianDomain({"x": -1, "y": [0, 1]}),
        }
        conditions = {  # noqa: RUF012
            "inside": Condition(domain="inside", equation=Equation(residual)),
            "edge": Condition(domain="edge", equation=FixedValue(0.0)),
        }

    problem = Poisson()
    problem.discretise_domain(32, "random", domains=["inside", "edge"])
    net = FeedForward(2, 1, layers=[24, 24, 24], func=getattr(torch.nn, ACTIVATIONS[activation]))
    solver = PhysicsInformedSingleModelSolver(problem, net)
    trainer = Trainer(
        solver, max_epochs=10, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=str(folder),
    )  # fmt: skip
    trainer.train()
    trainer.save_checkpoint(folder / "checkpoint.ckpt")
    torch.save(solver.state_dict(), folder / "solver.pt")
    torch.save(solver.model.state_dict(), folder / "net.pt")
    torch.save(solver.model, folder / "module.pt")
    labelled = LabelTensor(torch.tensor(points()), ["x", "y"])
    save_reference(folder, solver(labelled).detach().as_subclass(torch.Tensor).numpy())
    hedge.import_model(solver.model, folder / "module.onnx", inputs=2)

    residual_net = ResidualFeedForward(2, 1, inner_size=24, n_layers=3)
    torch.save(residual_net.state_dict(), folder / "residual.pt")
    hedge.import_model(residual_net, folder / "residual.onnx", inputs=2)
    np.save(folder / "residual.npy", residual_net(torch.tensor(points())).detach().numpy())


def page(folder: Path, code: str) -> None:
    """Runs the file of that name there, which holds what a page of the documentation shows."""
    os.chdir(folder)
    exec((folder / code).read_text(encoding="utf-8"), {})


if __name__ == "__main__":
    wanted = iter(sys.argv[1:])
    for what, folder, how in zip(wanted, wanted, wanted, strict=True):
        {"deepxde": deepxde, "pina": pina, "page": page}[what](Path(folder), how)
