"""Implement PCB with cross-entropy and the weights of the authors' CrossEntropyPCBLoss, to reproduce its numbers."""

import torch

from seesaw_d2.losses import PairwiseClassBalance


class AuthorsCrossEntropyPCB(PairwiseClassBalance):
    """Apply label weights and avg_factor only to the hard part. The soft part is a KL divergence divided by N."""

    def compute(self, logits, labels, weights, avg_factor):
        strength, foreground = self._strength(logits.dtype), labels < self.num_classes
        if strength == 0:
            return self.loss.compute(logits, labels, weights, avg_factor)
        weights = torch.ones_like(logits[:, 0]) if weights is None else weights
        hard = self.loss.compute(logits, labels, weights * (1 - strength * foreground), avg_factor)["loss_cls"]
        soft = self.confusion.t()[labels[foreground]]
        soft = torch.nn.functional.pad(soft / soft.sum(dim=1, keepdim=True), (0, 1))
        log_probs = logits[foreground].log_softmax(dim=1)
        divergence = torch.nn.functional.kl_div(log_probs, soft, reduction="sum") / len(labels)
        return {"loss_cls": hard + strength * divergence}
