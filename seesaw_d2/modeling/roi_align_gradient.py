"""Compute the gradient of RoIAlign with matrix products, for small feature maps on a CPU.

Shapes: C channels, feature maps of H x W positions, R regions, pooled grids of P x Q bins.
"""

import torch
from detectron2.layers import ROIAlign
from detectron2.modeling.poolers import ROIPooler
from torch import Tensor, nn
from torchvision.ops import roi_align

from seesaw_d2.losses.precision import without_autocast

# If the height or width of a feature map exceeds this number, torchvision's gradient is faster than matrix products and
# is used instead.
LARGEST_SIDE = 64


class ProductROIAlign(ROIAlign):
    """Detectron2's ROIAlign with a faster gradient on a CPU.

    Bilinear interpolation of a feature map (H, W) to a grid (P, Q) is a matrix product, output[r, c] = Y[r] features[c]
    X[r]ᵀ, for region r and channel c. The interpolation weights Y[r] (P, H) and X[r] (Q, W) depend only on r. Therefore
    the gradient of the features of an image is Σ_r Y[r]ᵀ gradient[r] X[r], a sum over the regions r of the image. This
    class computes the sum as matrix products over all regions and channels. torchvision adds the values one by one. The
    outputs of both methods are equal, and the gradients are equal up to rounding.

    On other devices, for feature maps with a side above ``LARGEST_SIDE`` and in half precision, this class runs
    Detectron2's ROIAlign.
    """

    def forward(self, input: Tensor, rois: Tensor) -> Tensor:
        """Return the pooled features of R regions, (R, channels, *output_size).

        Args:
            input: features (images, channels, height, width).
            rois: (R, 5). Each row contains the index of the image, and x0, y0, x1, y1 in pixels of the input images.
        """
        wide = input.dtype in (torch.float32, torch.float64)
        if input.device.type != "cpu" or not wide or max(input.shape[2:]) > LARGEST_SIDE:
            return super().forward(input, rois)
        options = (self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)
        return _ROIAlign.apply(input, rois.to(input.dtype), *options)


def with_product_gradients(model: nn.Module) -> None:
    """Replace each ROIAlign in the ROIPoolers of ``model`` by a ProductROIAlign, in place, to train faster on a CPU."""
    for pooler in [each for each in model.modules() if isinstance(each, ROIPooler)]:
        for index, plain in enumerate(pooler.level_poolers):
            if type(plain) is ROIAlign:
                options = (plain.output_size, plain.spatial_scale, plain.sampling_ratio, plain.aligned)
                pooler.level_poolers[index] = ProductROIAlign(*options)


class _ROIAlign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, rois, output_size, scale, sampling_ratio, aligned):
        ctx.save_for_backward(rois)
        ctx.shape, ctx.options = input.shape, (scale, sampling_ratio, aligned)
        return roi_align(input, rois, output_size, scale, sampling_ratio, aligned)

    @staticmethod
    def backward(ctx, grad):
        (rois,) = ctx.saved_tensors
        with without_autocast(grad.device):
            return features_gradient(grad, rois, ctx.shape, *ctx.options), None, None, None, None, None


def features_gradient(
    grad: Tensor, rois: Tensor, shape: torch.Size, scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return the gradient of RoIAlign with respect to the features, in the shape of the features.

    Args:
        grad: gradient of the output for R regions, (R, C, P, Q), with C channels and a pooled grid of P x Q.
        rois: (R, 5). Each row contains the index of the image, and x0, y0, x1, y1 in pixels of the input images.
        shape: shape of the features, (images, C, height, width).
        scale, sampling_ratio, aligned: as in ``ROIAlign``.
    """
    channels, height, width = shape[1:]
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    sides = boxes[:, 2:] - boxes[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    x = interpolation_weights(boxes[:, 0], sides[:, 0], grad.shape[3], width, sampling_ratio)
    y = interpolation_weights(boxes[:, 1], sides[:, 1], grad.shape[2], height, sampling_ratio)
    result = grad.new_zeros(shape)
    for image in range(shape[0]):
        own = (rois[:, 0] == image).nonzero().squeeze(1)
        if len(own):
            # A few large products. A product for each region and channel takes twice as long with some BLAS libraries.
            by_row = grad[own].transpose(1, 2).flatten(1, 2)  # (regions of the image, P x C, Q)
            rows = torch.bmm(by_row, x[own]).view(-1, channels * width)  # (regions x P, C x W)
            columns = torch.mm(y[own].reshape(-1, height).t(), rows)  # (H, C x W)
            result[image] = columns.view(height, channels, width).transpose(0, 1)
    return result


def interpolation_weights(start: Tensor, size: Tensor, bins: int, length: int, sampling_ratio: int) -> Tensor:
    """Return the weights of RoIAlign's bilinear interpolation along one axis for R regions, (R, bins, length).

    The weight [r, b, i] is the contribution of position i of the feature map to bin b of region r. The value of a bin
    is the mean of equally spaced samples. Each sample is interpolated linearly between two positions of the feature
    map. Samples up to 1 position outside the map are clamped to the edge. Samples farther outside have the value 0.

    Args:
        start, size: (R,), start and size of each region along the axis, in units of feature map positions.
        bins: number of bins of the pooled grid along the axis.
        length: size of the feature map along the axis.
        sampling_ratio: number of samples in a bin along the axis. If 0, a bin has ceil(size / bins) samples, so that an
            empty region has no samples.
    """
    per_bin = size / bins
    count = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else per_bin.ceil()
    most = max(int(count.max()), 1) if len(count) else 1
    bin_index = torch.arange(bins, dtype=start.dtype, device=start.device).view(1, -1, 1)
    sample = torch.arange(most, dtype=start.dtype, device=start.device).view(1, 1, -1)
    start, per_bin, count = (each.view(-1, 1, 1) for each in (start, per_bin, count))
    # Positions of the samples along the axis, (regions, bins, samples), in units of feature map positions.
    at = start + bin_index * per_bin + (sample + 0.5) * (per_bin / count.clamp(min=1))
    weight = ((at >= -1) & (at <= length) & (sample < count)).to(at.dtype) / count.clamp(min=1)
    at = at.clamp(min=0, max=length - 1)
    low = at.floor()
    fraction = at - low
    index = low.long()
    weights = start.new_zeros(len(start), bins, length)
    weights.scatter_add_(2, index, (1 - fraction) * weight)
    return weights.scatter_add_(2, (index + 1).clamp(max=length - 1), fraction * weight)
