"""The teacher of the image tower: ImageNet features and a small head that speaks e5's language."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.sample.recipe.augment import on_white, premultiplied, varied
from tasks.sample.recipe.backbone import Backbone
from tasks.sample.recipe.pictures import Gallery
from tasks.sample.recipe.progress import cosine
from tasks.sample.recipe.towers import EMBED_DIM
from tasks.sample.recipe.words import Lexicon

log = logging.getLogger(__name__)

_BATCH = 96
_SIZE = 128


def plain_features(gallery: Gallery, packages: Path, file: Path) -> Tensor:
    """Features of every picture as it is: float16 (N, F), computed once."""
    if not file.exists():
        backbone = Backbone(packages)
        batches = [
            backbone.features(on_white(_rows(gallery, range(s, s + _BATCH)), _SIZE)).half()
            for s in range(0, len(gallery.artists), _BATCH)
        ]
        torch.save(torch.cat(batches), file)
    stored: Tensor = torch.load(file, weights_only=True)
    return stored


def varied_features(
    gallery: Gallery, packages: Path, file: Path, rows: list[int], mirrored: Tensor, seed: int
) -> Tensor:
    """Features of one random look of each of these pictures: float16 (len(rows), F)."""
    if not file.exists():
        backbone = Backbone(packages)
        chance = torch.Generator().manual_seed(seed)
        batches = []
        for start in range(0, len(rows), _BATCH):
            some = slice(start, start + _BATCH)
            drawings = (premultiplied(_rows(gallery, rows[some])) * 255).round().byte()
            looks = varied(drawings, _SIZE, mirrored[some], chance)
            batches.append(backbone.features(looks).half())
        torch.save(torch.cat(batches), file)
    stored: Tensor = torch.load(file, weights_only=True)
    return stored


def _rows(gallery: Gallery, rows: range | list[int]) -> Tensor:
    inside = [row for row in rows if row < len(gallery.artists)]
    return torch.from_numpy(gallery.pixels[inside].copy())


@dataclass(frozen=True)
class TeacherPlan:
    """Steps, batch and rate of the head's training."""

    steps: int = 400
    batch: int = 256
    rate: float = 1e-3
    hidden: int = 768
    seed: int = 0


@dataclass(frozen=True)
class Bank:
    """All trained words at once, to tell a picture's own from all others.

    :ivar meanings: the words' vectors, float32 (K, 256), L2 = 1
    :ivar owned: float32 (K, C), 1 where a concept owns a word
    :ivar weights: float32 (K, C), how much each word counts for a concept; columns sum to 1
    """

    words: list[str]
    concepts: list[str]
    meanings: Tensor
    owned: Tensor
    weights: Tensor


def word_bank(lexicon: Lexicon, concepts: list[str], meanings: dict[str, Tensor]) -> Bank:
    """Every word that may be trained on; rare words, and names above all, count more."""
    owners: dict[str, dict[int, float]] = {}
    for column, code in enumerate(concepts):
        concept = lexicon.concepts[code]
        for word in concept.more_words:
            owners.setdefault(word, {})[column] = 0.5
        for word in lexicon.trained_words(concept):
            owners.setdefault(word, {})[column] = 1.0
        owners[concept.name][column] = 2.5
    words = sorted(owners)
    strength = torch.zeros(len(words), len(concepts))
    for row, word in enumerate(words):
        for column, value in owners[word].items():
            strength[row, column] = value
    owned = (strength > 0).float()
    weights = strength / owned.sum(1, keepdim=True).sqrt()
    vectors = torch.stack([meanings[word] for word in words])
    return Bank(words, concepts, vectors, owned, weights / weights.sum(0, keepdim=True))


def bank_loss(logits: Tensor, bank: Bank, columns: Tensor, chance: torch.Generator) -> Tensor:
    """Name the picture among all words, and find a word's picture among the batch.

    :param logits: scaled cosines, (B, K)
    :param columns: each picture's concept, int64 (B,)
    """
    naming = -(bank.weights[:, columns].T * logits.log_softmax(1)).sum(1).mean()
    drawn = torch.multinomial(bank.weights[:, columns].T, 1, generator=chance)[:, 0]
    matches = bank.owned[drawn][:, columns]
    finding = logits[:, drawn].T.log_softmax(1)
    finding_loss = -(matches / matches.sum(1, keepdim=True) * finding).sum(1).mean()
    return 0.6 * naming + 0.4 * finding_loss


class Head(nn.Module):
    """Features to the words' space, and the words' turn towards what pictures can show."""

    def __init__(self, features: Tensor, hidden: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", features.mean(0))
        self.register_buffer("spread", features.std(0) + 1e-2)
        width = features.shape[1]
        self.deep = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, EMBED_DIM),
        )
        self.skip = nn.Linear(width, EMBED_DIM)
        self.turn = nn.Parameter(torch.eye(EMBED_DIM))
        self.scale = nn.Parameter(torch.tensor(14.0).log())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) -> (B, 256), L2 = 1."""
        x = (features - self.centre) / self.spread
        return F.normalize(self.deep(x) + self.skip(x), dim=-1)

    def turned(self, meanings: Tensor) -> Tensor:
        """Words' meanings (K, 256) -> where pictures of them should lie, L2 = 1."""
        return F.normalize(meanings @ self.turn, dim=-1)


def train_head(features: list[Tensor], columns: Tensor, bank: Bank, plan: TeacherPlan) -> Head:
    """Train a head on several looks of every picture.

    :param features: one float16 (N, F) a look, the plain look first
    :param columns: each picture's concept, a column of the bank, int64 (N,)
    """
    torch.manual_seed(plan.seed)
    chance = torch.Generator().manual_seed(plan.seed)
    head = Head(features[0].float(), plan.hidden)
    deep = [*head.deep.parameters(), *head.skip.parameters()]
    groups = [
        {"params": deep, "weight_decay": 0.1},
        {"params": [head.turn, head.scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate)
    concepts = len(bank.concepts)
    members = [torch.nonzero(columns == c)[:, 0] for c in range(concepts)]
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * cosine(step, plan.steps, warmup=100)
        chosen = torch.randperm(concepts, generator=chance)[: plan.batch]
        picks = torch.rand(len(chosen), generator=chance).tolist()
        drawn = [members[concept] for concept in chosen]
        rows = [int(m[int(p * len(m))]) for m, p in zip(drawn, picks, strict=True)]
        looks = torch.randint(len(features), (len(rows),), generator=chance).tolist()
        seen = torch.stack([features[k][r] for k, r in zip(looks, rows, strict=True)]).float()
        scale = head.scale.exp().clamp(max=40)
        logits = scale * head(seen) @ head.turned(bank.meanings).T
        loss = bank_loss(logits, bank, chosen, chance)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if step % 500 == 0:
            log.info("teacher: step %d of %d, loss %.3f", step, plan.steps, loss.item())
    return head.eval()
