"""Tables, a plot, and which of the aims are reached."""

import argparse
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import torch

import cases
import native

INTRODUCTION = (
    "Microseconds of a step of gradstep's, called from Python and from C, and the times of the "
    "others over it: medians of ratios within a round, and their quartiles. The C loop is called "
    "from C, and compared with that."
)
# Of Okabe and Ito, whom the colour-blind can tell apart.
LOOKS = {
    cases.TORCH: ("#D55E00", "o"),
    cases.TORCH_FUNCTION: ("#E69F00", "^"),
    cases.DEEPSPEED: ("#009E73", "s"),
    cases.OPTAX: ("#0072B2", "D"),
    cases.NAIVE: ("#000000", "x"),
}


def show(timings: list[dict], options: argparse.Namespace, folder: Path | None):
    """Prints everything, and writes it to `folder` if that is given."""
    cpu = processor()
    instructions = native.instructions(options.avx2)
    head = provenance(cpu, instructions, options)
    text = "\n".join([*head, "", *tables(timings), *aims(timings, options)])
    print(text)
    if folder:
        name = re.sub(r"[^a-z0-9]+", "-", f"peers {cpu.lower()}").strip("-") + f"-{instructions}"
        (folder / f"{name}.md").write_text(f"{text}\n\n![ratios]({name}.svg)\n")
        plot(timings, folder / f"{name}.svg")


def processor() -> str:
    """As in the other records: in a virtual machine the name may say little, the numbers do."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(.*?)\s*: (.*)$", info, re.MULTILINE))
    name = fields.get("model name", platform.machine())
    if {"cpu family", "model"} <= fields.keys():
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name


def provenance(cpu: str, instructions: str, options: argparse.Namespace) -> list[str]:
    packages = ["torch", "deepspeed", "optax", "jax", "numpy"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    compiler = subprocess.check_output(["cc", "--version"], text=True)
    load = f"load {options.load:.1f} on {os.cpu_count()} processors before"
    torch_instructions = torch.backends.cpu.get_cpu_capability().lower()
    flags = " ".join(native.c_flags(options.avx2))
    others = ", DeepSpeed with what the processor has" if options.avx2 else ""
    return [
        f"- gradstep with {instructions}, PyTorch with {torch_instructions}{others}",
        f"- {cpu}, {datetime.date.today().isoformat()}, {load}",
        f"- Python {platform.python_version()}, {', '.join(versions)}",
        f"- {compiler.splitlines()[0]}, {flags}: {options.c_source.name}",
    ]


def tables(timings: list[dict]) -> list[str]:
    lines = [INTRODUCTION, ""]
    for threads, size in unique(timings, "threads", "size"):
        these = [t for t in timings if (t["threads"], t["size"]) == (threads, size)]
        present = {t["contestant"] for t in these}
        ours = [name for name in (cases.GRADSTEP, cases.GRADSTEP_C) if name in present]
        peers = [name for name in cases.PEERS if name in present]
        heads = [*(f"{name}, µs" for name in ours), *peers]
        lines += [f"**{size}, {plural(threads)}**", "", row(["", *heads])]
        lines += ["|---|" + "--:|" * len(heads)]
        for (case,) in unique(these, "case"):
            # gradstep is in each process: the first is taken.
            of = {t["contestant"]: t for t in reversed(these) if t["case"] == case}
            cells = [microseconds(of.get(name)) for name in ours]
            cells += [ratio(of.get(name)) for name in peers]
            lines.append(row([case, *cells]))
        lines.append("")
    return lines


def aims(timings: list[dict], options: argparse.Namespace) -> list[str]:
    lines = ["Aims, on one thread", "", row(["peer", "size", "at least", "measured", ""])]
    lines.append("|---|---|--:|--:|---|")
    for aim in cases.AIMS:
        (size,) = cases.sizes([aim.size.key], options.quick)
        ratios = {
            t["case"]: t["ratio"][1]
            for t in timings
            if t["threads"] == 1
            and (t["contestant"], t["size"]) == (aim.peer, size.name)
            and t["case"] in aim.rules
            and t["ratio"]
        }
        measured, answer = "not measured", ""
        if len(ratios) == len(aim.rules):
            least = min(ratios, key=ratios.get)
            measured = f"{ratios[least]:.2f}"
            if len(ratios) > 1:
                measured += f" ({least})"
            answer = "yes" if ratios[least] >= aim.wanted else "no"
        lines.append(row([aim.text, size.name, f"{aim.wanted:g}", measured, answer]))
    return lines


def plot(timings: list[dict], file: Path):
    """A row for each case, a panel for each size, on one thread."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "gradstep", "font.size": 9}
    single = [t for t in timings if t["threads"] == 1 and t["ratio"]]
    sizes = [size for (size,) in unique(single, "size")]
    names = [case for (case,) in unique(single, "case")][::-1]
    figure, panels = plt.subplots(1, len(sizes), sharey=True, figsize=(10, 4.5), squeeze=False)
    for panel, size in zip(panels[0], sizes):
        for peer, (color, marker) in LOOKS.items():
            these = [t for t in single if (t["size"], t["contestant"]) == (size, peer)]
            x, y = [t["ratio"][1] for t in these], [names.index(t["case"]) for t in these]
            low = [t["ratio"][1] - t["ratio"][0] for t in these]
            high = [t["ratio"][2] - t["ratio"][1] for t in these]
            panel.errorbar(x, y, xerr=[low, high], fmt=marker, color=color, ms=5, lw=1, label=peer)
        panel.axvline(1, color="gray", lw=0.8)
        panel.set(title=size, xscale="log", yticks=range(len(names)), yticklabels=names)
        panel.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        panel.grid(axis="x", lw=0.3)
    figure.supxlabel("time over gradstep's, one thread")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(file, metadata={"Date": None})


def unique(timings: list[dict], *names: str) -> list[tuple]:
    return list(dict.fromkeys(tuple(t[name] for name in names) for t in timings))


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plural(threads: int) -> str:
    return f"{threads} thread" + "s" * (threads > 1)


def microseconds(timing: dict | None) -> str:
    return f"{timing['seconds'][1] * 1e6:,.3g}" if timing else ""


def ratio(timing: dict | None) -> str:
    if not timing:
        return ""
    if not timing["ratio"]:
        return f"({microseconds(timing)} µs)"
    low, middle, high = timing["ratio"]
    return f"{middle:.3g} ({low:.3g}, {high:.3g})"
