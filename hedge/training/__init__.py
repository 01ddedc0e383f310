"""Training PINNs: Taylor-mode derivatives, second-order methods, points that follow the residual.

And operators: the energy of random sources, by preconditioned conjugate gradients. Also the import of
networks that torch trained elsewhere.

Needs the ``train`` extra (torch).
"""

from __future__ import annotations

from hedge.training.checkpoint import checkpoint_bytes, load_checkpoint, save_checkpoint
from hedge.training.checkpoint_file import Checkpointer
from hedge.training.from_mdlus import mdlus_to_onnx
from hedge.training.from_module import module_to_onnx
from hedge.training.from_state_dict import state_dict_to_onnx
from hedge.training.growth import grown, localized_errors
from hedge.training.marching import check_exportable, train
from hedge.training.mdlus_file import read_mdlus
from hedge.training.operator_checkpoint import load_operator_checkpoint, operator_checkpoint_bytes
from hedge.training.operator_network import OperatorNetwork, operator_network_to_onnx
from hedge.training.operator_training import (
    DivergenceError,
    OperatorResult,
    OperatorState,
    operator_to_onnx,
    train_operator,
)
from hedge.training.resuming import resumed
from hedge.training.run import NetworkRecord, Record, TrainingResult, TrainingRun
from hedge.training.state_file import read_state_dict
from hedge.training.to_onnx import network_to_onnx, result_to_onnx
from hedge.training.trainer import State, initial_state, solution
from hedge.training.worst import WorstBoxes, worst_boxes

__all__ = [
    "Checkpointer", "DivergenceError", "NetworkRecord", "OperatorNetwork", "OperatorResult",
    "OperatorState", "Record", "State", "TrainingResult", "TrainingRun", "WorstBoxes",
    "check_exportable", "checkpoint_bytes", "grown", "initial_state", "load_checkpoint",
    "load_operator_checkpoint", "localized_errors", "mdlus_to_onnx", "module_to_onnx", "network_to_onnx",
    "operator_checkpoint_bytes", "operator_network_to_onnx", "operator_to_onnx",
    "read_mdlus", "read_state_dict", "result_to_onnx", "resumed", "save_checkpoint", "solution",
    "state_dict_to_onnx", "train", "train_operator", "worst_boxes",
]  # fmt: skip
