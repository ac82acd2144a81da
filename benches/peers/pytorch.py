"""PyTorch and DeepSpeed: the optimizers as they are used, and the functions below them."""

import torch
from torch.optim.adadelta import adadelta
from torch.optim.rmsprop import rmsprop

import cases
from buffers import Buffers
from cases import Rule
from contestant import Contestant, each


def keywords(rule: Rule) -> dict:
    """The hyperparameters, as the constructor of an optimizer takes them."""
    hyper = dict(rule.hyper)
    for flag in ("nesterov", "centered", "amsgrad"):
        if flag in hyper:
            hyper[flag] = bool(hyper[flag])
    if "beta1" in hyper:
        hyper["betas"] = (hyper.pop("beta1"), hyper.pop("beta2"))
    return hyper


def optimizer(rule: Rule, buffers: Buffers) -> Contestant:
    """The class in torch.optim, with fused=True where it has that, else foreach=True."""
    how = "fused" if rule.fused else "foreach"
    optimizer = getattr(torch.optim, rule.torch)(
        buffers.parameters(), **keywords(rule), **{how: True}
    )
    steps = use_state(optimizer, buffers, lambda: torch.tensor(0.0))

    def reset():
        for step in steps:
            step.zero_()

    return Contestant(cases.TORCH, each(optimizer.step), reset)


def use_state(optimizer: torch.optim.Optimizer, buffers: Buffers, new_step) -> list:
    """Has the optimizer work on the buffers' state, at step 0; gives its step counts."""
    (group,) = optimizer.param_groups
    for i, parameter in enumerate(group["params"]):
        state = {name: tensors[i] for name, tensors in buffers.state.items()}
        optimizer.state[parameter] = {"step": new_step()} | state
    return [optimizer.state[parameter]["step"] for parameter in group["params"]]


def function(rule: Rule, buffers: Buffers) -> Contestant:
    """What the optimizer comes down to: a function of lists of tensors."""
    count = torch.tensor(0.0)
    state = [buffers.state[name] for name in rule.state]
    counts = [count] * len(buffers.param)
    options = keywords(rule)
    options.pop("betas", None)
    options = {"weight_decay": 0.0, "maximize": False} | rule.hyper | options
    if rule.torch == "SGD":
        call, lists = torch._fused_sgd_, state or [[]]
        defaults = {"momentum": 0.0, "nesterov": False, "dampening": 0.0, "is_first_step": False}
    elif rule.torch == "Adagrad":
        call, lists = torch._fused_adagrad_, [*state, counts]
        defaults = {"lr_decay": 0.0}
    elif rule.torch == "RMSprop":
        call, lists = rmsprop, [*state, *[[]] * (3 - len(state)), counts]
        defaults = {"centered": False, "momentum": 0.0, "foreach": True}
    elif rule.torch == "Adadelta":
        call, lists = adadelta, [*state, counts]
        defaults = {"foreach": True}
    else:
        call = torch._fused_adamw_ if rule.torch == "AdamW" else torch._fused_adam_
        lists = [*state, *[[]] * (3 - len(state)), counts]
        defaults = {"amsgrad": False}
    options = defaults | options

    @torch.no_grad()
    def run(steps: int):
        for _ in range(steps):
            count.add_(1)
            call(buffers.param, buffers.grad, *lists, **options)

    return Contestant(cases.TORCH_FUNCTION, run, count.zero_)


def deepspeed(rule: Rule, buffers: Buffers) -> Contestant | None:
    """DeepSpeedCPUAdam, which has Adam and AdamW."""
    if not rule.deepspeed:
        return None
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    decoupled = rule.torch == "AdamW"
    optimizer = DeepSpeedCPUAdam(buffers.parameters(), **keywords(rule), adamw_mode=decoupled)
    use_state(optimizer, buffers, int)

    def reset():
        for state in optimizer.state.values():
            state["step"] = 0

    return Contestant(cases.DEEPSPEED, each(optimizer.step), reset)
