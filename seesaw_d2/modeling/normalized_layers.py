"""Define normalized linear and convolutional layers (Seesaw Loss paper, sections 3.2 and 3.3)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seesaw_d2.losses.base import check_number


class _Normalized(nn.Module):
    """Base class of ``NormedLinear`` and ``NormedConv2d``. It checks their arguments and initializes their parameters.

    Attributes:
        weight, bias: parameters of the layer. ``bias`` is None for a layer without bias.
        temperature: factor of the logits, > 0.
        power: exponent of the norms, > 0.
        eps: number > 0 that is added to the powers of the norms, to avoid a division by zero.
    """

    weight: Tensor
    bias: Any
    temperature: float
    power: float
    eps: float

    def _set_normalization(self, temperature: float, power: float, eps: float) -> None:
        for name, value in (("temperature", temperature), ("power", power), ("eps", eps)):
            setattr(self, name, check_number(name, value, "a number > 0", lambda number: number > 0))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, temperature={self.temperature}, power={self.power}"


class NormedLinear(_Normalized, nn.Linear):
    """Linear layer with normalized weights and features, z = τ W̃ᵀ x̃ + b.

    Here w̃ = w / (‖w‖^power + eps) for the weights w of each logit, and x̃ = x / (‖x‖^power + eps) for the features x of
    each region. τ is the temperature. In a plain classifier, frequent categories have weights with larger norms. With
    ``power`` 1, these norms do not affect the logits.

    Reference: mmdet 3.3.0, mmdet/models/layers/normed_predictor.py. The results equal those of the reference. Norms are
    computed in float32 or float64, so that the norms of half-precision features do not overflow.

    Args:
        in_features: number of input features.
        out_features: number of logits, for example the number of categories.
        bias: whether the layer has a bias b.
        temperature: τ > 0.
        power: > 0, exponent of the norms. With 1, w̃ and x̃ are unit vectors up to eps.
        eps: > 0, added to ‖w‖^power and ‖x‖^power, so that a zero vector gives 0 with a finite gradient.

    Raises:
        ValueError: ``temperature``, ``power`` or ``eps`` is not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        temperature: float = 20.0,
        power: float = 1.0,
        eps: float = 1e-6,
    ):
        super().__init__(in_features, out_features, bias=bias)
        self._set_normalization(temperature, power, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (R, out_features), of R regions with the features ``x``, (R, in_features)."""
        weight = _scaled(self.weight, self.weight, 1, self.power, self.eps)
        return F.linear(_scaled(x, x, -1, self.power, self.eps, self.temperature), weight, self.bias)


class NormedConv2d(_Normalized, nn.Conv2d):
    """Convolution of normalized features with normalized filters. ``NormedLinear`` describes the normalization.

    The features at each position are normalized over the channels before padding.

    Reference: as in ``NormedLinear``. The reference keeps the initialization of ``nn.Conv2d``, and the mask head
    initializes the layer again. This layer initializes the weights with standard deviation 0.01 and the bias with 0, as
    ``NormedLinear`` does.

    Args:
        in_channels, out_channels, kernel_size, stride, padding: as in ``nn.Conv2d``.
        temperature: > 0, factor of the normalized features.
        power: > 0, exponent of the norms. With 1, filters and features are normalized to unit vectors up to eps.
        eps: > 0, added to the powers of the norms, to avoid a division by zero.
        norm_over_kernel: whether to normalize each filter as a single vector. If False, each filter is normalized over
            its channels, separately at each position of the kernel.
        kwargs: further arguments of ``nn.Conv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        *,
        temperature: float = 20.0,
        power: float = 1.0,
        eps: float = 1e-6,
        norm_over_kernel: bool = False,
        **kwargs: Any,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, **kwargs)
        self._set_normalization(temperature, power, eps)
        self.norm_over_kernel = norm_over_kernel

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for the features ``x`` (R, in_channels, height, width) of R regions.

        The result has the shape of the output of ``nn.Conv2d``.
        """
        dims = (1, 2, 3) if self.norm_over_kernel else 1
        weight = _scaled(self.weight, self.weight, dims, self.power, self.eps)
        x = _scaled(x, x, 1, self.power, self.eps, self.temperature)
        return self._conv_forward(x, weight, self.bias)

    def forward_selected(self, x: Tensor, class_index: Tensor) -> Tensor:
        """Return ``forward(x)[r, class_index[r]]`` of each region r, but apply only one of the filters to each region.

        This saves memory, because the outputs of the other filters are not computed. Instead of normalizing a copy of
        the features, this method divides the output at each position by the norm of the features, which gives the same
        result. If products are computed in half precision, the features are normalized first to avoid an overflow.

        Args:
            x: features of R regions, (R, in_channels, H, W).
            class_index: (R,) int64 in [0, out_channels), index of the filter for each region.

        Returns:
            (R, 1, H, W). The gradients of x, weight and bias equal those of ``forward`` followed by indexing.

        Raises:
            ValueError: the layer is not a 1 x 1 convolution with stride 1, no padding and one group.
        """
        plain = ((1, 1), (1, 1), (0, 0), 1)
        found = (self.kernel_size, self.stride, self.padding, self.groups)
        if found != plain:
            raise ValueError(
                f"forward_selected: expected a layer with (kernel size, stride, padding, groups) = {plain}, found "
                f"{found}. Call the layer itself instead."
            )
        weight = self.weight.flatten(1)[class_index]
        weight = _scaled(weight, weight, 1, self.power, self.eps)
        half = _multiplies_in_half(x)
        features = _scaled(x, x, 1, self.power, self.eps, self.temperature) if half else x
        output = one_filter_each(features, weight)
        if not half:
            output = _scaled(output, x, 1, self.power, self.eps, self.temperature)
        if self.bias is None:
            return output
        return output + self.bias[class_index].view(-1, 1, 1, 1).to(output.dtype)


def one_filter_each(x: Tensor, filters: Tensor) -> Tensor:
    """Apply a different 1 x 1 filter to each of R regions.

    Args:
        x: features of R regions, (R, D, H, W), with D channels and H x W positions.
        filters: (R, D), the filter of each region.

    Returns:
        (R, 1, H, W).
    """
    return torch.bmm(filters.unsqueeze(1), x.flatten(2)).view(x.shape[0], 1, *x.shape[2:])


def _multiplies_in_half(x: Tensor) -> bool:
    """Return whether matrix products with ``x`` are computed in float16 or bfloat16, due to autocast or its dtype."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return torch.finfo(dtype).bits < 32


def _scaled(
    values: Tensor, vectors: Tensor, dim: int | tuple[int, ...], power: float, eps: float, scale: float = 1.0
) -> Tensor:
    """Return ``values`` * scale / (‖vectors‖^power + eps) in the dtype of ``values``.

    Args:
        values: tensor to divide by the norms.
        vectors: tensor whose norms are computed over ``dim``, often equal to ``values``. The norms are broadcast.
        dim: dimension or dimensions of the norms.
        power: exponent of the norms, > 0.
        eps: > 0, avoids a division by zero.
        scale: factor of the result, the temperature.
    """
    wide = torch.promote_types(vectors.dtype, torch.float32)
    norm = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True, dtype=wide)
    if power != 1:
        # Without the clamp, the gradient of a power below 1 would be infinite for a zero vector.
        norm = norm.clamp(min=torch.finfo(wide).tiny).pow(power)
    return (values * (scale / (norm + eps))).to(values.dtype)
