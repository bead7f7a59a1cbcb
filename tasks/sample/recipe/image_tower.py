"""Training of the image tower on the teacher's word, then of both towers together."""

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tasks.sample.recipe import progress
from tasks.sample.recipe.augment import normalised, premultiplied, varied
from tasks.sample.recipe.image_teacher import Bank, bank_loss
from tasks.sample.recipe.pictures import Gallery
from tasks.sample.recipe.text_tower import distillation_loss
from tasks.sample.recipe.towers import Tokenizer, encode_texts, enlarge, mixed_precision

log = logging.getLogger(__name__)

# How often an artist's picture is drawn: each style about as often, families of one hand less.
_ARTIST_WEIGHTS = {
    "noto": 1.0,
    "noto-v1": 1.0,
    "fluent": 0.6,
    "fluent-flat": 0.9,
    "fluent-3d": 0.7,
    "fluent-line": 0.5,
    "emojitwo": 1.2,
    "emojitwo-line": 0.4,
    "streamline": 1.0,
    "noto-line": 0.6,
}
_ICON_WEIGHT = 0.25  # a set of icons draws a thing as a sign of one or few colours
_COLOURED_ICONS = ("icon-park", "flat-color-icons", "streamline-")
_COLOURED_WEIGHT = 0.5
_TEMPLATES = (
    "{}图片",
    "一个{}",
    "{}的图片",
    "卡通{}",
    "{}表情",
    "{}图标",
    "一张{}的图",
    "可爱的{}",
    "{}的样子",
)
_NEW_WORDS = 64  # words beside the pictures' own, that keep the text tower's general meaning


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one resolution.

    :ivar side: pixels of a picture's side; :ivar source: side of the stored drawing
    :ivar joint: whether the text tower learns too
    :ivar pace: share of the full learning rate at the stage's start and at its end
    """

    name: str
    side: int
    source: int
    steps: int
    joint: bool
    pace: tuple[float, float]


@dataclass(frozen=True)
class ImagePlan:
    """Stages, batch, rates and averaging.

    :ivar name: what the checkpoint is called
    :ivar loaders: processes that make the looks, beside the training's own
    """

    name: str = "image"
    stages: tuple[Stage, ...] = (
        Stage("small", side=64, source=80, steps=4000, joint=False, pace=(1.0, 0.1)),
        Stage("again", side=64, source=80, steps=1200, joint=False, pace=(0.5, 0.02)),
        Stage("joint", side=64, source=80, steps=300, joint=True, pace=(0.2, 0.01)),
    )
    batch: int = 192
    rate: float = 2e-3
    text_rate: float = 6e-4
    averaging: float = 0.998
    seed: int = 0
    checkpoint_every: int = 100
    loaders: int = 1

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True)
class Lessons:
    """What the image tower learns from.

    :ivar rows: rows of the gallery that may be trained on
    :ivar columns: their concepts, columns of the bank, int64 (len(rows),)
    :ivar mirrored: bool (len(rows),), whether a picture may be mirrored
    :ivar targets: the teacher's vectors, float32 (len(rows), 256), L2 = 1
    :ivar held_out: words that no training text may be, nor two words joined
    """

    gallery: Gallery
    rows: list[int]
    columns: Tensor
    mirrored: Tensor
    targets: Tensor
    bank: Bank
    held_out: frozenset[str]


class Looks(Dataset[tuple[Tensor, Tensor]]):
    """Batch number -> (normalised pictures (B, 3, side, side), their places in the lessons).

    A batch depends on nothing but its number, so that an interrupted training goes on as it would
    have; it is made in a process of its own, beside the training.
    """

    def __init__(self, lessons: Lessons, drawings: Tensor, stage: Stage, plan: ImagePlan) -> None:
        self._drawings, self._stage, self._plan = drawings, stage, plan
        self._mirrored = lessons.mirrored
        concepts = int(lessons.columns.max()) + 1
        self._members = [torch.nonzero(lessons.columns == c)[:, 0] for c in range(concepts)]
        weights = [_weight(lessons.gallery.artists[row]) for row in lessons.rows]
        self._weights = torch.tensor(weights)

    def __len__(self) -> int:
        return self._plan.steps

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        chance = torch.Generator().manual_seed(self._plan.seed * 1_000_003 + number)
        chosen = torch.randperm(len(self._members), generator=chance)[: self._plan.batch]
        picks = []
        for concept in chosen.tolist():
            members = self._members[concept]
            pick = torch.multinomial(self._weights[members], 1, generator=chance)
            picks.append(members[pick])
        places = torch.cat(picks)
        looks = varied(self._drawings[places], self._stage.side, self._mirrored[places], chance)
        return normalised(looks), places


def _weight(artist: str) -> float:
    other = _COLOURED_WEIGHT if artist.startswith(_COLOURED_ICONS) else _ICON_WEIGHT
    return _ARTIST_WEIGHTS.get(artist, other)


def stored_drawings(gallery: Gallery, rows: list[int], side: int, file: Path) -> Tensor:
    """Premultiplied RGBA of these pictures at another size: uint8 (len(rows), 4, side, side)."""
    if not file.exists():
        made = np.lib.format.open_memmap(
            file.with_suffix(".partial"), "w+", np.uint8, (len(rows), 4, side, side)
        )
        for start in range(0, len(rows), 256):
            pixels = torch.from_numpy(gallery.pixels[rows[start : start + 256]].copy())
            rgba = F.interpolate(
                premultiplied(pixels), size=(side, side), mode="bicubic", antialias=True
            )
            made[start : start + 256] = (rgba.clamp(0, 1) * 255).round().byte().numpy()
        made.flush()
        file.with_suffix(".partial").rename(file)
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def train(
    student: nn.Module,
    tokenizer: Tokenizer,
    lessons: Lessons,
    word_targets: dict[str, Tensor],
    folder: Path,
    plan: ImagePlan,
) -> nn.Module:
    """Run all stages; resumes from the last checkpoint.

    :param student: its text tower is already taught; its image tower is fresh, at the first
        stage's resolution. Its weights are overwritten.
    :param word_targets: any words with the vectors they should keep, float32 (256,), L2 = 1
    :return: the averaged student, at the last stage's resolution
    """
    torch.manual_seed(plan.seed)
    run = _Run(student, tokenizer, lessons, word_targets, plan)
    done = run.resume(folder / f"{plan.name}.pt")
    first = 0
    for stage in plan.stages:
        last = first + stage.steps
        if done < last:
            run.enter(stage, first)
            file = folder / f"drawings-{stage.source}-{len(lessons.rows)}.npy"
            drawings = stored_drawings(lessons.gallery, lessons.rows, stage.source, file)
            looks = Looks(lessons, drawings, stage, plan)
            numbers = range(max(done, first), last)
            for number, (pictures, places) in zip(
                numbers, _batches(looks, numbers, plan.loaders), strict=True
            ):
                run.step(number, pictures, places)
                if (number + 1) % plan.checkpoint_every == 0 or number + 1 == last:
                    run.save(folder / f"{plan.name}.pt", number + 1)
        first = last
    return run.average


def _batches(looks: Looks, numbers: range, loaders: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        looks,
        batch_size=None,
        sampler=numbers,
        num_workers=loaders,
        prefetch_factor=4 if loaders else None,
    )
    return iter(loader)


class _Run:
    """A student in training, its running average and its optimiser."""

    def __init__(
        self,
        student: nn.Module,
        tokenizer: Tokenizer,
        lessons: Lessons,
        word_targets: dict[str, Tensor],
        plan: ImagePlan,
    ) -> None:
        self._plan, self._lessons, self._tokenizer = plan, lessons, tokenizer
        self._word_targets, self._words = word_targets, sorted(word_targets)
        self._student = student
        self._stage, self._first = plan.stages[0], 0
        self.average = _copy(student)
        named = dict(student.named_parameters())
        image = [p for n, p in named.items() if n.startswith("visual")]
        text = [p for n, p in named.items() if not n.startswith("visual") and n != "logit_scale"]
        groups = [
            _group([p for p in image if p.ndim > 1], plan.rate, 0.05),
            _group([p for p in image if p.ndim <= 1], plan.rate, 0.0),
            _group([named["logit_scale"]], plan.rate, 0.0),
            _group(text, plan.text_rate, 0.01),
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))
        self._image_parameters = image

    def resume(self, file: Path) -> int:
        """Go on from a checkpoint; returns the steps done."""
        saved = progress.load(file)
        if saved is None:
            return 0
        stages = self._plan.stages
        place = [stage.name for stage in stages].index(saved["stage"])
        self.enter(stages[place], sum(stage.steps for stage in stages[:place]))
        self._student.load_state_dict(saved["student"])
        self.average.load_state_dict(saved["average"])
        self._optimiser.load_state_dict(saved["optimiser"])
        return int(saved["step"])

    def save(self, file: Path, step: int) -> None:
        """Write a checkpoint."""
        state: dict[str, object] = {
            "student": self._student.state_dict(),
            "average": self.average.state_dict(),
        }
        state = {**state, "optimiser": self._optimiser.state_dict()}
        progress.save(file, {**state, "step": step, "stage": self._stage.name})

    def enter(self, stage: Stage, first: int) -> None:
        """Fit the towers to a stage's resolution; `first` is the number of its first step."""
        self._stage, self._first = stage, first
        for clip in (self._student, self.average):
            pool = clip.visual.attnpool  # type: ignore[union-attr]
            places: nn.Parameter = pool.positional_embedding  # type: ignore[union-attr, assignment]
            old = round((len(places) - 1) ** 0.5)
            if old != stage.side // 32:
                key = "visual.attnpool.positional_embedding"
                grown = enlarge({key: places.data}, old, stage.side // 32)[key]
                self._optimiser.state.pop(places, None)
                places.data = grown
        self._student.train()
        self._student.visual.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(self, number: int, pictures: Tensor, places: Tensor) -> None:
        """Learn from one batch."""
        plan = self._plan
        done = number - self._first
        start, end = self._stage.pace
        pace = start * progress.cosine(done, self._stage.steps, floor=end / start)
        for group, rate in zip(
            self._optimiser.param_groups, (plan.rate,) * 3 + (plan.text_rate,), strict=True
        ):
            group["lr"] = rate * pace
        chance = torch.Generator().manual_seed(plan.seed * 7_919 + number)
        with mixed_precision():
            shown = pictures.contiguous(memory_format=torch.channels_last)
            encoded = self._student.encode_image(shown)  # type: ignore[operator]
        seen = F.normalize(encoded.float(), dim=-1)
        columns, targets = self._lessons.columns[places], self._lessons.targets[places]
        scale = self._student.logit_scale.exp().clamp(max=50)  # type: ignore[operator]
        if self._stage.joint:
            loss = self._joint_loss(seen, columns, scale, chance)
            loss = loss + 0.5 * distillation_loss(seen, targets)
        else:
            logits = scale * seen @ self._lessons.bank.meanings.T
            loss = bank_loss(logits, self._lessons.bank, columns, chance)
            loss = loss + distillation_loss(seen, targets)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._image_parameters, 2.0)
        self._optimiser.step()
        self._follow(min(plan.averaging, (1 + done) / (10 + done)))
        if number % 50 == 0:
            log.info("image tower: step %d of %d, loss %.3f", number, plan.steps, loss.item())

    def _joint_loss(
        self, seen: Tensor, columns: Tensor, scale: Tensor, chance: torch.Generator
    ) -> Tensor:
        """Pictures and texts of the batch find each other; other words keep their meaning."""
        bank = self._lessons.bank
        rows = torch.multinomial(bank.weights[:, columns].T, 2, generator=chance)
        texts, first, second = self._texts(rows.tolist(), chance)
        others = torch.randint(len(self._words), (_NEW_WORDS,), generator=chance).tolist()
        kept = [self._words[i] for i in others]
        with mixed_precision():
            encoded = encode_texts(self._student, self._tokenizer, texts + kept)
        read = F.normalize(encoded.float(), dim=-1)
        matches = bank.owned[first][:, columns] * bank.owned[second][:, columns]
        logits = scale * read[: len(texts)] @ seen.T
        finding = (matches / matches.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
        naming = (matches / matches.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
        wanted = torch.stack([self._word_targets[word] for word in kept])
        read_bank = scale * seen @ bank.meanings.T
        return (
            -(finding + naming) / 2
            + 0.5 * (1 - (read[len(texts) :] * wanted).sum(1)).mean()
            + 0.5 * (1 - (read[: len(texts)] * bank.meanings[first]).sum(1)).mean()
            + 0.5 * bank_loss(read_bank, bank, columns, chance)
        )

    def _texts(
        self, rows: list[list[int]], chance: torch.Generator
    ) -> tuple[list[str], list[int], list[int]]:
        """A text for each picture: mostly one word, some in a template, some of two words.

        :return: texts, and the two words (maybe the same) that a picture must own to match
        """
        texts: list[str] = []
        second: list[int] = []
        luck = torch.rand(len(rows), generator=chance).tolist()
        for (one, two), draw in zip(rows, luck, strict=True):
            first_word, second_word = self._lessons.bank.words[one], self._lessons.bank.words[two]
            joint = ("{}{}", "{} {}", "{}的{}")[int(draw / 0.05)] if draw < 0.15 else "{}"
            together = joint.format(first_word, second_word)
            joined = draw < 0.15 and together not in self._lessons.held_out
            if joined:
                texts.append(together)
            elif 0.15 <= draw < 0.3:
                template = _TEMPLATES[int((draw - 0.15) / 0.15 * len(_TEMPLATES))]
                texts.append(template.format(first_word))
            else:
                texts.append(first_word)
            second.append(two if joined else one)
        return texts, [one for one, _ in rows], second

    @torch.no_grad()
    def _follow(self, inertia: float) -> None:
        """Move the average towards the student; statistics of normalisation included."""
        mine = self._student.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(mine[name], 1 - inertia)
            else:
                value.copy_(mine[name])


def _group(parameters: list[nn.Parameter], rate: float, decay: float) -> dict[str, object]:
    return {"params": parameters, "lr": rate, "weight_decay": decay}


def _copy(student: nn.Module) -> nn.Module:

    average = copy.deepcopy(student).eval()
    return average.requires_grad_(False)
