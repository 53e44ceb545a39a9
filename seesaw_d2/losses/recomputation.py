"""Find out whether a forward pass is a repetition for gradient checkpointing."""

import torch


def is_recomputing() -> bool:
    """Return whether the calling code runs inside a backward pass.

    In the backward pass, gradient checkpointing (``torch.utils.checkpoint``) repeats a part of the forward pass,
    because it has not stored all activations. In compiled models, the result is always False.
    """
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
