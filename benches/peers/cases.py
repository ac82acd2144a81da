"""What is compared: the rules with their hyperparameters, the sizes, and the aims."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """One variant of a rule, with the same hyperparameters for everyone."""

    name: str
    gradstep: str  # the rule in the C ABI
    hyper: dict[str, float]  # by gradstep's names, which are PyTorch's; booleans as 0 and 1
    state: tuple[str, ...]  # the buffers, likewise
    torch: str  # the class in torch.optim
    fused: bool  # whether that has fused=True
    naive: str  # the function of a C file is naive_ and this
    scalars: tuple[str, ...]  # what it takes: hyperparameters, or Adam's `step`, `root`, `shrink`
    deepspeed: bool = False


SGD = {"lr": 0.1}
MOMENTUM = {"lr": 0.01, "momentum": 0.9}
RMSPROP = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}
ADAM = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
MOMENTS = ("exp_avg", "exp_avg_sq")
BIAS_CORRECTED = ("step", "root", "beta1", "beta2", "eps")

RULES = [
    Rule("SGD", "sgd", SGD, (), "SGD", True, "sgd", ("lr",)),
    Rule(
        name="momentum",
        gradstep="sgd",
        hyper=MOMENTUM,
        state=("momentum_buffer",),
        torch="SGD",
        fused=True,
        naive="momentum",
        scalars=("lr", "momentum"),
    ),
    Rule(
        name="Nesterov",
        gradstep="sgd",
        hyper=MOMENTUM | {"nesterov": 1},
        state=("momentum_buffer",),
        torch="SGD",
        fused=True,
        naive="nesterov",
        scalars=("lr", "momentum"),
    ),
    Rule(
        name="AdaGrad",
        gradstep="adagrad",
        hyper={"lr": 0.01, "eps": 1e-10},
        state=("sum",),
        torch="Adagrad",
        fused=True,
        naive="adagrad",
        scalars=("lr", "eps"),
    ),
    Rule(
        name="RMSProp",
        gradstep="rmsprop",
        hyper=RMSPROP,
        state=("square_avg",),
        torch="RMSprop",
        fused=False,
        naive="rmsprop",
        scalars=("lr", "alpha", "eps"),
    ),
    Rule(
        name="RMSProp, centered",
        gradstep="rmsprop",
        hyper=RMSPROP | {"centered": 1},
        state=("square_avg", "grad_avg"),
        torch="RMSprop",
        fused=False,
        naive="rmsprop_centered",
        scalars=("lr", "alpha", "eps"),
    ),
    Rule(
        name="AdaDelta",
        gradstep="adadelta",
        hyper={"lr": 1.0, "rho": 0.9, "eps": 1e-6},
        state=("square_avg", "acc_delta"),
        torch="Adadelta",
        fused=False,
        naive="adadelta",
        scalars=("lr", "rho", "eps"),
    ),
    Rule(
        name="Adam",
        gradstep="adam",
        hyper=ADAM,
        state=MOMENTS,
        torch="Adam",
        fused=True,
        naive="adam",
        scalars=BIAS_CORRECTED,
        deepspeed=True,
    ),
    Rule(
        name="AMSGrad",
        gradstep="adam",
        hyper=ADAM | {"amsgrad": 1},
        state=(*MOMENTS, "max_exp_avg_sq"),
        torch="Adam",
        fused=True,
        naive="amsgrad",
        scalars=BIAS_CORRECTED,
    ),
    Rule(
        name="AdamW",
        gradstep="adamw",
        hyper=ADAM | {"weight_decay": 0.01},
        state=MOMENTS,
        torch="AdamW",
        fused=True,
        naive="adamw",
        scalars=(*BIAS_CORRECTED, "shrink"),
        deepspeed=True,
    ),
]

ADAMW = RULES[-1]

# Whole steps: see whole_steps.py.
BF16_STATE = "AdamW, bf16 state"
EIGHT_BIT_STATE = "AdamW, 8-bit state"
WHOLE = "unscale, clip, AdamW, EMA, bf16 copy, zero"


@dataclass(frozen=True)
class Size:
    """A list of tensors."""

    key: str
    name: str
    shapes: tuple[tuple[int, ...], ...]


# Of a LeNet for MNIST, as in c_examples/mnist.
LENET = ((4, 1, 5, 5), (4,), (8, 4, 5, 5), (8,), (18, 128), (18,), (10, 18), (10,))

SMALL = Size("small", "3,424 in 8 tensors", LENET)
MIDDLE = Size("middle", "400 k", ((400_000,),))
LARGE = Size("large", "40 M", ((40_000_000,),))
QUICK_LARGE = Size("large", "4 M", ((4_000_000,),))


def sizes(keys: list[str], quick: bool) -> list[Size]:
    """The sizes of these keys; with `quick` the large one is less large."""
    large = QUICK_LARGE if quick else LARGE
    return [size for size in (SMALL, MIDDLE, large) if size.key in keys]


# The largest |difference of two results| / mean |movement of a parameter| after the steps of the
# check. The shortest movement, Adam's, is 1e-3, of which the roundings of parameters of 0.1 are
# 1e-5 a step; AdamW's weight decay is 1e-3 of it, so it would be missed.
TOLERANCE = 1e-4

# Who is measured, by their names in reports.
GRADSTEP = "gradstep"
GRADSTEP_C = "gradstep from C"
TORCH = "torch.optim"
TORCH_FUNCTION = "torch function"
DEEPSPEED = "DeepSpeed"
OPTAX = "Optax"
NAIVE = "C loop"

# Who shares a process. DeepSpeed, once imported, doubles what torch.optim's Python takes, and JAX is
# slower beside others: each is measured where it is quickest.
PROCESSES = [[TORCH, TORCH_FUNCTION, NAIVE], [DEEPSPEED], [OPTAX]]
PEERS = [peer for process in PROCESSES for peer in process]


@dataclass(frozen=True)
class Aim:
    """The least ratio peer / gradstep that each of some rules is to have, on one thread."""

    text: str
    wanted: float
    peer: str
    size: Size
    rules: list[str] = field(default_factory=lambda: [rule.name for rule in RULES])


def _aims():
    fused = ["AdamW", "momentum", "AdaGrad"]
    yield from (Aim(f"PyTorch fused {r}", 1.0, TORCH, LARGE, [r]) for r in fused)
    yield from (Aim(f"PyTorch fused {r}", 1.8, TORCH, MIDDLE, [r]) for r in fused)
    yield Aim("PyTorch foreach RMSprop", 6.0, TORCH, LARGE, ["RMSProp"])
    yield Aim("PyTorch foreach Adadelta", 10.0, TORCH, LARGE, ["AdaDelta"])
    yield Aim("every PyTorch optimizer", 25.0, TORCH, SMALL)
    yield from (
        Aim(
            f"PyTorch fused f32 AdamW, against gradstep's with {name}", wanted, TORCH, LARGE, [case]
        )
        for name, wanted, case in [
            ("bf16 state", 1.25, BF16_STATE),
            ("8-bit state", 1.5, EIGHT_BIT_STATE),
        ]
    )
    yield Aim(f"PyTorch's sequence: {WHOLE}", 1.4, TORCH, LARGE, [WHOLE])
    both = ["Adam", "AdamW"]
    yield Aim("DeepSpeed CPU Adam", 1.2, DEEPSPEED, MIDDLE, both)
    yield Aim("DeepSpeed CPU Adam", 1.0, DEEPSPEED, LARGE, both)


AIMS = list(_aims())
