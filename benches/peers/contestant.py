"""One that takes steps, on memory that it is given."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

import cases


@dataclass
class Contestant:
    """Someone who takes steps."""

    name: str
    run: Callable[[int], None]  # that many steps
    reset: Callable[[], None]  # the next step is the first
    result: Callable[[], list[torch.Tensor]] | None = None  # if it is not in the buffers
    baseline: str = cases.GRADSTEP  # whose time its own is divided by


def each(step: Callable[[], object]) -> Callable[[int], None]:
    """`run` of a contestant, of one step."""

    def run(steps: int):
        for _ in range(steps):
            step()

    return run
