#!/usr/bin/env python3
"""Compares gradstep with PyTorch, DeepSpeed, Optax and C loops on this machine's processor.

Called by run.sh, which installs what it needs. Each library has a process of its own for each number of threads, in
which it and gradstep take turns, so that what else the machine does meets them alike. Every contestant's results are
compared with gradstep's before it is timed. At the end there are tables, and which of the aims are reached.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cases

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "record"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares gradstep with its peers on the CPU.")
    several = {"type": lambda text: text.split(",")}
    names = {
        "threads": ["1", "2"],
        "sizes": [size.key for size in (cases.SMALL, cases.MIDDLE, cases.LARGE)],
        "peers": cases.PEERS,
    }
    for name, default in names.items():
        parser.add_argument(
            f"--{name}", **several, default=default, help=f"default: {','.join(default)}"
        )
    parser.add_argument("--rule", default="", help="only rules whose names contain this")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for each rule and size, if 7 rounds are less"
    )
    parser.add_argument(
        "--quick", action="store_true", help="4 M parameters in place of 40 M, and short"
    )
    parser.add_argument(
        "--c-source",
        type=Path,
        default=HERE.parent / "naive.c",
        help="a C file with functions like those of benches/naive.c, which is the default",
    )
    parser.add_argument(
        "--avx2", action="store_true", help="as on a machine without AVX-512; not for DeepSpeed"
    )
    parser.add_argument("--record", action="store_true", help="write to benches/record")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    if options.worker:
        import worker

        worker.main(options)
        return
    options.load = os.getloadavg()[0]
    if options.avx2:
        os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
        os.environ["XLA_FLAGS"] = "--xla_cpu_max_isa=AVX2"
    timings = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "timings.json"
        for threads, process in itertools.product(options.threads, cases.PROCESSES):
            peers = [peer for peer in process if peer in options.peers]
            if not peers:
                continue
            of = ["--threads", threads, "--peers", ",".join(peers), "--worker", output]
            command = [sys.executable, __file__, *sys.argv[1:], *of]
            subprocess.run(command, env=environment(threads), check=True)
            timings += json.loads(output.read_text())
    import report

    report.show(timings, options, RECORD if options.record else None)


def environment(threads: str) -> dict[str, str]:
    """What keeps OpenMP, MKL and XLA to a number of threads, read when they are loaded."""
    eigen = "true" if int(threads) > 1 else "false"
    return os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "NPROC": threads,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={eigen}",
        "JAX_PLATFORMS": "cpu",
        "DS_ACCELERATOR": "cpu",
    }


if __name__ == "__main__":
    main()
