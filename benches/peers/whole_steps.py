"""Whole steps: all that a training run does between the gradients and the next forward pass."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

import cases
import pytorch
from buffers import Buffers
from contestant import Contestant, each

LOSS_SCALE = 1024.0
MAX_NORM = 1.0
EMA_DECAY = 0.999


@dataclass(frozen=True)
class WholeStep:
    """One row. `gradstep` takes the library, the buffers and the threads."""

    name: str
    torch: Callable[[Buffers], Contestant]
    gradstep: Callable[..., Contestant]
    loss_scale: float = 1.0
    tolerance: float = cases.TOLERANCE


def _torch_adamw(buffers: Buffers) -> Contestant:
    return pytorch.optimizer(cases.ADAMW, buffers)


def _torch_sequence(buffers: Buffers) -> Contestant:
    """GradScaler, clip_grad_norm_, AdamW, a moving average, a bf16 copy, and zeros for gradients."""
    parameters = buffers.parameters()
    keywords = pytorch.keywords(cases.ADAMW)
    optimizer = torch.optim.AdamW(parameters, **keywords, fused=True)
    counts = pytorch.use_state(optimizer, buffers, lambda: torch.tensor(0.0))
    scaler = torch.amp.GradScaler("cpu", init_scale=LOSS_SCALE, growth_interval=2**30)
    scaler.scale(torch.ones(()))  # makes its tensors
    averages = [value.clone() for value in buffers.start]
    halves = [value.bfloat16() for value in buffers.start]

    @torch.no_grad()
    def step():
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM, foreach=True)
        scaler.step(optimizer)
        scaler.update()
        torch._foreach_lerp_(averages, buffers.param, 1 - EMA_DECAY)
        torch._foreach_copy_(halves, buffers.param)
        optimizer.zero_grad(set_to_none=False)

    @torch.no_grad()
    def reset():
        torch._foreach_zero_(counts)
        torch._foreach_copy_(averages, buffers.start)

    return Contestant(cases.TORCH, each(step), reset, lambda: [*buffers.param, *averages])


def _state(format: str):
    return lambda library, *rest: library.fused_adamw(cases.ADAMW, *rest, format)


def _whole(library, *rest) -> Contestant:
    return library.whole_step(cases.ADAMW, *rest, LOSS_SCALE, MAX_NORM)


# PyTorch sums the squares of 40 million numbers in binary32: its norm is off by up to 1.3e-3 of
# itself, by another share in each step, and so are the steps that it clips.
INEXACT_NORM = 5e-3
# Stochastic rounding is another step by intention: its mean is that of the exact one. What a step of
# AdamW's may differ by is bounded by the learning rate.
ROUNDED = 1e-1

WHOLE_STEPS = [
    WholeStep(cases.BF16_STATE, _torch_adamw, _state("bf16"), tolerance=ROUNDED),
    WholeStep(cases.EIGHT_BIT_STATE, _torch_adamw, _state("8bit"), tolerance=ROUNDED),
    WholeStep(cases.WHOLE, _torch_sequence, _whole, LOSS_SCALE, INEXACT_NORM),
]
