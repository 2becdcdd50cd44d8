"""The parameters of a stack of recurrent layers, and their exchange with ``torch.nn``.

``nn.LSTM`` and ``nn.RNN`` add ``bias_ih`` and ``bias_hh``, so one bias with their sum computes the same. GRU
keeps both, since its reset gate multiplies the recurrent product together with ``bias_hh``.

Dimensions: ``E`` input features, ``H`` hidden units, ``D`` directions (1 or 2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias

import torch
from torch import Tensor, nn

from recurra.cells import cell_named
from recurra.cells.spec import Activation, CellSpec, Weights
from recurra.errors import ConfigError

__all__ = ["InitialWeights", "MergeMode", "Stack"]

InitialWeights: TypeAlias = Literal["keras", "torch"]
MergeMode: TypeAlias = Literal["concat", "sum", "mul", "ave"]


class Stack(nn.Module):
    """The parameters of a stack: names, shapes, initial values. ``Recurrent``, which adds the computation,
    describes the arguments and errors.
    """

    cell: str = ""

    def __init__(
        self,
        input_size: int,
        units: int | Sequence[int],
        *,
        cell: str | None,
        layers: int,
        bidirectional: bool,
        activation: Activation | Sequence[Activation] | None,
        merge_mode: MergeMode,
        initial_weights: InitialWeights,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        if self.cell and cell and cell != self.cell:
            raise ConfigError(
                f"{type(self).__name__} is of cell {self.cell}, not {cell}", hint="use Recurrent"
            )
        self.cell = cell or self.cell
        self.input_size = input_size
        self.units, self.activations = _per_layer(units, activation, layers, self.spec)
        self.bidirectional = bidirectional
        self.merge_mode: MergeMode = merge_mode
        self.initial_weights: InitialWeights = initial_weights
        if input_size < 1 or min(self.units) < 1:
            raise ConfigError("input_size and units must be 1 or more")
        self._names: dict[str, tuple[str, ...]] = {}
        for depth, H in enumerate(self.units):
            shapes = self.spec.shapes(self.input_size_of(depth), H)
            for suffix in self.suffixes(depth):
                self._names[suffix] = tuple(shapes)
                for name, shape in shapes.items():
                    parameter = nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_{suffix}", parameter)
        self.reset_parameters()

    @property
    def spec(self) -> CellSpec:
        """The cell's equations and facts."""
        return cell_named(self.cell)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.units)

    @property
    def directions(self) -> int:
        """``D``: 2 where bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Features of the outputs: ``D*H`` of the last layer, ``H`` if both directions are merged."""
        return self._features(len(self.units) - 1)

    def input_size_of(self, layer: int) -> int:
        """Features that a layer reads: ``E`` for the first one, then the outputs of the one below."""
        return self.input_size if layer == 0 else self._features(layer - 1)

    def _features(self, layer: int) -> int:
        return (self.directions if self.merge_mode == "concat" else 1) * self.units[layer]

    def suffixes(self, layer: int) -> list[str]:
        """The endings of a layer's parameter names, one a direction: ``l0``, ``l0_reverse``."""
        return [f"l{layer}", f"l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str) -> Weights:
        """The weights of one layer and direction: parameters, or what a parametrization makes of them."""
        return Weights({name: getattr(self, f"{name}_{suffix}") for name in self._names[suffix]})

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, both directions, from the first layer on.

        Those that a subclass adds without a layer in their name belong to the last one.
        """
        # such as weight_hh_l0_reverse, parametrizations.weight_hh_l0.original
        numbered = re.compile(rf"(?:parametrizations\.)?(?:{'|'.join(self.spec.parameter_names)})_l(\d+)")
        groups: list[list[nn.Parameter]] = [[] for _ in range(self.layers)]
        for name, parameter in self.named_parameters():
            match = numbered.match(name)
            groups[int(match[1]) if match else -1].append(parameter)
        return groups

    def reset_parameters(self) -> None:
        """Draws new initial values from torch's generator."""
        for depth, H in enumerate(self.units):
            for suffix in self.suffixes(depth):
                for parameter in self.spec.parameters:
                    if parameter.name not in self._names[suffix]:
                        continue
                    fill = parameter.initial if self.initial_weights == "keras" else parameter.initial_torch
                    fill(self.get_parameter(f"{parameter.name}_{suffix}").data, H)

    def torch_state_dict(self) -> dict[str, Tensor]:
        """The weights under the names of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, for its ``load_state_dict``.

        Where the cell has one bias, the module's second is zero. The tensors share memory with the layer's,
        except for weights that a parametrization computes.

        Raises:
            ConfigError: torch has no such module.

        Example:
            >>> import recurra
            >>> layer, module = recurra.LSTM(3, 4, layers=2), nn.LSTM(3, 4, num_layers=2, batch_first=True)
            >>> module.load_state_dict(layer.torch_state_dict())
            <All keys matched successfully>
            >>> x = torch.randn(2, 5, 3)
            >>> torch.allclose(layer(x)[0], module(x)[0], atol=1e-6)
            True
        """
        if self.spec.torch_module is None:
            raise ConfigError(f"torch.nn has no {self.spec.title}")
        weights: dict[str, Tensor] = {}
        for depth in range(self.layers):
            for suffix in self.suffixes(depth):
                for name, value in self.weights(suffix).items():
                    weights[f"{name}_{suffix}"] = value.detach()
                weights.setdefault(f"bias_hh_{suffix}", torch.zeros_like(weights[f"bias_ih_{suffix}"]))
        return weights

    @classmethod
    def from_torch(cls, module: nn.RNNBase, **settings: Any) -> Self:
        """Makes a layer with a copy of the weights of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``.

        The module's dropout is not taken over, since it means something else: it is drawn anew at every step
        and left out at the first layer's input.

        Args:
            module: of the class's cell, on any device and of any floating dtype, which the layer gets too.
            settings: further arguments of the class, such as ``dropout`` or ``return_sequences``.

        Raises:
            ConfigError: The module is of another cell or has a projection.

        Example:
            >>> import recurra
            >>> module = nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True)
            >>> layer, x = recurra.GRU.from_torch(module, dropout=0.2).eval(), torch.randn(2, 5, 3)
            >>> torch.allclose(layer(x)[0], module(x)[0], atol=1e-6)
            True
        """
        spec = cell_named(settings.get("cell", cls.cell))
        if spec.torch_module is None or not isinstance(module, spec.torch_module):
            raise ConfigError(f"{spec.title} can't be made from {type(module).__name__}")
        if module.proj_size:
            raise ConfigError("an LSTM with proj_size has no counterpart here", hint="give one without")
        first = module.get_parameter("weight_ih_l0")
        given: dict[str, Any] = {
            "input_size": module.input_size,
            "units": module.hidden_size,
            "layers": module.num_layers,
            "bidirectional": module.bidirectional,
            "activation": getattr(module, "nonlinearity", "tanh"),
            "device": first.device,
            "dtype": first.dtype,
        }
        made = cls(**given | settings)
        # a module made with bias=False has none
        zeros = {name: torch.zeros_like(value) for name, value in made.state_dict().items() if "bias" in name}
        made.load_state_dict(zeros | module.state_dict())
        return made

    def to_torch(self) -> nn.RNNBase:
        """Makes a module of ``torch.nn`` (``batch_first``, no dropout) with a copy of the weights.

        Raises:
            ConfigError: torch has no such module: layers of different widths or activations, or another
                activation than tanh in LSTM or GRU.

        Example:
            >>> import recurra
            >>> recurra.LSTM(3, 4, bidirectional=True).to_torch()
            LSTM(3, 4, batch_first=True, bidirectional=True)
        """
        spec = self.spec
        if self.bidirectional and self.merge_mode != "concat":
            raise ConfigError("torch.nn concatenates the outputs of both directions")
        if spec.torch_module is None:
            raise ConfigError(f"torch.nn has no {spec.title}")
        if len(set(self.units)) > 1 or len(set(self.activations)) > 1:
            raise ConfigError("torch.nn has no stack whose layers differ in width or activation")
        options: dict[str, Any] = {"batch_first": True, "bidirectional": self.bidirectional}
        if spec.torch_module is nn.RNN and self.activations[0] in ("tanh", "relu"):
            options["nonlinearity"] = self.activations[0]
        elif self.activations[0] != "tanh":
            raise ConfigError(f"torch.nn has no {spec.title} with activation {self.activations[0]}")
        module = spec.torch_module(self.input_size, self.units[0], self.layers, **options)
        weights = self.torch_state_dict()
        module.to(weights["weight_ih_l0"]).load_state_dict(weights)
        return module

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # two biases of torch.nn are replaced by their sum where the layer has one
        for name in self._parameters if self.spec.torch_module is not None else ():
            other = name.replace("bias_ih_", "bias_hh_")
            if other not in self._parameters and {prefix + name, prefix + other} <= state_dict.keys():
                first, second = state_dict[prefix + name], state_dict[prefix + other]
                if first.shape == second.shape:
                    state_dict[prefix + name] = first + second
                    del state_dict[prefix + other]
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _per_layer(
    units: int | Sequence[int],
    activation: Activation | Sequence[Activation] | None,
    layers: int,
    spec: CellSpec,
) -> tuple[list[int], list[Activation]]:
    widths = units if isinstance(units, int) else list(units)
    activation = spec.activation if activation is None else activation
    functions = activation if isinstance(activation, str) or callable(activation) else list(activation)
    depths = {len(values) for values in (widths, functions) if isinstance(values, list)}
    if layers != 1 or not depths:
        depths.add(layers)
    if len(depths) != 1 or min(depths) < 1:
        raise ConfigError("units, activation and layers name different numbers of layers, or none")
    depth = depths.pop()
    each_width = widths if isinstance(widths, list) else [widths] * depth
    each_function = functions if isinstance(functions, list) else [functions] * depth
    for function in each_function:
        if isinstance(function, str) and function not in spec.activations:
            raise ConfigError(
                f"{spec.title} has no activation {function!r}",
                hint=f"use {', '.join(spec.activations)} or a function",
            )
    return each_width, each_function
