"""Programs of models, by :mod:`torch.fx`.

Four rewrites are made, each exact but for rounding: what passes its input on is left out (dropout in evaluation
mode), BatchNorm in evaluation mode is folded into the layer before it, ReLU moves behind max pooling (both orders
give the same values and gradients), and a ReLU that alone reads a fresh result works in place. What has no safe rule
here (control flow on data, hooks, changes in place that others see, statistics of the batch) yields no program.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from landscape.program import INPUT, Affine, Call, Leaf, Norm, Parameter, Pool, Program, Ref, Step, substitute

_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}
_AFFINE_FUNCTIONS = (functional.linear, *_CONVOLUTIONS.values(), torch.conv1d, torch.conv2d, torch.conv3d)
_CONVOLUTION_OPTIONS = ("stride", "padding", "dilation", "groups")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_RELUS = (functional.relu, torch.relu, functional.relu_, torch.relu_)
_POOL_MODULES = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_POOL_FUNCTIONS = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d, torch.max_pool2d)
_POOL_SIGNATURE = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_ARITHMETIC = (operator.add, operator.sub, torch.add, torch.sub)
_OWNED = (*_ARITHMETIC, operator.mul, operator.truediv, operator.matmul, torch.mul, torch.matmul, torch.cat)
_IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_STATEFUL = (nn.RNNBase, nn.LazyLinear)


class _NoProgram(Exception):
    """The model holds something that has no safe rule here."""


def trace(model: nn.Module) -> Program | None:
    """The program of a model in evaluation mode, or None where it cannot be written as one. The model is untouched."""
    if any(m.training or _hooked(m) for m in model.modules()):
        return None
    before = [(module, dict(vars(module))) for module in model.modules()]
    try:
        return _Lowering(model, fx.Tracer().trace(model)).program()
    except Exception:  # a tracer meets every kind of Python; whatever it stumbles over, the model itself still runs
        return None
    finally:
        for module, attributes in before:  # tracing hangs tensors on the model, and runs what it assigns
            vars(module).clear()
            vars(module).update(attributes)


class _Lowering:
    """From the nodes of a traced graph to steps."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.model, self.graph = model, graph
        tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        self.first: dict[int, str] = {}
        for name, tensor in tensors:
            self.first.setdefault(id(tensor), name)
        self.passed_on: dict[str, str] = {}  # results that are an earlier one
        self.overwritten: list[tuple[str, str]] = []  # (what is overwritten, by whom)
        self.owned: set[str] = set()  # results that are no view of another
        self.relus: set[str] = set()
        self.parameters: dict[str, str] = {}  # results that are a parameter as it stands

    def program(self) -> Program:
        steps: list[Step] = []
        output = ""
        for number, node in enumerate(self.graph.nodes):
            if node.op == "placeholder":
                if number == 0:
                    self.passed_on[node.name] = INPUT
                elif node.users:
                    raise _NoProgram(f"a second input, {node.name}")
            elif node.op == "output":
                (returned,) = node.args
                if not isinstance(returned, fx.Node):
                    raise _NoProgram("an output that is not one tensor")
                output = self._name(returned)
            else:
                step = self._step(node)
                if step is not None:
                    steps.append(step)
        self._check_overwriting(steps, output)
        steps = _alive(steps, output)
        return Program(tuple(_relu_behind_pool(_folded(steps, output), output, self.relus)), output)

    def _name(self, node: fx.Node) -> str:
        return self.passed_on.get(node.name, node.name)

    def _arguments(self, node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
        reads: list[str] = []

        def refer(n: fx.Node) -> Any:
            reads.append(self._name(n))
            return Ref(self._name(n))

        args: Any = fx.map_arg(node.args, refer)
        kwargs: Any = fx.map_arg(node.kwargs, refer)
        return tuple(args), dict(kwargs), tuple(dict.fromkeys(reads))

    def _step(self, node: fx.Node) -> Step | None:
        args, kwargs, reads = self._arguments(node)
        if node.op == "get_attr":
            return self._attribute(node)
        if node.op == "call_module":
            return self._module(node, self.model.get_submodule(str(node.target)), args, kwargs, reads)
        if node.op == "call_method":
            return _method(node.name, str(node.target), args, kwargs, reads)
        return self._function(node.name, node.target, args, kwargs, reads)

    def _attribute(self, node: fx.Node) -> Step:
        value: Any = self.model
        for part in str(node.target).split("."):
            value = getattr(value, part)
        if not isinstance(value, Tensor):
            raise _NoProgram(f"an attribute that is no tensor, {node.target}")
        if id(value) in self.first:
            self.parameters[node.name] = self.first[id(value)]
            return Parameter(node.name, (), (self.first[id(value)],))
        constant = value.detach().clone()
        return Call(node.name, function=lambda: constant)

    def _module(
        self, node: fx.Node, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], reads: tuple[str, ...]
    ) -> Step | None:
        kind = type(module)
        if kind in _PASSING:
            self.passed_on[node.name] = reads[0]
            return None
        if getattr(module, "inplace", False) is True:
            module = copy.copy(module)
            setattr(module, "inplace", False)  # noqa: B010  (not every module has it)
            self.overwritten.append((reads[0], node.name))
        if kind is nn.ReLU:
            self.relus.add(node.name)
            return Call(node.name, reads, function=torch.relu, args=args[:1])
        if kind in _POOL_MODULES and not getattr(module, "return_indices", False):
            options = {key: getattr(module, key) for key in _POOL_SIGNATURE[1:6]}
            return Pool(node.name, reads, fresh=True, window=_window(options), call=module)
        if kind is nn.Linear or (kind in _CONVOLUTIONS and getattr(module, "padding_mode", "") == "zeros"):
            return self._affine(node.name, module, reads)
        if kind in _NORMS:
            return self._norm(node.name, module, reads)
        tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
        if isinstance(module, (*_STATEFUL, nn.modules.batchnorm._NormBase)) and not isinstance(module, _NORMS):
            raise _NoProgram(f"{kind.__name__} keeps a state of its own")
        if not isinstance(module, nn.Flatten | nn.Unflatten):
            self.owned.add(node.name)
        if not tensors:
            return Call(node.name, reads, function=module, args=args, kwargs=kwargs)
        local = {name: self.first[id(tensor)] for name, tensor in tensors}
        uses = tuple(dict.fromkeys(local.values()))
        return Leaf(node.name, reads, uses, args=args, kwargs=kwargs, module=module, local=local)

    def _affine(self, name: str, module: Any, reads: tuple[str, ...]) -> Step:
        weight = self.first[id(module.weight)]
        bias = None if module.bias is None else self.first[id(module.bias)]
        uses = (weight,) if bias is None else (weight, bias)
        if type(module) is nn.Linear:
            return Affine(name, reads, uses, fresh=True, weight=weight, bias=bias)
        function, options = _CONVOLUTIONS[type(module)], (module.stride, module.padding, module.dilation, module.groups)

        def call(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            return function(x, w, b, *options)

        return Affine(name, reads, uses, fresh=True, weight=weight, bias=bias, call=call)

    def _affine_function(self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step | None:
        """A functional linear layer or convolution whose weight and bias are parameters as they stand."""
        given = dict(zip(("input", "weight", "bias", *_CONVOLUTION_OPTIONS), args, strict=False)) | kwargs
        source, weight, bias = given.pop("input"), given.pop("weight"), given.pop("bias", None)
        names = [self.parameters.get(ref.name) for ref in (weight, bias) if isinstance(ref, Ref)]
        if not isinstance(source, Ref) or not names or None in names or len(names) != 1 + (bias is not None):
            return None
        uses = tuple(str(n) for n in names)
        own_bias = uses[1] if len(uses) > 1 else None
        if function is functional.linear:
            return Affine(name, (source.name,), uses, fresh=True, weight=uses[0], bias=own_bias)
        if any(isinstance(option, Ref) for option in given.values()):
            return None

        def call(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            out: Tensor = function(x, w, b, **given)
            return out

        return Affine(name, (source.name,), uses, fresh=True, weight=uses[0], bias=own_bias, call=call)

    def _norm(self, name: str, module: Any, reads: tuple[str, ...]) -> Step:
        if module.running_mean is None or module.running_var is None:
            raise _NoProgram("a BatchNorm without running statistics depends on the batch")
        named = {k: getattr(module, k) for k in ("running_mean", "running_var", "weight", "bias")}
        first = {k: None if t is None else self.first[id(t)] for k, t in named.items()}
        return Norm(
            name,
            reads,
            tuple(n for n in first.values() if n is not None),
            fresh=True,
            mean=str(first["running_mean"]),
            variance=str(first["running_var"]),
            weight=first["weight"],
            bias=first["bias"],
            eps=module.eps,
        )

    def _function(
        self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reads: tuple[str, ...]
    ) -> Step:
        if function in _RELUS:
            if function in (functional.relu_, torch.relu_) or kwargs.get("inplace") or len(args) > 1:
                self.overwritten.append((reads[0], name))
            self.relus.add(name)
            argument = args[0] if args else kwargs["input"]
            return Call(name, reads, function=torch.relu, args=(argument,))
        if function in _IN_PLACE:
            self.overwritten.append((reads[0], name))
            function = _IN_PLACE[function]
        elif kwargs.get("inplace"):
            self.overwritten.append((reads[0], name))
            kwargs = {**kwargs, "inplace": False}
        elif function is operator.setitem or getattr(function, "__name__", "").endswith("_"):
            raise _NoProgram(f"{function} changes what others may see")
        elif function is functional.batch_norm or function is torch.batch_norm:
            raise _NoProgram("a functional BatchNorm may depend on the batch")
        if function in _AFFINE_FUNCTIONS:
            step = self._affine_function(name, function, args, kwargs)
            if step is not None:
                return step
        if function in _POOL_FUNCTIONS:
            return _pool(name, function, args, kwargs, reads)
        if function in _OWNED:
            self.owned.add(name)
        fresh = function in _ARITHMETIC
        return Call(name, reads, fresh=fresh, function=function, args=args, kwargs=kwargs)

    def _check_overwriting(self, steps: list[Step], output: str) -> None:
        made = {step.result: step for step in steps}
        for target, writer in self.overwritten:
            readers = [step.result for step in steps if target in step.reads]
            owned = target in made and (made[target].fresh or target in self.owned or target in self.relus)
            if not owned or readers != [writer] or target == output:
                raise _NoProgram(f"{writer} overwrites {target}, which others may see")


def _pool(name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reads: tuple[str, ...]) -> Step:
    given = dict(zip(_POOL_SIGNATURE, args, strict=False)) | kwargs
    options = {key: value for key, value in given.items() if key != "input"}
    if options.pop("return_indices", False) or not reads or given.get("input") != Ref(reads[0]) or len(reads) > 1:
        return Call(name, reads, function=function, args=args, kwargs=kwargs)

    def call(images: Tensor) -> Any:
        return function(images, **options)

    return Pool(name, reads, fresh=True, window=_window(options), call=call)


def _window(options: dict[str, Any]) -> tuple[int, ...] | None:
    """Side lengths of windows that tile the image, or None where they overlap, or are padded or dilated."""

    def pair(value: Any) -> tuple[int, ...]:
        return (value, value) if isinstance(value, int) else tuple(value)

    size = pair(options["kernel_size"])
    stride = pair(options.get("stride") or size)
    tiles = pair(options.get("padding", 0)) == (0, 0) and pair(options.get("dilation", 1)) == (1, 1)
    return size if tiles and stride == size and len(size) == 2 and not options.get("ceil_mode", False) else None


def _method(name: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], reads: tuple[str, ...]) -> Step:
    if method.endswith("_") and not method.endswith("__"):
        raise _NoProgram(f"the method {method} changes what others may see")
    if method == "view":  # the same values; images may lie in memory in another order here
        method = "reshape"

    def call(this: Any, *rest: Any, **named: Any) -> Any:
        return getattr(this, method)(*rest, **named)

    return Call(name, reads, function=call, args=args, kwargs=kwargs)


def _alive(steps: list[Step], output: str) -> list[Step]:
    """The steps that the output needs."""
    wanted, kept = {output}, []
    for step in reversed(steps):
        if step.result in wanted:
            wanted.update(step.reads)
            kept.append(step)
    return kept[::-1]


def _readers(steps: list[Step], output: str) -> dict[str, int]:
    counts = {output: 1}
    for step in steps:
        for name in step.reads:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _folded(steps: list[Step], output: str) -> list[Step]:
    """Every BatchNorm that alone reads a linear layer or convolution becomes part of it."""
    readers = _readers(steps, output)
    made: dict[str, Step] = {}
    kept: list[Step] = []
    for step in steps:
        before = made.get(step.reads[0]) if isinstance(step, Norm) else None
        alone = before is not None and readers[before.result] == 1
        if alone and isinstance(step, Norm) and isinstance(before, Affine) and before.norm is None:
            del made[before.result]
            before.norm, before.result, before.uses = step, step.result, (*before.uses, *step.uses)
            made[before.result] = before
            continue
        made[step.result] = step
        kept.append(step)
    return kept


def _relu_behind_pool(steps: list[Step], output: str, relus: set[str]) -> list[Step]:
    """Move ReLU behind the max pooling that alone reads it, and into the fresh result that it alone reads."""
    readers = _readers(steps, output)
    made: dict[str, Step] = {step.result: step for step in steps}
    dropped: set[str] = set()
    renamed: dict[str, str] = {}
    for step in steps:
        if isinstance(step, Pool):
            source = renamed.get(step.reads[0], step.reads[0])
            relu = made.get(source)
            if relu is not None and source in relus and source not in dropped and readers[source] == 1:
                _redirect(step, source, relu.reads[0])
                dropped.add(source)
                step.relu = True
    for step in steps:
        if step.result in relus and step.result not in dropped:
            before = made.get(step.reads[0])
            if before is not None and before.fresh and not before.relu and readers[before.result] == 1:
                before.relu = True
                dropped.add(step.result)
                renamed[step.result] = before.result
    return _renamed([step for step in steps if step.result not in dropped], renamed, made)


def _renamed(steps: list[Step], renamed: dict[str, str], made: dict[str, Step]) -> list[Step]:
    """Give a result that took over a later one the later one's name, so that its readers find it."""
    for later, earlier in renamed.items():
        made[earlier].result = later
    return steps


def _redirect(step: Step, old: str, new: str) -> None:
    step.reads = tuple(new if name == old else name for name in step.reads)
    if isinstance(step, Call):
        step.args = substitute(step.args, lambda ref: Ref(new) if ref.name == old else ref)
        step.kwargs = substitute(step.kwargs, lambda ref: Ref(new) if ref.name == old else ref)


def _hooked(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, None) for name in hooks)
