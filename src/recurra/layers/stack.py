"""The parameters of a stack of recurrent layers, and their exchange with ``torch.nn``.

``nn.LSTM`` and ``nn.RNN`` add ``bias_ih`` and ``bias_hh``, so one bias with their sum computes the same. GRU
keeps both, since its reset gate multiplies the recurrent product together with ``bias_hh``.

Dimensions: ``E`` input features, ``H`` hidden units, ``D`` directions (1 or 2).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any, Literal, Self, TypeAlias, cast

import torch
from torch import Tensor, nn

from recurra.cells import cell_named
from recurra.cells.spec import Activation, CellSpec, Weights
from recurra.errors import ConfigError

__all__ = ["InitialWeights", "Stack"]

InitialWeights: TypeAlias = Literal["keras", "torch"]
_LAYER = re.compile(r"_l(\d+)(?!\d)")  # in weight_hh_l0_reverse, parametrizations.weight_hh_l0.original


class Stack(nn.Module):
    """The parameters of a stack: names, shapes, initial values. ``Recurrent`` adds the computation.

    Args:
        input_size: ``E``.
        units: ``H``; a sequence gives each layer its own width.
        cell: Name of a cell; needed unless the subclass has one.
        layers: number of layers, if neither ``units`` nor ``activation`` is a sequence.
        bidirectional: Whether there are two directions.
        activation: of each layer.
        initial_weights: ``"keras"`` or ``"torch"``.
        device: of the parameters; torch's default if None.
        dtype: of the parameters; torch's default if None.

    Raises:
        ConfigError: There is no such cell, a size is below 1, or sequences differ in length.
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
        activation: Activation | Sequence[Activation],
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
        self.initial_weights: InitialWeights = initial_weights
        if input_size < 1 or min(self.units) < 1:
            raise ConfigError("input_size and units must be 1 or more")
        for depth, H in enumerate(self.units):
            E = input_size if depth == 0 else self.directions * self.units[depth - 1]
            for suffix in self.suffixes(depth):
                for name, shape in self.spec.shapes(E, H).items():
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
        """``D*H`` of the last layer."""
        return self.directions * self.units[-1]

    def suffixes(self, layer: int) -> list[str]:
        """The endings of a layer's parameter names, one a direction: ``l0``, ``l0_reverse``."""
        return [f"l{layer}", f"l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str) -> Weights:
        """The weights of one layer and direction: parameters, or what a parametrization makes of them."""
        return Weights({name: getattr(self, f"{name}_{suffix}") for name in self.spec.parameter_names})

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, both directions, from the first layer on.

        Those that a subclass adds without a layer in their name belong to the last one.
        """
        groups: list[list[nn.Parameter]] = [[] for _ in range(self.layers)]
        for name, parameter in self.named_parameters():
            layers = _LAYER.findall(name)
            groups[int(layers[-1]) if layers else -1].append(parameter)
        return groups

    def reset_parameters(self) -> None:
        """Draws new initial values from torch's generator."""
        for depth, H in enumerate(self.units):
            for suffix in self.suffixes(depth):
                for parameter in self.spec.parameters:
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
        suffixes = [suffix for depth in range(self.layers) for suffix in self.suffixes(depth)]
        weights = {
            f"{name}_{suffix}": value for suffix in suffixes for name, value in self.weights(suffix).items()
        }
        return _with_two_biases({name: value.detach() for name, value in weights.items()})

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
        made = cls(**_module_settings(spec, module) | settings)
        weights = module.state_dict()
        _add_biases(weights, made.state_dict())
        # a module made with bias=False has none
        zeros = {name: torch.zeros_like(value) for name, value in made.state_dict().items() if "bias" in name}
        made.load_state_dict(zeros | weights)
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
        if self.spec.torch_module is not None:
            _add_biases(state_dict, self._parameters.keys(), prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _per_layer(
    units: int | Sequence[int], activation: Activation | Sequence[Activation], layers: int, spec: CellSpec
) -> tuple[list[int], list[Activation]]:
    widths = None if isinstance(units, int) else list(units)
    functions = None if isinstance(activation, str) or callable(activation) else list(activation)
    depths = {len(values) for values in (widths, functions) if values is not None}
    if layers != 1 or not depths:
        depths.add(layers)
    if len(depths) != 1 or min(depths) < 1:
        raise ConfigError("units, activation and layers name different numbers of layers, or none")
    depth = depths.pop()
    each_width = widths if widths is not None else [cast(int, units)] * depth
    each_function = functions if functions is not None else [cast(Activation, activation)] * depth
    for function in each_function:
        if isinstance(function, str) and function not in spec.activations:
            raise ConfigError(
                f"{spec.title} has no activation {function!r}",
                hint=f"use {', '.join(spec.activations)} or a function",
            )
    return each_width, each_function


def _module_settings(spec: CellSpec, module: nn.RNNBase) -> dict[str, Any]:
    """The settings that a layer needs to compute what a module computes, its device and dtype included."""
    if spec.torch_module is None or not isinstance(module, spec.torch_module):
        raise ConfigError(f"{spec.title} can't be made from {type(module).__name__}")
    if module.proj_size:
        raise ConfigError("an LSTM with proj_size has no counterpart here", hint="give one without")
    first = module.get_parameter("weight_ih_l0")
    return {
        "input_size": module.input_size,
        "units": module.hidden_size,
        "layers": module.num_layers,
        "bidirectional": module.bidirectional,
        "activation": getattr(module, "nonlinearity", "tanh"),
        "device": first.device,
        "dtype": first.dtype,
    }


def _add_biases(weights: MutableMapping[str, Tensor], names: Collection[str], prefix: str = "") -> None:
    """Replaces two biases of ``weights`` by their sum wherever ``names`` has one.

    Args:
        weights: named as in ``torch.nn``, each name after ``prefix``; changed in place.
        names: of the parameters that are to be filled, without prefix.
        prefix: of the names in ``weights``.
    """
    for name in names:
        other = name.replace("bias_ih_", "bias_hh_")
        if name.startswith("bias_ih_") and other not in names and prefix + other in weights:
            first, second = weights.get(prefix + name), weights[prefix + other]
            if first is not None and first.shape == second.shape:
                weights[prefix + name] = first + second
                del weights[prefix + other]


def _with_two_biases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with zeros for each ``bias_hh`` that is missing beside a ``bias_ih``, in torch's order."""
    complete: dict[str, Tensor] = {}
    for name, value in weights.items():
        complete[name] = value
        other = name.replace("bias_ih_", "bias_hh_")
        if other not in weights:
            complete[other] = torch.zeros_like(value)
    return complete
