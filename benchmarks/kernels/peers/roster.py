"""The names of all who are timed, what they can compute, and in which process they live."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.kernels.grid import VARIANTS, Case

__all__ = ["OURS", "PEERS", "Peer"]


class Peer(NamedTuple):
    """One line of the roster."""

    host: str
    """The library, and the kind of process it needs."""
    prepare: str
    """Module of this package, and function if it is not `prepare`."""
    variants: tuple[str, ...] = VARIANTS
    keeps_steps: bool = False
    """Whether a general autograd keeps every step's values for the gradient, so that memory may run out."""

    def computes(self, case: Case) -> bool:
        return case.variant in self.variants


OURS = "recurra"
PEERS = {
    OURS: Peer("recurra", "ours"),
    "torch.nn": Peer("torch", "torch_nn:dense", tuple(v for v in VARIANTS if v != "recurrent_dropout")),
    "torch.nn packed": Peer("torch", "torch_nn:packed", ("lengths",)),
    "torch cell loop": Peer("torch", "torch_nn:cell_loop", ("recurrent_dropout",), keeps_steps=True),
    "Keras TensorFlow": Peer("keras tensorflow", "keras_layer", keeps_steps=True),
    "Keras JAX": Peer("keras jax", "keras_layer", keeps_steps=True),
    "JAX scan": Peer("jax", "jax_scan", keeps_steps=True),
    "ONNX Runtime": Peer(
        "onnxruntime", "onnx_runtime", tuple(v for v in VARIANTS if v.startswith("forward"))
    ),
}
