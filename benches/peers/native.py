"""gradstep through its C ABI, and the functions of C files."""

import ctypes
import subprocess
import threading
from ctypes import byref, c_double, c_float, c_int32, c_size_t, c_uint64, c_void_p
from functools import partial
from pathlib import Path

import torch

import cases
from buffers import Buffers
from cases import Rule
from contestant import Contestant

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target"
# Below this many parameters a second thread costs more than it brings.
WORTH_A_THREAD = 100_000

# The structs of include/gradstep.h: doubles, integers, and the state buffers of a tensor.
STRUCTS = {
    "sgd": (
        "lr momentum dampening weight_decay",
        "nesterov lr_inside maximize reserved",
        "momentum_buffer",
    ),
    "adagrad": (
        "lr lr_decay eps weight_decay initial_accumulator_value",
        "eps_placement maximize",
        "sum",
    ),
    "rmsprop": (
        "lr alpha eps weight_decay momentum initial_square_avg",
        "centered eps_placement lr_inside maximize",
        "square_avg grad_avg momentum_buffer",
    ),
    "adadelta": ("lr rho eps weight_decay", "maximize reserved", "square_avg acc_delta"),
    "adam": (
        "lr beta1 beta2 eps weight_decay",
        "amsgrad eps_placement maximize reserved",
        "exp_avg exp_avg_sq max_exp_avg_sq",
    ),
}
STRUCTS["adamw"] = STRUCTS["adam"]


F32, BF16, E4M3, E5M3 = 0, 1, 3, 4
BACKEND_AVX2 = 4


class Values(ctypes.Structure):
    """gradstep_values."""

    _fields_ = [
        ("data", c_void_p),
        ("exponents", c_void_p),
        ("format", c_int32),
        ("reserved", c_int32),
    ]


class FusedTensor(ctypes.Structure):
    """gradstep_adamw_fused_tensor."""

    _fields_ = [
        ("n", c_size_t),
        ("param", Values),
        ("grad", Values),
        ("exp_avg", Values),
        ("exp_avg_sq", Values),
        ("max_exp_avg_sq", Values),
        ("ema", Values),
        ("copy", Values),
        ("offset", c_uint64),
    ]


class Epilogue(ctypes.Structure):
    """gradstep_epilogue."""

    _fields_ = [
        ("size", c_size_t),
        ("ema_decay", c_double),
        ("param_min", c_double),
        ("param_max", c_double),
        ("seed", c_uint64),
        ("rounding", c_int32),
        ("zero_grad", c_int32),
    ]


class Options(ctypes.Structure):
    """gradstep_options."""

    _fields_ = [("size", c_size_t), ("grad_scale", c_double), ("grad_clamp", c_double)]


class LossScale(ctypes.Structure):
    """gradstep_loss_scale."""

    _fields_ = [
        ("scale", c_double),
        ("growth_factor", c_double),
        ("backoff_factor", c_double),
        ("growth_interval", c_uint64),
        ("growth_tracker", c_uint64),
    ]


def _hyper_struct(doubles: str, integers: str):
    fields = [(name, c_double) for name in doubles.split()]
    fields += [(name, c_int32) for name in integers.split()]
    return type("Hyper", (ctypes.Structure,), {"_fields_": fields})


class Library:
    """The shared library, and a thread to share the work with."""

    def __init__(self, c_source: Path | None, avx2: bool):
        self.gradstep = _gradstep(avx2)
        flags = c_flags(avx2)
        self.loops = _compiled(HERE / "loops.c", flags)
        self.naive = _compiled(c_source, flags) if c_source else None
        self.helper = Helper()

    def hyper(self, rule: Rule):
        """The hyperparameters: the defaults, and what the rule sets."""
        doubles, integers, _ = STRUCTS[rule.gradstep]
        hyper = _hyper_struct(doubles, integers)()
        assert self._function(rule, "default")(byref(hyper)) == 0
        for name, value in rule.hyper.items():
            setattr(hyper, name, value)
        return hyper

    def _function(self, rule: Rule, what: str):
        return getattr(self.gradstep, f"gradstep_{rule.gradstep}_{what}")

    def _chunk(self, n: int, chunks: int, index: int) -> tuple[int, int]:
        begin, end = c_size_t(), c_size_t()
        arguments = c_size_t(n), c_size_t(chunks), c_size_t(index), byref(begin), byref(end)
        assert self.gradstep.gradstep_chunk(*arguments) == 0
        return begin.value, end.value

    def _tensors(self, columns, parts: int, index: int):
        """An array of {n, pointers} of chunk `index` of each tensor; a column may be None."""
        count = len(columns[0])
        words = (c_size_t * ((1 + len(columns)) * count))()
        for i in range(count):
            begin, end = self._chunk(columns[0][i].numel(), parts, index)
            pointers = [c[i].data_ptr() + begin * c[i].element_size() if c else 0 for c in columns]
            words[i * (1 + len(columns)) : (i + 1) * (1 + len(columns))] = [end - begin, *pointers]
        return words

    def _parts(self, columns, threads: int):
        enough = sum(p.numel() for p in columns[0]) >= WORTH_A_THREAD
        parts = threads if enough else 1
        return [self._tensors(columns, parts, index) for index in range(parts)]

    def from_python(self, rule: Rule, buffers: Buffers, threads: int) -> Contestant:
        """A call for each step, from Python."""
        names = STRUCTS[rule.gradstep][2].split()
        columns = [buffers.param, buffers.grad, *(buffers.state.get(name) for name in names)]
        function = self._function(rule, "step_list")
        hyper, t, count = self.hyper(rule), c_uint64(), c_size_t(len(buffers.param))
        # Objects of ctypes are passed on as they are, which is the quickest that it has.
        calls = [
            partial(function, byref(hyper), None, t, count, part)
            for part in self._parts(columns, threads)
        ]
        return Contestant(cases.GRADSTEP, self._steps(calls, t), lambda: setattr(t, "value", 0))

    def _steps(self, calls, t: c_uint64):
        def alone(steps: int):
            (call,) = calls
            for _ in range(steps):
                t.value += 1
                if call():
                    raise RuntimeError("gradstep refuses the step")

        def together(steps: int):
            mine, other = calls
            for _ in range(steps):
                t.value += 1
                self.helper.start(other)
                status = mine()
                if self.helper.join() or status:
                    raise RuntimeError("gradstep refuses the step")

        return alone if len(calls) == 1 else together

    def from_c(self, rule: Rule, buffers: Buffers) -> Contestant:
        """A call for each step, from C."""
        names = STRUCTS[rule.gradstep][2].split()
        columns = [buffers.param, buffers.grad, *(buffers.state.get(name) for name in names)]
        (tensors,) = self._parts(columns, 1)
        function, hyper = self._function(rule, "step_list"), self.hyper(rule)
        count, t = c_size_t(len(buffers.param)), c_uint64(1)

        def run(steps: int):
            loop, pointer = self.loops.loop_list, ctypes.cast(function, c_void_p)
            if loop(pointer, byref(hyper), t, count, tensors, c_size_t(steps)):
                raise RuntimeError("gradstep refuses the step")
            t.value += steps

        return Contestant(cases.GRADSTEP_C, run, lambda: setattr(t, "value", 1))

    def fused_adamw(self, rule: Rule, buffers: Buffers, threads: int, state: str) -> Contestant:
        """AdamW with state in another format."""
        tensors, kept = self._fused_tensors(buffers, state)
        epilogue, t = self._filled(Epilogue, "epilogue"), c_uint64()
        calls = self._fused_calls(rule, None, epilogue, t, threads, tensors)

        def reset():
            t.value = 0
            for values in kept:
                values.zero_()

        # Its state is not in the buffers.
        return Contestant(cases.GRADSTEP, self._steps(calls, t), reset, lambda: buffers.param)

    def whole_step(
        self, rule: Rule, buffers: Buffers, threads: int, loss_scale: float, max_norm: float
    ) -> Contestant:
        """The norm, then all the rest in one pass."""
        averages = [value.clone() for value in buffers.start]
        halves = [value.bfloat16() for value in buffers.start]
        tensors, _ = self._fused_tensors(buffers, "f32", averages, halves)
        epilogue, options = self._filled(Epilogue, "epilogue"), self._filled(Options, "options")
        epilogue.zero_grad = 1
        scaler, bound, take, t = LossScale(), c_double(max_norm), c_int32(), c_uint64()
        assert self.gradstep.gradstep_loss_scale_default(byref(scaler)) == 0
        scaler.scale = loss_scale
        norms = [(c_uint64 * 11)() for _ in range(threads)]
        gradients = self._parts([buffers.grad], threads)

        def add(index: int) -> int:
            norm, words = norms[index], gradients[index]
            status = self.gradstep.gradstep_norm_init(norm)
            for i in range(0, len(words), 2):
                n, grad = c_size_t(words[i]), c_void_p(words[i + 1])
                status = status or self.gradstep.gradstep_norm_add(norm, n, grad)
            return status

        def factor():
            if len(norms) > 1:
                self.helper.start(lambda: add(1))
            status = add(0)
            if len(norms) > 1:
                status = self.helper.join() or status
                status = status or self.gradstep.gradstep_norm_merge(norms[0], norms[1])
            scale = byref(options, Options.grad_scale.offset)
            advance = self.gradstep.gradstep_loss_scale_advance
            status = status or advance(byref(scaler), norms[0], byref(bound), scale, byref(take))
            if status or not take.value:
                raise RuntimeError("gradstep refuses the gradient")

        steps = self._steps(self._fused_calls(rule, options, epilogue, t, threads, tensors), t)

        def run(count: int):
            for _ in range(count):
                factor()
                steps(1)

        def reset():
            t.value = 0
            for value, start in zip(averages, buffers.start):
                value.copy_(start)

        return Contestant(cases.GRADSTEP, run, reset, lambda: [*buffers.param, *averages])

    def _filled(self, struct, name: str):
        """A struct of options with its defaults."""
        filled = struct()
        size = c_size_t(ctypes.sizeof(filled))
        assert getattr(self.gradstep, f"gradstep_{name}_default")(byref(filled), size) == 0
        return filled

    def _fused_calls(self, rule: Rule, options, epilogue, t, threads: int, tensors):
        function, hyper = self._function(rule, "fused_step"), self.hyper(rule)
        options = byref(options) if options else None
        chunks, count = c_size_t(threads), c_size_t(len(tensors))
        return [
            lambda index=c_size_t(index): function(
                byref(hyper), options, byref(epilogue), t, chunks, index, count, tensors
            )
            for index in range(threads)
        ]

    def _fused_tensors(self, buffers: Buffers, state: str, averages=None, halves=None):
        """An array of tensors, and what they point to besides the buffers."""
        kept, tensors = [], (FusedTensor * len(buffers.param))()

        def zeros(count: int, dtype) -> int:
            kept.append(torch.zeros(count, dtype=dtype))
            return kept[-1].data_ptr()

        for i, tensor in enumerate(tensors):
            n = buffers.param[i].numel()
            tensor.n = n
            tensor.param = Values(buffers.param[i].data_ptr(), None, F32)
            tensor.grad = Values(buffers.grad[i].data_ptr(), None, F32)
            for name, format in [("exp_avg", E4M3), ("exp_avg_sq", E5M3)]:
                if state == "f32":
                    values = Values(buffers.state[name][i].data_ptr(), None, F32)
                elif state == "bf16":
                    values = Values(zeros(n, torch.int16), None, BF16)
                else:
                    blocks = (n + 63) // 64
                    codes = zeros(16 * blocks, torch.int32)
                    values = Values(codes, zeros(blocks, torch.uint8), format)
                setattr(tensor, name, values)
            if averages:
                tensor.ema = Values(averages[i].data_ptr(), None, F32)
                tensor.copy = Values(halves[i].data_ptr(), None, BF16)
        return tensors, kept

    def c_loop(self, rule: Rule, buffers: Buffers) -> Contestant | None:
        """A C file's function, called from C. Scalars are those of the first of the steps."""
        if not hasattr(self.naive, f"naive_{rule.naive}"):
            return None
        function = ctypes.cast(getattr(self.naive, f"naive_{rule.naive}"), c_void_p)
        columns = [buffers.param, buffers.grad, *buffers.state.values()]
        loop = getattr(self.loops, f"loop_{len(columns)}_{len(rule.scalars)}")
        (tensors,) = self._parts(columns + [None] * (5 - len(columns)), 1)
        count, t = c_size_t(len(buffers.param)), c_uint64(1)

        def run(steps: int):
            values = rule.hyper | _bias_corrected(rule.hyper, t.value)
            scalars = (c_float * len(rule.scalars))(*(values[name] for name in rule.scalars))
            loop(function, count, tensors, scalars, c_size_t(steps))
            t.value += steps

        name, baseline = cases.NAIVE, cases.GRADSTEP_C
        return Contestant(name, run, lambda: setattr(t, "value", 1), baseline=baseline)


def _bias_corrected(hyper: dict[str, float], t: int) -> dict[str, float]:
    if "beta1" not in hyper:
        return {}
    lr, correction1, correction2 = hyper["lr"], 1 - hyper["beta1"] ** t, 1 - hyper["beta2"] ** t
    shrink = 1 - lr * hyper.get("weight_decay", 0)
    return {"step": lr / correction1, "root": correction2**-0.5, "shrink": shrink}


def c_flags(avx2: bool) -> list[str]:
    """What C loops are compiled with."""
    flags = ["-O3", "-march=native", "-fno-math-errno"]
    return [*flags, "-mno-avx512f"] if avx2 else flags


def instructions(avx2: bool) -> str:
    """The name of the instruction set that gradstep chooses."""
    gradstep = _gradstep(avx2)
    gradstep.gradstep_backend_name.restype = ctypes.c_char_p
    return gradstep.gradstep_backend_name().decode()


def _gradstep(avx2: bool) -> ctypes.CDLL:
    """The library of `cargo xtask clib`, under whatever name this system gives it."""
    folder = TARGET / "release"
    names = ["libgradstep.so", "libgradstep.dylib", "gradstep.dll"]
    gradstep = ctypes.CDLL(next(p for n in names if (p := folder / n).exists()))
    if avx2 and gradstep.gradstep_backend_force(BACKEND_AVX2) != 0:
        raise RuntimeError("this processor has no AVX2")
    return gradstep


def _compiled(source: Path, flags: list[str]) -> ctypes.CDLL:
    library = TARGET / "peers" / source.with_suffix(".so").name
    subprocess.run(["cc", *flags, "-shared", "-fPIC", source, "-o", library, "-lm"], check=True)
    return ctypes.CDLL(library)


class Helper:
    """A second thread, asleep between calls. ctypes lets go of the interpreter during a call."""

    def __init__(self):
        self._call, self._status = None, 0
        self._ready, self._done = threading.Lock(), threading.Lock()
        self._ready.acquire()
        self._done.acquire()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            self._ready.acquire()
            self._status = self._call()
            self._done.release()

    def start(self, call):
        """Makes the call on the other thread."""
        self._call = call
        self._ready.release()

    def join(self) -> int:
        """Waits for it, and gives its status."""
        self._done.acquire()
        return self._status
