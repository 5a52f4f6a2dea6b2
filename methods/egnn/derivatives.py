"""Derivatives of the network: which ones the fast paths give, and the context in which it has all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ...benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ...benchmark.interface.structures import Structures
from ...errors import AmsbenchError

_differentiable: ContextVar[bool] = ContextVar("differentiable", default=False)


@contextmanager
def differentiable() -> Iterator[None]:
    """Evaluate networks in this thread with differentiable torch operations, for derivatives of any kind and order.

    Inside, ``EGNN`` and ``FlexibleDenoiser`` have derivatives with respect to all of their inputs and parameters, in
    forward mode (``torch.func.jvp``) and reverse mode, and higher derivatives by any composition of the two. Network
    evaluations have to lie inside; a later ``backward()`` need not.

    Outside, the fast paths give first derivatives by reverse mode, with respect to node features and parameters;
    any other derivative raises ``AmsbenchError``. An evaluation inside takes six to seven times as long as by the
    native kernel, a directional derivative 24 to 27 times (docs/speed.md).
    """
    token = _differentiable.set(True)
    try:
        yield
    finally:
        _differentiable.reset(token)


def is_differentiable() -> bool:
    """Whether this thread is inside ``differentiable``."""
    return _differentiable.get()


def _refusal(derivative: str) -> AmsbenchError:
    return AmsbenchError(
        f"the fast paths of the network have no {derivative}; evaluate the network inside "
        "'with differentiable():' (from amsbench.benchmark import differentiable)"
    )


def refuse_transforms() -> None:
    """Raise AmsbenchError inside a transform of ``torch.func`` (jvp, grad, vmap), which the kernels cannot follow."""
    if torch._C._are_functorch_transforms_active():
        raise _refusal("derivatives by torch.func (jvp, grad, vmap)")


class ReverseModeFunction(torch.autograd.Function):
    """Base class of functions without forward-mode derivatives; raises AmsbenchError instead."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise _refusal("forward-mode derivatives")


def first_derivatives_only(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Decorate ``backward``: a derivative of its results raises AmsbenchError.

    The function has to have saved all of its differentiable inputs with ``ctx.save_for_backward``.
    """

    # torch's once_differentiable refuses derivatives with respect to the incoming gradients alone: those with respect
    # to the saved inputs, such as the second derivative of a sum of outputs, it drops without an error
    @wraps(backward)
    def refusing(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        with torch.no_grad():
            results = backward(ctx, *grads)
        if not torch.is_grad_enabled():
            return results
        places = [k for k, result in enumerate(results) if result is not None]
        inputs = [*(results[k] for k in places), *ctx.saved_tensors, *(g for g in grads if g is not None)]
        connected = _NoSecondDerivative.apply(len(places), *inputs)
        refused = list(results)
        for k, result in zip(places, connected, strict=True):
            refused[k] = result
        return tuple(refused)

    return refusing


class _NoSecondDerivative(ReverseModeFunction):
    """The first ``count`` tensors, which depend on all the others in a way that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise _refusal("second derivatives")


def without_position_gradient(positions: Tensor) -> Tensor:
    """The same positions [n, 3]; a gradient with respect to them raises AmsbenchError.

    The fast paths take distances, radial basis and cutoff function of the edges as constants, and would return a
    gradient that lacks their part.
    """
    if positions.requires_grad and torch.is_grad_enabled():
        return _NoPositionGradient.apply(positions)
    return positions


class _NoPositionGradient(ReverseModeFunction):
    @staticmethod
    def forward(ctx: Any, positions: Tensor) -> Tensor:
        return positions.view_as(positions)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise _refusal("derivatives with respect to positions")


class LayerNorm(torch.nn.LayerNorm):
    """Layer normalisation over the last dimension, of elementary operations inside ``differentiable``."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., c] -> [..., c]."""
        if not is_differentiable():
            return super().forward(x)
        return torch.addcmul(self.bias, normalised(x, self.eps), self.weight)


def normalised(x: Tensor, eps: float = 1e-5) -> Tensor:
    """x [..., c] with mean 0 and variance 1 over the last dimension, for derivatives of any order."""
    # torch.nn.functional.layer_norm drops terms in nested forward mode and in third derivatives (torch 2.13)
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)


def refuse_cell_derivatives(vectors: Tensor) -> None:
    """Raise AmsbenchError if lattice vectors or periodic shifts [..., 3] carry a derivative, which the fast paths and
    their neighbour search would drop."""
    reverse = vectors.requires_grad and torch.is_grad_enabled()
    if reverse or forward_ad.unpack_dual(vectors).tangent is not None:
        raise _refusal("derivatives with respect to cells")


def differentiable_neighbour_graph(structures: Structures, cutoff: float) -> Graph:
    """``neighbour_graph`` with shifts that have derivatives with respect to the cells, also inside ``torch.func``."""
    receivers, senders, images = _NeighbourImages.apply(
        structures.positions, structures.cells, structures.counts, structures, cutoff
    )
    cells = structures.cells[structures.batch[receivers]]
    return Graph(receivers=receivers, senders=senders, shifts=torch.einsum("ei,eij->ej", images, cells))


class _NeighbourImages(torch.autograd.Function):
    """Receivers [e], senders [e] and the periodic images of the senders [e, 3]: whole numbers without derivatives."""

    # a function, because its forward gets plain tensors, as the neighbour search needs them, where a transform of
    # torch.func has wrapped them
    @staticmethod
    def forward(
        positions: Tensor, cells: Tensor, counts: Tensor, structures: Structures, cutoff: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        graph = neighbour_graph(replace(structures, positions=positions, cells=cells, counts=counts), cutoff)
        inverse = torch.linalg.inv(cells)[structures.batch[graph.receivers]]
        images = torch.einsum("ei,eij->ej", graph.shifts.to(cells.dtype), inverse).round()
        return graph.receivers, graph.senders, images

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, ...]:
        return (None,) * 5

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[None, ...]:
        return (None,) * 3
