#!/usr/bin/env python3
"""Golden traces: what PyTorch, optax, Keras and TensorFlow 1 really compute, for the rules of gradstep.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python generate.py            # writes inputs.txt and one <framework>.txt per framework beside this file

Every case runs the framework's own optimizer for 20 steps twice from the same f32 inputs: in float32 and in float64. A
test can then ask that gradstep's f32 is as close to the float64 run as the framework's own float32 is.

Before a case is written, a plain f64 loop over gradstep's fields (`reference`, below) must reproduce the float64 run,
parameters and state, to 1e-12. So the `hyper` lines of a case are proven, not believed. In a case called `default` the
framework is given no hyperparameter but, where it has no default, the learning rate.

Another CPU may change the last bits of a run (PyTorch's loops contract to fused multiply-adds where there are some).

FORMAT. ASCII lines of words separated by single spaces; the first word of a line says what it is. Empty lines, and
lines that start with `#`, mean nothing. HEX32 is the bits of an f32 (8 hex digits), HEX64 those of an f64 (16 digits).

inputs.txt, shared by all cases:
    n 48                             the number of parameters N
    steps 20                         the number of steps T
    param HEX32 * N                  the initial parameters
    grad STEP HEX32 * N              the gradient of each step, STEP = 1 .. T in order

<framework>.txt, a sequence of cases; the lines of a case stand in this order:
    case RULE NAME                   sgd adagrad rmsprop adadelta adam adamw; (RULE, NAME) is unique in the file
    framework WORD VERSION           who made it
    preset WORD                      torch keras optax tf1: whose conventions the case follows
    hyper FIELD VALUE                one line for each hyperparameter of the rule, by its name in gradstep, all of them:
                                     eps_placement: outside inside hat; amsgrad: off raw corrected;
                                     centered, nesterov, lr_inside, maximize: 0 1; all else: an f64 in decimal, to be
                                     parsed with correct rounding
    lr_after STEP VALUE              optional: after STEP steps lr becomes VALUE (an f64), for all further steps
    f32 STEP TENSOR HEX32 * N        the framework's float32 run: `param` after steps 1 and T, the state after step T
    f64 STEP TENSOR HEX64 * N        the framework's float64 run, likewise
    end
TENSOR is `param` or a state buffer of the rule by its name in gradstep: momentum_buffer, sum, square_avg, grad_avg,
acc_delta, exp_avg, exp_avg_sq, max_exp_avg_sq. State begins at zero but for `sum`, at initial_accumulator_value, and
RMSProp's `square_avg`, at initial_square_avg. A momentum_buffer has the sign with which it is subtracted from the
parameters (Keras's SGD and optax's RMSProp store its negative).
"""

import importlib.metadata
import inspect
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
N, STEPS = 48, 20
FRAMEWORKS = ("torch", "optax", "keras", "tf1")

# ----------------------------------------------------------------------------------------------------------- the inputs


def inputs():
    """Initial parameters and gradients in f32: magnitudes from 1e-6 to 1e2, zeros of both signs among them."""
    rng = np.random.default_rng(20260)

    def magnitudes():
        return rng.permutation(np.logspace(-6, 2, N))

    param = magnitudes() * rng.choice([-1, 1], N)
    # Each element has its own scale, so that its state settles; the steps scatter around it.
    grads = magnitudes() * rng.normal(0.3, 1, (STEPS, N)) * 10 ** rng.uniform(-0.5, 0, (STEPS, N))
    grads = grads.astype(np.float32)
    grads[rng.random((STEPS, N)) < 0.06] = 0.0
    grads[rng.random((STEPS, N)) < 0.06] = -0.0
    grads[:, 5], grads[:, 11] = 0.0, -0.0  # never a gradient
    grads[:12, 17], grads[12:, 23] = 0.0, -0.0  # a late start, an early stop
    param = param.astype(np.float32)
    param[29], param[31] = 0.0, -0.0
    return param, grads


# ------------------------------------------------------------------------------------------------------------ the cases

# gradstep's fields with each framework's own defaults. A None is a default that the framework does not have.
OFF = dict(maximize=0)
SGD = dict(lr=None, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=0, lr_inside=0, **OFF)
ADAGRAD = dict(lr=None, lr_decay=0.0, eps=1e-7, weight_decay=0.0, initial_accumulator_value=0.1,
               eps_placement="inside", **OFF)
RMSPROP = dict(lr=None, alpha=0.9, eps=1e-8, weight_decay=0.0, momentum=0.0, initial_square_avg=0.0, centered=0,
               eps_placement="inside", lr_inside=1, **OFF)
ADADELTA = dict(lr=None, rho=0.9, eps=1e-6, weight_decay=0.0, **OFF)
ADAM = dict(lr=None, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, amsgrad="off", eps_placement="outside", **OFF)

PRESETS = {
    "torch": dict(
        sgd=SGD | dict(lr=1e-3),
        adagrad=ADAGRAD | dict(lr=1e-2, eps=1e-10, initial_accumulator_value=0.0, eps_placement="outside"),
        rmsprop=RMSPROP | dict(lr=1e-2, alpha=0.99, eps_placement="outside", lr_inside=0),
        adadelta=ADADELTA | dict(lr=1.0),
        adam=ADAM | dict(lr=1e-3),
        adamw=ADAM | dict(lr=1e-3, weight_decay=1e-2),
    ),
    "optax": dict(
        sgd=SGD, adagrad=ADAGRAD, rmsprop=RMSPROP, adadelta=ADADELTA, adam=ADAM, adamw=ADAM | dict(weight_decay=1e-4)
    ),
    "keras": dict(
        sgd=SGD | dict(lr=0.01, lr_inside=1),
        adagrad=ADAGRAD | dict(lr=1e-3),
        rmsprop=RMSPROP | dict(lr=1e-3, eps=1e-7),
        adadelta=ADADELTA | dict(lr=1e-3, rho=0.95, eps=1e-7),
        adam=ADAM | dict(lr=1e-3, eps=1e-7, eps_placement="hat"),
        adamw=ADAM | dict(lr=1e-3, eps=1e-7, eps_placement="hat", weight_decay=4e-3),
    ),
    "tf1": dict(
        sgd=SGD,
        adagrad=ADAGRAD | dict(eps=0.0),
        rmsprop=RMSPROP | dict(eps=1e-10, initial_square_avg=1.0),
        adadelta=ADADELTA | dict(lr=1e-3, rho=0.95, eps=1e-8),
        adam=ADAM | dict(lr=1e-3, eps_placement="hat"),
    ),
}

CASES = {framework: [] for framework in FRAMEWORKS}


def case(framework, rule, name, call, lr2=None, **fields):
    """`call`: class and arguments of the framework; `fields`: what that changes in gradstep's fields of the preset.

    With lr2, the learning rate becomes lr2 half-way.
    """
    hyper = PRESETS[framework][rule] | fields
    assert not (set(fields) - set(PRESETS[framework][rule])) and None not in hyper.values(), (framework, rule, name)
    assert all((c["rule"], c["name"]) != (rule, name) for c in CASES[framework]), (framework, rule, name)
    CASES[framework].append(dict(rule=rule, name=name, cls=call[0], args=call[1], hyper=hyper, lr2=lr2))


HALF = STEPS // 2


def same(framework, rule, name, cls, lr2=None, names={}, also={}, **fields):
    """A case whose arguments are called as gradstep's fields are, but for `names`; `also` is gradstep's alone."""
    args = {names.get(field, field): value for field, value in fields.items()}
    flags = {field: int(value) if isinstance(value, bool) else value for field, value in fields.items()}
    case(framework, rule, name, (cls, args), lr2, **(flags | also))


def torch_cases():
    def add(rule, name, cls, **more):
        same("torch", rule, name, cls, **more)

    def adam(rule, cls, name, lr2=None, **args):
        fields = {k: int(v) if isinstance(v, bool) else v for k, v in args.items() if k not in ("betas", "amsgrad")}
        if "betas" in args:
            fields |= dict(beta1=args["betas"][0], beta2=args["betas"][1])
        if "amsgrad" in args:
            fields |= dict(amsgrad="raw")
        case("torch", rule, name, (cls, args), lr2, **fields)

    add("sgd", "default", "SGD")
    add("sgd", "weight_decay", "SGD", lr=0.1, weight_decay=0.01)
    add("sgd", "maximize", "SGD", lr=0.1, maximize=True)
    add("sgd", "momentum", "SGD", lr=0.1, momentum=0.9)
    add("sgd", "momentum_weight_decay", "SGD", lr=0.05, momentum=0.9, weight_decay=0.1)
    add("sgd", "momentum_lr_change", "SGD", lr=0.1, momentum=0.9, lr2=0.03)
    add("sgd", "dampening", "SGD", lr=0.1, momentum=0.8, dampening=0.3)
    add("sgd", "dampening_maximize", "SGD", lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01, maximize=True)
    add("sgd", "nesterov", "SGD", lr=0.1, momentum=0.9, nesterov=True)
    add("sgd", "nesterov_maximize", "SGD", lr=0.01, momentum=0.95, nesterov=True, weight_decay=0.01, maximize=True)

    add("adagrad", "default", "Adagrad")
    add("adagrad", "lr_decay", "Adagrad", lr=0.1, lr_decay=0.05)
    add("adagrad", "initial_accumulator", "Adagrad", lr=0.1, initial_accumulator_value=0.1)
    add("adagrad", "weight_decay", "Adagrad", lr=0.1, weight_decay=0.1)
    add("adagrad", "eps", "Adagrad", lr=0.1, eps=1e-2, maximize=True)

    add("rmsprop", "default", "RMSprop")
    add("rmsprop", "weight_decay", "RMSprop", lr=1e-3, alpha=0.9, weight_decay=0.1)
    add("rmsprop", "centered", "RMSprop", lr=1e-3, alpha=0.9, centered=True)
    add("rmsprop", "momentum", "RMSprop", lr=1e-3, alpha=0.95, momentum=0.9)
    add("rmsprop", "momentum_lr_change", "RMSprop", lr=1e-2, momentum=0.9, lr2=1e-3)
    add("rmsprop", "centered_momentum", "RMSprop", lr=1e-3, eps=1e-4, momentum=0.9, centered=True, weight_decay=0.01)
    add("rmsprop", "maximize", "RMSprop", lr=1e-3, maximize=True)

    add("adadelta", "default", "Adadelta")
    add("adadelta", "lr_rho", "Adadelta", lr=0.3, rho=0.95, eps=1e-4)
    add("adadelta", "weight_decay", "Adadelta", weight_decay=0.1)
    add("adadelta", "maximize", "Adadelta", lr=10.0, maximize=True)

    for rule, cls in ("adam", "Adam"), ("adamw", "AdamW"):
        adam(rule, cls, "default")
        adam(rule, cls, "amsgrad", amsgrad=True, betas=(0.9, 0.99))
        adam(rule, cls, "weight_decay", lr=1e-2, weight_decay=0.1)
        adam(rule, cls, "maximize", lr=1e-2, maximize=True)
        adam(rule, cls, "betas", lr=1e-2, betas=(0.8, 0.95))
        adam(rule, cls, "eps", lr=0.1, eps=0.1)
    adam("adam", "Adam", "amsgrad_maximize", lr=1e-2, betas=(0.5, 0.9), amsgrad=True, maximize=True, weight_decay=0.01)
    adam("adamw", "AdamW", "amsgrad_maximize", lr=0.1, betas=(0.5, 0.9), amsgrad=True, maximize=True, weight_decay=0.1)
    adam("adamw", "AdamW", "lr_change", lr=0.1, weight_decay=0.1, lr2=1e-2)


def optax_cases():
    def add(rule, name, cls=None, **more):
        names = dict(lr="learning_rate", alpha="decay", beta1="b1", beta2="b2")
        same("optax", rule, name, cls or rule, names=names, **more)

    add("sgd", "default", lr=0.1)
    add("sgd", "momentum", lr=0.1, momentum=0.9)
    add("sgd", "nesterov", lr=0.05, momentum=0.9, nesterov=True)
    add("adagrad", "default", lr=0.1)
    add("adagrad", "eps", lr=0.1, eps=1e-3, initial_accumulator_value=0.01)
    add("rmsprop", "default", lr=0.01)
    add("rmsprop", "centered", lr=1e-3, centered=True)
    add("rmsprop", "momentum", lr=1e-3, momentum=0.9)
    add("rmsprop", "momentum_lr_change", lr=1e-2, momentum=0.9, lr2=1e-3)
    add("rmsprop", "centered_momentum", lr=1e-3, eps=1e-6, centered=True, momentum=0.8)
    case("optax", "rmsprop", "eps_outside", ("rmsprop", dict(learning_rate=1e-3, decay=0.99, eps_in_sqrt=False,
         initial_scale=0.5)), lr=1e-3, alpha=0.99, eps_placement="outside", initial_square_avg=0.5)
    add("adadelta", "default", lr=1.0)
    add("adadelta", "weight_decay", lr=0.5, rho=0.95, eps=1e-5, weight_decay=0.1)
    add("adam", "default", lr=1e-3)
    case("optax", "adam", "eps_root", ("adam", dict(learning_rate=0.01, eps=0.0, eps_root=1e-8)), lr=0.01,
         eps_placement="inside")
    add("adam", "amsgrad", "amsgrad", lr=1e-2, beta1=0.8, beta2=0.9, also=dict(amsgrad="corrected"))
    case("optax", "adam", "amsgrad_eps_root", ("amsgrad", dict(learning_rate=0.01, b2=0.95, eps=0.0, eps_root=1e-4)),
         lr=0.01, beta2=0.95, eps=1e-4, eps_placement="inside", amsgrad="corrected")
    add("adamw", "default", lr=1e-3)
    add("adamw", "weight_decay", lr=0.01, beta1=0.8, beta2=0.95, weight_decay=0.1)


def keras_cases():
    def add(rule, name, cls, **more):
        names = dict(lr="learning_rate", alpha="rho", eps="epsilon", beta1="beta_1", beta2="beta_2")
        same("keras", rule, name, cls, names=names, **more)

    add("sgd", "default", "SGD")
    add("sgd", "momentum", "SGD", lr=0.1, momentum=0.9)
    add("sgd", "momentum_lr_change", "SGD", lr=0.1, momentum=0.9, lr2=0.03)
    add("sgd", "nesterov", "SGD", lr=0.05, momentum=0.9, nesterov=True)
    add("sgd", "nesterov_lr_change", "SGD", lr=0.1, momentum=0.9, nesterov=True, lr2=0.03)
    add("adagrad", "default", "Adagrad")
    add("adagrad", "eps", "Adagrad", lr=0.1, eps=1e-3, initial_accumulator_value=0.01)
    add("rmsprop", "default", "RMSprop")
    add("rmsprop", "centered", "RMSprop", lr=1e-3, centered=True)
    add("rmsprop", "momentum", "RMSprop", lr=1e-3, momentum=0.9)
    add("rmsprop", "momentum_lr_change", "RMSprop", lr=1e-2, momentum=0.9, lr2=1e-3)
    add("rmsprop", "centered_momentum", "RMSprop", lr=1e-3, alpha=0.95, centered=True, momentum=0.8)
    add("adadelta", "default", "Adadelta")
    add("adadelta", "lr", "Adadelta", lr=1.0, rho=0.9, eps=1e-6)
    for rule, cls in ("adam", "Adam"), ("adamw", "AdamW"):
        add(rule, "default", cls)
        add(rule, "betas", cls, lr=1e-2, beta1=0.8, beta2=0.95)
        case("keras", rule, "amsgrad", (cls, dict(beta_2=0.9, amsgrad=True)), beta2=0.9, amsgrad="raw")
    add("adamw", "weight_decay", "AdamW", lr=0.01, weight_decay=0.1)


def tf1_cases():
    def add(rule, name, cls, **more):
        names = dict(lr="learning_rate", alpha="decay", eps="epsilon", nesterov="use_nesterov")
        same("tf1", rule, name, cls + "Optimizer", names=names, **more)

    add("sgd", "default", "GradientDescent", lr=0.1)
    add("sgd", "momentum", "Momentum", lr=0.1, momentum=0.5)
    add("sgd", "momentum_lr_change", "Momentum", lr=0.1, momentum=0.9, lr2=0.03)
    add("sgd", "nesterov", "Momentum", lr=0.05, momentum=0.9, nesterov=True)
    add("adagrad", "default", "Adagrad", lr=0.1)
    add("rmsprop", "default", "RMSProp", lr=0.01)
    add("rmsprop", "centered", "RMSProp", lr=1e-3, centered=True)
    add("rmsprop", "momentum", "RMSProp", lr=0.01, momentum=0.9)
    add("rmsprop", "momentum_lr_change", "RMSProp", lr=0.1, alpha=0.95, momentum=0.9, lr2=0.01)
    add("rmsprop", "centered_momentum", "RMSProp", lr=1e-3, eps=1e-6, centered=True, momentum=0.8)
    add("adadelta", "default", "Adadelta")
    add("adadelta", "lr", "Adadelta", lr=21.5)
    add("adam", "default", "Adam")
    add("adam", "betas", "Adam", lr=0.01, beta1=0.8, beta2=0.95, eps=1e-4)


torch_cases(), optax_cases(), keras_cases(), tf1_cases()

# ------------------------------------------------------------------------------------------------------- the frameworks
# Each runner takes a case and numpy inputs of the wanted precision, and yields {tensor: values} after every step.


def learning_rates(case):
    return [case["lr2"] if case["lr2"] and step >= HALF else case["hyper"]["lr"] for step in range(STEPS)]


def run_torch(case, param, grads):
    import torch

    names = dict(max_exp_avg_sqs="max_exp_avg_sq")
    p = torch.nn.Parameter(torch.from_numpy(param.copy()))
    optimizer = getattr(torch.optim, case["cls"])([p], foreach=False, **case["args"])
    for step, grad in enumerate(grads):
        if case["lr2"] and step == HALF:
            optimizer.param_groups[0]["lr"] = case["lr2"]
        p.grad = torch.from_numpy(grad)
        optimizer.step()
        state = {names.get(k, k): v for k, v in optimizer.state[p].items() if k != "step" and v is not None}
        yield {k: v.detach().numpy().copy() for k, v in dict(param=p, **state).items()}


def run_optax(case, param, grads):
    import jax
    import jax.numpy as jnp
    import optax

    names = dict(
        sgd=dict(trace="momentum_buffer"),
        adagrad=dict(sum_of_squares="sum"),
        rmsprop=dict(nu="square_avg", mu="grad_avg", trace="momentum_buffer"),
        adadelta=dict(e_g="square_avg", e_x="acc_delta"),
        adam=dict(mu="exp_avg", nu="exp_avg_sq", nu_max="max_exp_avg_sq"),
    )["adam" if case["rule"] == "adamw" else case["rule"]]
    args = dict(case["args"])
    if case["lr2"]:
        before, after = args["learning_rate"], case["lr2"]
        args["learning_rate"] = lambda count: jnp.where(count < HALF, before, after).astype(param.dtype)
    optimizer = getattr(optax, case["cls"])(**args)
    p = jnp.asarray(param)
    state = optimizer.init(p)
    for grad in grads:
        updates, state = optimizer.update(jnp.asarray(grad), state, p)
        p = optax.apply_updates(p, updates)
        tensors = dict(param=p)
        for part in jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "_fields")):
            tensors |= {names[f]: getattr(part, f) for f in getattr(part, "_fields", ()) if f in names}
        if case["rule"] == "rmsprop" and "momentum_buffer" in tensors:
            tensors["momentum_buffer"] = -tensors["momentum_buffer"]
        yield {k: np.array(v) for k, v in tensors.items()}


def run_keras(case, param, grads):
    import keras
    import jax.numpy as jnp

    names = dict(
        SGD=dict(momentums="momentum_buffer"),
        Adagrad=dict(_accumulators="sum"),
        RMSprop=dict(_velocities="square_avg", _average_gradients="grad_avg", _momentums="momentum_buffer"),
        Adadelta=dict(_accumulated_grads="square_avg", _accumulated_delta_vars="acc_delta"),
        Adam=dict(_momentums="exp_avg", _velocities="exp_avg_sq", _velocity_hats="max_exp_avg_sq"),
    )["Adam" if case["cls"] == "AdamW" else case["cls"]]
    p = keras.Variable(param, dtype=param.dtype.name)
    optimizer = getattr(keras.optimizers, case["cls"])(**case["args"])
    for step, grad in enumerate(grads):
        if case["lr2"] and step == HALF:
            optimizer.learning_rate = case["lr2"]
        optimizer.apply([jnp.asarray(grad)], [p])
        state = {to: getattr(optimizer, of, None) for of, to in names.items()}
        tensors = dict(param=p) | {name: buffers[0] for name, buffers in state.items() if buffers}
        tensors = {k: np.array(v.value) for k, v in tensors.items()}
        if case["cls"] == "SGD" and "momentum_buffer" in tensors:
            tensors["momentum_buffer"] = -tensors["momentum_buffer"]
        yield tensors


def run_tf1(case, param, grads):
    import tensorflow.compat.v1 as tf

    names = dict(
        sgd=dict(momentum="momentum_buffer"),
        adagrad=dict(accumulator="sum"),
        rmsprop=dict(rms="square_avg", mg="grad_avg", momentum="momentum_buffer"),
        adadelta=dict(accum="square_avg", accum_update="acc_delta"),
        adam=dict(m="exp_avg", v="exp_avg_sq"),
    )[case["rule"]]
    if case["rule"] == "rmsprop" and not case["hyper"]["momentum"]:
        names.pop("momentum")  # TensorFlow has the buffer even then
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    with tf.Graph().as_default():
        p = tf.Variable(param, use_resource=True)
        lr, grad = (tf.placeholder(param.dtype, shape) for shape in ((), (N,)))
        cls = getattr(tf.train, case["cls"])
        args = case["args"]
        if param.dtype == np.float64:  # a Python float would pass through float32, given or default
            defaults = {k: v.default for k, v in inspect.signature(cls).parameters.items()}
            args = {k: np.float64(v) if type(v) is float else v for k, v in (defaults | args).items()}
            args = {k: v for k, v in args.items() if v is not inspect.Parameter.empty}
        optimizer = cls(**(args | (dict(learning_rate=lr) if case["lr2"] else {})))
        step = optimizer.apply_gradients([(grad, p)])
        slots = {to: optimizer.get_slot(p, of) for of, to in names.items()}
        tensors = dict(param=p) | {name: slot for name, slot in slots.items() if slot is not None}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for rate, values in zip(learning_rates(case), grads):
                session.run(step, {lr: rate, grad: values})
                yield session.run(tensors)


def version(framework):
    package = dict(tf1="tensorflow").get(framework, framework)
    return f"{package} {importlib.metadata.version(package)}"


def run_all(framework, dtype, out):
    """All cases of a framework in one precision. In a process of its own: JAX and Keras have global settings."""
    runner = dict(torch=run_torch, optax=run_optax, keras=run_keras, tf1=run_tf1)[framework]
    if framework in ("optax", "keras"):
        import jax

        jax.config.update("jax_enable_x64", dtype == "float64")
    if framework == "keras":
        import keras

        keras.config.set_floatx(dtype)
    param, grads = (values.astype(dtype) for values in inputs())
    runs = []
    for case in CASES[framework]:
        trace = list(runner(case, param, grads))
        assert all(v.dtype == dtype and v.shape == (N,) for tensors in trace for v in tensors.values()), case
        runs.append(trace)
    Path(out).write_bytes(pickle.dumps(runs))


# ------------------------------------------------------------------------------------------------------------ the proof


def reference(rule, h, rates, param, grads):
    """gradstep's rules in f64, from the fields alone. Yields {tensor: values} after every step."""
    sqrt = np.sqrt
    p = param.astype(np.float64)
    zero = np.zeros(N)
    s = dict(
        sgd=lambda: dict(momentum_buffer=zero) if h["momentum"] else {},
        adagrad=lambda: dict(sum=zero + h["initial_accumulator_value"]),
        rmsprop=lambda: dict(square_avg=zero + h["initial_square_avg"])
        | (dict(grad_avg=zero) if h["centered"] else {})
        | (dict(momentum_buffer=zero) if h["momentum"] else {}),
        adadelta=lambda: dict(square_avg=zero, acc_delta=zero),
        adam=lambda: dict(exp_avg=zero, exp_avg_sq=zero) | (dict(max_exp_avg_sq=zero) if h["amsgrad"] != "off" else {}),
    )["adam" if rule == "adamw" else rule]()

    def root(x):
        return sqrt(x + h["eps"]) if h["eps_placement"] == "inside" else sqrt(x) + h["eps"]

    for t, (lr, g) in enumerate(zip(rates, grads.astype(np.float64)), 1):
        g = -g if h["maximize"] else g
        if rule == "adamw":
            p = p * (1 - lr * h["weight_decay"])
        else:
            g = g + h["weight_decay"] * p

        if rule == "sgd":
            inner, outer = (lr, 1) if h["lr_inside"] else (1, lr)
            step = inner * g
            if h["momentum"]:
                fresh = 1 if t == 1 else 1 - h["dampening"]
                s["momentum_buffer"] = h["momentum"] * s["momentum_buffer"] + fresh * step
                step = step + h["momentum"] * s["momentum_buffer"] if h["nesterov"] else s["momentum_buffer"]
            p = p - outer * step
        elif rule == "adagrad":
            s["sum"] = s["sum"] + g * g
            p = p - lr / (1 + (t - 1) * h["lr_decay"]) * g / root(s["sum"])
        elif rule == "rmsprop":
            inner, outer = (lr, 1) if h["lr_inside"] else (1, lr)
            mix = lambda old, new: h["alpha"] * old + (1 - h["alpha"]) * new
            v = s["square_avg"] = mix(s["square_avg"], g * g)
            if h["centered"]:
                s["grad_avg"] = mix(s["grad_avg"], g)
                v = v - s["grad_avg"] ** 2
                # Only gradstep clamps this at 0; no trace may depend on it.
                assert (v >= 0).all()
            step = inner * g / root(v)
            if h["momentum"]:
                step = s["momentum_buffer"] = h["momentum"] * s["momentum_buffer"] + step
            p = p - outer * step
        elif rule == "adadelta":
            mix = lambda old, new: h["rho"] * old + (1 - h["rho"]) * new
            s["square_avg"] = mix(s["square_avg"], g * g)
            delta = sqrt(s["acc_delta"] + h["eps"]) / sqrt(s["square_avg"] + h["eps"]) * g
            s["acc_delta"] = mix(s["acc_delta"], delta * delta)
            p = p - lr * delta
        else:
            c1, c2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t
            m = s["exp_avg"] = h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g
            v = s["exp_avg_sq"] = h["beta2"] * s["exp_avg_sq"] + (1 - h["beta2"]) * g * g
            if h["amsgrad"] == "raw":
                v = s["max_exp_avg_sq"] = np.maximum(s["max_exp_avg_sq"], v)
            v = v / c2
            if h["amsgrad"] == "corrected":
                v = s["max_exp_avg_sq"] = np.maximum(s["max_exp_avg_sq"], v)
            denominator = (sqrt(v * c2) + h["eps"]) / sqrt(c2) if h["eps_placement"] == "hat" else root(v)
            p = p - lr / c1 * m / denominator
        yield dict(param=p, **s)


def worst(trace, expected):
    """The largest difference between two traces, relative to the largest value that the element has had."""
    result = 0.0
    for name in expected[0]:
        got, want = (np.array([tensors[name] for tensors in t], np.float64) for t in (trace, expected))
        scale = np.maximum.accumulate(np.abs(want))
        result = max(result, (np.abs(got - want) / np.where(scale > 0, scale, 1)).max())
    return result


def explain(framework, case, trace):
    """Stops unless the fields of the case explain the framework's float64 run."""
    param, grads = inputs()
    expected = list(reference(case["rule"], case["hyper"], learning_rates(case), param, grads))
    assert set(trace[0]) == set(expected[0]), (framework, case["rule"], case["name"], set(trace[0]), set(expected[0]))
    error = worst(trace, expected)
    if not error < 1e-12:
        name = f"{framework} {case['rule']} {case['name']}"
        raise SystemExit(f"{name}: the fields do not explain the trace ({error:.1e})")
    return error


# ------------------------------------------------------------------------------------------------------------ the files


def words(values):
    bits, digits = (np.uint32, 8) if values.dtype == np.float32 else (np.uint64, 16)
    return " ".join(f"{x:0{digits}x}" for x in np.ascontiguousarray(values).view(bits))


def write(name, lines):
    text = "\n".join(lines) + "\n"
    (HERE / name).write_text(text, "ascii")
    print(f"{name}: {len(text)} bytes")


QUIET_CPU = dict(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")


def main():
    param, grads = inputs()
    write("inputs.txt", ["# Made by generate.py, which describes the format.", f"n {N}", f"steps {STEPS}"]
          + [f"param {words(param)}"] + [f"grad {t} {words(g)}" for t, g in enumerate(grads, 1)])
    for framework in FRAMEWORKS:
        runs = {}
        for dtype in "float32", "float64":
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "runs")
                command = [sys.executable, __file__, framework, dtype, out]
                subprocess.run(command, check=True, env=os.environ | QUIET_CPU)
                runs[dtype] = pickle.loads(out.read_bytes())
        lines, error = ["# Made by generate.py, which describes the format."], 0.0
        for case, single, double in zip(CASES[framework], runs["float32"], runs["float64"]):
            error = max(error, explain(framework, case, double))
            lines += ["", f"case {case['rule']} {case['name']}"]
            lines += [f"framework {version(framework)}", f"preset {framework}"]
            lines += [f"hyper {field} {value}" for field, value in case["hyper"].items()]
            lines += [f"lr_after {HALF} {case['lr2']}"] if case["lr2"] else []
            for kind, trace in ("f32", single), ("f64", double):
                lines += [f"{kind} 1 param {words(trace[0]['param'])}"]
                lines += [f"{kind} {STEPS} {name} {words(values)}" for name, values in trace[-1].items()]
            lines += ["end"]
        print(f"{framework}: {len(CASES[framework])} cases; the fields explain each to {error:.1e}")
        write(f"{framework}.txt", lines)


if __name__ == "__main__":
    run_all(*sys.argv[1:]) if len(sys.argv) > 1 else main()
