"""Checks and times contestants, in one process with a fixed number of threads."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from buffers import Buffers
from cases import TOLERANCE
from contestant import Contestant

# Gradients of the steps of the check, as factors of the first. They grow: see jax_optax.py.
CHECK = (1.0, -1.25, 1.5, 2.0)
# Long enough for the clock and for caches to settle.
SAMPLE = 3e-4
FEWEST_ROUNDS = 7
# After how long at the latest it is known what a thread has taken.
TICK = 5e-3


@dataclass
class Timing:
    """What was measured of one contestant in one case."""

    case: str
    size: str
    threads: int
    contestant: str
    baseline: str
    seconds: tuple[float, float, float]  # per step: lower quartile, median, upper quartile
    ratio: tuple[float, float, float] | None  # its time over the baseline's in the same round
    rounds: int

    def as_dict(self) -> dict:
        return asdict(self)


def check(
    case: str,
    contestants: list[Contestant],
    buffers: Buffers,
    loss_scale: float = 1.0,
    tolerance: float = TOLERANCE,
):
    """Compares what some steps come to. The first contestant is the reference.

    State is compared where it is in the buffers, relative to its mean magnitude.
    """
    reference, scales = [], []
    for contestant in contestants:
        buffers.reset()
        contestant.reset()
        for factor in CHECK:
            buffers.set_grad(factor * loss_scale)
            contestant.run(1)
        state = [value for values in buffers.state.values() for value in values]
        result = contestant.result() if contestant.result else [*buffers.param, *state]
        if not reference:
            reference = [value.clone() for value in result]
            zeros = [torch.zeros(())] * len(result)
            starts = [*buffers.start, *zeros[len(buffers.start) :]]
            scales = [(r - s).abs().mean() for r, s in zip(reference, starts)]
        for a, b, scale in zip(result, reference, scales):
            distance = ((a - b).abs().max() / scale).item()
            if not distance <= tolerance:  # nor NaN
                raise RuntimeError(f"{case}: {contestant.name} is {distance:.1e} away")


def check_threads(contestants: list[Contestant], threads: int):
    """Nobody may use more processors than threads were asked for."""
    for contestant in contestants:
        settle()
        start, used = time.perf_counter(), time.process_time()
        while (passed := time.perf_counter() - start) < 0.05:
            contestant.run(1)
        used = time.process_time() - used
        if used > threads * passed + 2 * TICK:
            raise RuntimeError(f"{contestant.name} computes on more than {threads} threads")


def time_all(
    case: str,
    size: str,
    threads: int,
    contestants: list[Contestant],
    reset: Callable[[], None],
    seconds: float,
    prepare: Callable[[], None] | None = None,
) -> list[Timing]:
    """Rounds in which each contestant is timed once, in an order that rotates.

    `reset` goes before a round. With `prepare`, a sample is one step, and that goes before it.
    """

    def reset_all():
        reset()
        for contestant in contestants:
            contestant.reset()

    reset_all()
    repeats = [1 if prepare else _repeats(contestant) for contestant in contestants]
    samples = [[] for _ in contestants]
    large = all(repeat == 1 for repeat in repeats)
    gc.collect()
    gc.disable()
    begin = time.perf_counter()
    while len(samples[0]) < FEWEST_ROUNDS or time.perf_counter() - begin < seconds:
        # The state of many steps of one gradient may become special; that of a few large ones not.
        if not large:
            reset_all()
        turn = len(samples[0])
        for i in range(len(contestants)):
            i = (i + turn) % len(contestants)
            settle()
            if prepare:
                prepare()
                settle()
            elif not large:
                contestants[i].run(1)  # its code and its data are near
            start = time.perf_counter()
            contestants[i].run(repeats[i])
            samples[i].append((time.perf_counter() - start) / repeats[i])
    gc.enable()

    timings = []
    names = [contestant.name for contestant in contestants]
    for contestant, mine in zip(contestants, samples):
        ratio = None
        if contestant.baseline in names:
            base = samples[names.index(contestant.baseline)]
            ratio = quartiles([a / b for a, b in zip(mine, base)])
        of = contestant.name, contestant.baseline, quartiles(mine), ratio, len(mine)
        timings.append(Timing(case, size, threads, *of))
    return timings


def settle():
    """Waits until no thread of this process is busy: OpenMP's spin for a while after a loop.

    Where the other processors are busy, a thread that spins may wait for its turn in the meantime,
    and disturb later.
    """
    while True:
        before = time.process_time()
        time.sleep(TICK)
        if time.process_time() - before < 3e-4:
            return


def quartiles(values: list[float]) -> tuple[float, float, float]:
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def _repeats(contestant: Contestant) -> int:
    """How many steps are long enough. The shortest of some times: one may be interrupted."""

    def duration(steps: int) -> float:
        start = time.perf_counter()
        contestant.run(steps)
        return time.perf_counter() - start

    contestant.run(1)
    repeats = 1
    while duration(repeats) < SAMPLE or min(duration(repeats) for _ in range(5)) < SAMPLE:
        repeats *= 2
    return repeats
