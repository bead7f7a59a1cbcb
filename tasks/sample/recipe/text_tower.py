"""First lesson of the text tower: what e5 means by 50,000 words and phrases."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.sample.recipe import progress
from tasks.sample.recipe.towers import EMBED_DIM, Tokenizer, encode_texts, mixed_precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextPlan:
    """Steps, batch and rate of the distillation."""

    steps: int = 2000
    batch: int = 256
    rate: float = 1.2e-3
    seed: int = 0


@dataclass(frozen=True)
class Meaning:
    """From e5's 384 numbers to 256 centred ones that keep the most variance."""

    centre: Tensor
    axes: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """e5 vectors (N, 384) -> (N, 256), L2 = 1."""
        return F.normalize(F.normalize(vectors - self.centre, dim=-1) @ self.axes, dim=-1)


def principal_meaning(vectors: Tensor) -> Meaning:
    """Fit the reduction to training texts' e5 vectors (N, 384)."""
    centre = vectors.mean(0)
    centred = F.normalize(vectors - centre, dim=-1)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    return Meaning(centre, axes[:, -EMBED_DIM:].flip(1))


def distil(
    student: nn.Module,
    tokenizer: Tokenizer,
    texts: list[str],
    targets: Tensor,
    file: Path,
    plan: TextPlan,
) -> None:
    """Train the text tower to give texts their targets (N, 256); resumes from `file`."""
    parameters = [p for n, p in student.named_parameters() if not n.startswith("visual")]
    optimiser = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.02, betas=(0.9, 0.98))
    chance = torch.Generator().manual_seed(plan.seed)
    start = 0
    if (saved := progress.load(file)) is not None:
        student.load_state_dict(saved["text"], strict=False)
        optimiser.load_state_dict(saved["optimiser"])
        chance.set_state(saved["chance"])
        start = saved["step"]
    student.train()
    for step in range(start, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * progress.cosine(step, plan.steps)
        rows = torch.randint(len(texts), (plan.batch,), generator=chance).tolist()
        with mixed_precision():
            encoded = encode_texts(student, tokenizer, [texts[row] for row in rows])
        loss = distillation_loss(F.normalize(encoded.float(), dim=-1), targets[rows])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if step % 100 == 0 or step + 1 == plan.steps:
            log.info("text tower: step %d of %d, loss %.3f", step, plan.steps, loss.item())
        if (step + 1) % 1000 == 0 or step + 1 == plan.steps:
            text = {n: v for n, v in student.state_dict().items() if not n.startswith("visual")}
            state = {"text": text, "optimiser": optimiser.state_dict(), "step": step + 1}
            progress.save(file, {**state, "chance": chance.get_state()})


def distillation_loss(encoded: Tensor, targets: Tensor) -> Tensor:
    """Point the same way as the target, and more so than to any other text's target."""
    nearness = (1 - (encoded * targets).sum(1)).mean()
    telling = F.cross_entropy(encoded @ targets.T * 15, torch.arange(len(encoded)))
    return 2 * nearness + 0.3 * telling
