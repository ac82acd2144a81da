"""Optax, compiled by JAX, with parameters and state donated: they are updated in place."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import cases
from buffers import Buffers
from cases import Rule
from contestant import Contestant

# A step is over when its call is: nothing goes on while another is measured.
jax.config.update("jax_cpu_enable_async_dispatch", False)

# Where Optax differs from PyTorch, it is asked for PyTorch's formula; AMSGrad and AdaGrad have
# none, but agree as long as gradients do not shrink, and while eps is small beside the sum.
MAKE = {
    "SGD": lambda h: optax.sgd(h["lr"]),
    "momentum": lambda h: optax.sgd(h["lr"], h["momentum"]),
    "Nesterov": lambda h: optax.sgd(h["lr"], h["momentum"], nesterov=True),
    "AdaGrad": lambda h: optax.adagrad(h["lr"], initial_accumulator_value=0.0, eps=h["eps"]),
    "RMSProp": lambda h: optax.rmsprop(h["lr"], h["alpha"], h["eps"], eps_in_sqrt=False),
    "RMSProp, centered": lambda h: optax.rmsprop(
        h["lr"], h["alpha"], h["eps"], eps_in_sqrt=False, centered=True
    ),
    "AdaDelta": lambda h: optax.adadelta(h["lr"], h["rho"], h["eps"]),
    "Adam": lambda h: optax.adam(h["lr"], h["beta1"], h["beta2"], h["eps"]),
    "AMSGrad": lambda h: optax.amsgrad(h["lr"], h["beta1"], h["beta2"], h["eps"]),
    "AdamW": lambda h: optax.adamw(
        h["lr"], h["beta1"], h["beta2"], h["eps"], weight_decay=h["weight_decay"]
    ),
}


class _Training:
    """The arrays of a training run. The gradients are the buffers' own memory."""

    def __init__(self, rule: Rule, buffers: Buffers):
        self.buffers = buffers
        self.optimizer = MAKE[rule.name](rule.hyper)
        self.grad = [jnp.from_dlpack(grad) for grad in buffers.grad]
        self.step = jax.jit(self._step, donate_argnums=(0, 1))

    def _step(self, param, state, grad):
        updates, state = self.optimizer.update(grad, state, param)
        return optax.apply_updates(param, updates), state

    def reset(self):
        self.param = self.state = None  # first, for the memory
        self.param = [jnp.array(start.numpy()) for start in self.buffers.start]
        self.state = jax.block_until_ready(self.optimizer.init(self.param))

    def run(self, steps: int):
        step, param, state, grad = self.step, self.param, self.state, self.grad
        for _ in range(steps):
            param, state = step(param, state, grad)
        self.param, self.state = jax.block_until_ready((param, state))

    def result(self):
        return [torch.from_numpy(np.array(param)) for param in self.param]


def optimizer(rule: Rule, buffers: Buffers) -> Contestant:
    """Optax's optimizer under jit."""
    training = _Training(rule, buffers)
    return Contestant(cases.OPTAX, training.run, training.reset, training.result)
