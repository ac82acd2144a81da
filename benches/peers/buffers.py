"""The memory that is worked on: PyTorch's, shared by all but JAX, which owns its arrays."""

import torch

from cases import Size


class Buffers:
    """Parameters, gradients and state of a list of tensors, and what they begin with."""

    def __init__(self, size: Size, state: tuple[str, ...]):
        noise = torch.Generator().manual_seed(1)
        self.start = [_noise(shape, 0.1, noise) for shape in size.shapes]
        self.first_grad = [_noise(shape, 0.1, noise) for shape in size.shapes]
        self.param = [value.clone() for value in self.start]
        self.grad = [value.clone() for value in self.first_grad]
        self.state = {name: [torch.zeros_like(p) for p in self.param] for name in state}

    def reset(self):
        """All as it began."""
        for value, start in zip(self.param, self.start):
            value.copy_(start)
        self.set_grad(1.0)
        for buffers in self.state.values():
            for buffer in buffers:
                buffer.zero_()

    def set_grad(self, factor: float):
        """That many times the gradient that it began with."""
        for value, first in zip(self.grad, self.first_grad):
            torch.mul(first, factor, out=value)

    def parameters(self) -> list[torch.nn.Parameter]:
        """The parameters with their gradients, as an optimizer of PyTorch's takes them."""
        parameters = [torch.nn.Parameter(value) for value in self.param]
        for parameter, grad in zip(parameters, self.grad):
            parameter.grad = grad
        return parameters


def _noise(shape, scale: float, generator: torch.Generator) -> torch.Tensor:
    """From 0.5 to 1.5 times `scale` in magnitude, of either sign: no square of it is denormal."""
    value = torch.rand(shape, generator=generator).sub_(0.5)
    return value.add_(value.sign().mul_(0.5)).mul_(scale)
