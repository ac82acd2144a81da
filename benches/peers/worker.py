"""The process of some peers and one number of threads: all cases, in turn."""

import argparse
import json
import sys
import time

import torch

import cases
import measure
import pytorch
from buffers import Buffers
from native import Library
from whole_steps import WHOLE_STEPS


def main(options: argparse.Namespace):
    (threads,) = map(int, options.threads)
    torch.set_num_threads(threads)
    library = Library(options.c_source, options.avx2)
    sizes = cases.sizes(options.sizes, options.quick)
    timings = []
    for size in sizes:
        for rule in cases.RULES:
            if options.rule in rule.name:
                timings += measure_rule(library, rule, size, threads, options)
    for case in WHOLE_STEPS:
        for size in sizes:
            wanted = options.rule in case.name and cases.TORCH in options.peers
            if wanted and size.key == cases.LARGE.key:
                timings += measure_whole_step(library, case, size, threads, options)
    options.worker.write_text(json.dumps([timing.as_dict() for timing in timings]))


def measure_rule(library, rule, size, threads, options) -> list[measure.Timing]:
    buffers = Buffers(size, rule.state)
    peers = {cases.TORCH: pytorch.optimizer, cases.TORCH_FUNCTION: pytorch.function}
    peers[cases.DEEPSPEED] = pytorch.deepspeed
    if cases.OPTAX in options.peers:
        import jax_optax

        peers[cases.OPTAX] = jax_optax.optimizer
    ours = [library.from_python(rule, buffers, threads)]
    if cases.NAIVE in options.peers and threads == 1:
        ours.append(library.from_c(rule, buffers))
        peers[cases.NAIVE] = library.c_loop
    made = [make(rule, buffers) for name, make in peers.items() if name in options.peers]
    contestants = ours + [contestant for contestant in made if contestant]
    if len(contestants) == 1:
        return []
    say(threads, size, contestants, rule)
    measure.check(rule.name, contestants, buffers)
    measure.check_threads(contestants, threads)
    of = rule.name, size.name, threads, contestants, buffers.reset
    return measure.time_all(*of, options.seconds)


def measure_whole_step(library, case, size, threads, options) -> list[measure.Timing]:
    buffers = Buffers(size, cases.MOMENTS)
    contestants = [case.gradstep(library, buffers, threads)]
    contestants.append(case.torch(buffers))
    say(threads, size, contestants, case)
    measure.check(case.name, contestants, buffers, case.loss_scale, case.tolerance)
    measure.check_threads(contestants, threads)

    def prepare():  # the step leaves zeros
        buffers.set_grad(case.loss_scale)

    of = case.name, size.name, threads, contestants, buffers.reset
    return measure.time_all(*of, options.seconds, prepare)


def say(threads, size, contestants, case):
    who = ", ".join(contestant.name for contestant in contestants)
    print(
        f"{time.strftime('%H:%M:%S')} {threads} threads, {size.name}, {case.name}: {who}",
        file=sys.stderr,
        flush=True,
    )
