"""Compute classification losses of logit maps, with little memory, for semantic segmentation.

Shapes: N images, L logits of each pixel. Logit maps have the shape (N, L, H, W), or more generally (N, L, ...).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# ``MapLoss`` processes the pixels in blocks. _BLOCK_BYTES maps a device type to the size in bytes of the float32 logits
# of a block. On a CPU, such a block fits into the cache of a core. All other devices use _OTHER_BLOCK_BYTES.
_BLOCK_BYTES = {"cpu": 2**20}
_OTHER_BLOCK_BYTES = 2**26

# Type of the method ``ClassificationLoss.compute``. The arguments are logits, labels, weights and avg_factor. The
# result is a dict of losses. ``MapLoss`` needs a function that returns only the loss "loss_cls".
Compute = Callable[[Tensor, Tensor, Tensor | None, float], dict[str, Tensor]]


def as_maps(logits: Tensor, *others: Tensor | None) -> list[Any]:
    """Convert logits and ``others``, such as labels, to the shapes of maps that ``MapLoss`` requires.

    The logits (N, L) and others (N,) of N samples become one image with N pixels: logits (1, L, N) and others (1, N).
    The logits (N, L, ...) and others (N, ...) of N images do not change. A sample or pixel has L logits.
    """
    if logits.dim() > 2:
        return [logits, *others]
    return [logits.t().unsqueeze(0), *(None if each is None else each.unsqueeze(0) for each in others)]


class MapLoss(torch.autograd.Function):
    """Sum a loss over the labelled pixels of logit maps. To save memory, process the pixels block by block.

    The loss functions take logits (R, L) with a row for each of R samples. Therefore the pixels of each block are
    copied to rows. Only one block is copied at any time.

    The forward pass also computes the gradient of the logits and saves this gradient for the backward pass. The
    gradient has the shape and dtype of the logits, so it needs no more memory than the log-softmax that
    ``F.cross_entropy`` saves. It does not include the weights, because the products could overflow or underflow in half
    precision. The backward pass multiplies by the weights in float32.

    Args of ``apply``:
        logits: (N, L, ...), L logit maps of N images, in any memory format.
        labels: (N, ...) int64.
        weights: (N, ...) without gradient, or None.
        labelled: (N, ...) bool, True for pixels that are included in the sum.
        compute: function of type ``Compute``, which computes the loss of the rows of a block.

    Returns:
        scalar tensor, the sum of the losses. The dtype is float32 if the logits have half precision.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, labels: Tensor, weights: Tensor | None, labelled: Tensor, compute: Compute):
        if ctx.needs_input_grad[2]:
            raise ValueError(
                "weights: expected a tensor that does not require a gradient for logit maps, found a tensor that "
                "requires one. Pass weights.detach()."
            )
        differentiates = ctx.needs_input_grad[0]
        has_columns = logits.is_contiguous() or logits.movedim(1, -1).is_contiguous()
        logits = logits if has_columns else logits.contiguous()
        grad = torch.zeros_like(logits) if differentiates else None
        sums: list[Any] = [logits.new_zeros((), dtype=torch.promote_types(logits.dtype, torch.float32))]
        weights = None if weights is None else weights.to(sums[0].dtype).where(labelled, 0)
        size = _BLOCK_BYTES.get(logits.device.type, _OTHER_BLOCK_BYTES)
        size = max(size // (4 * logits.shape[1]), 1)
        for image in range(len(logits)):
            columns = _columns(logits[image])
            own_labels, own_labelled = labels[image].flatten(), labelled[image].flatten()
            own_weights = None if weights is None else weights[image].flatten()
            for start in range(0, columns.shape[1], size):
                # Copy all pixels of the block to rows, then select the rows of the labelled pixels. This is faster than
                # selecting the labelled pixels directly.
                block = slice(start, start + size)
                kept = own_labelled[block].nonzero().squeeze(1)
                rows = columns[:, block].t().to(sums[0].dtype).contiguous()
                with torch.enable_grad():
                    chosen = rows.index_select(0, kept).requires_grad_(differentiates)
                    of_block = None if own_weights is None else own_weights[block][kept]
                    loss = compute(chosen, own_labels[block][kept], of_block, 1.0)["loss_cls"]
                sums.append(loss.detach())
                if grad is not None:
                    of_chosen = torch.autograd.grad(loss, chosen)[0]
                    if of_block is not None:
                        of_chosen /= of_block.where(of_block > 0, 1).unsqueeze(1)
                    _columns(grad[image])[:, block] = torch.zeros_like(rows).index_copy_(0, kept, of_chosen).t()
        ctx.save_for_backward(grad, weights)
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output: Tensor):
        grad, weights = ctx.saved_tensors
        # The scale has the shape (1,). PyTorch would convert a scalar tensor to the dtype of grad, such as float16,
        # before the product.
        scale = grad_output.view(1) if weights is None else (weights * grad_output).unsqueeze(1)
        return torch.mul(grad, scale, out=torch.empty_like(grad)), None, None, None, None


def _columns(maps: Tensor) -> Tensor:
    """Return a view (L, P) of the L logit maps of an image, (L, ...), with a column for each of the P pixels."""
    if maps.is_contiguous():
        return maps.flatten(1)
    return maps.movedim(0, -1).view(-1, len(maps)).t()
