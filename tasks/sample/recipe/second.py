"""The second edition: the first one's image tower, taught on by more hands, symbols and things.

The first edition's text tower stays as it is: it says where words lie. First the image tower meets
everything that is new, then it learns what a new teacher says (the same features at a larger input,
ridge regression), twice with other looks in another order; the two are averaged and settle at a
falling rate. What ships lies between the first edition's weights and these: it finds symbols as
these do, and what the first knew better than either.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.sample.recipe.augment import on_white
from tasks.sample.recipe.backbone import Backbone
from tasks.sample.recipe.image_teacher import word_bank
from tasks.sample.recipe.image_tower import ImagePlan, Lessons, Stage, train
from tasks.sample.recipe.judge import Model
from tasks.sample.recipe.pictures import ARTISTS, ICONS, Artist, Gallery
from tasks.sample.recipe.words import SYMBOLS, Concept, Lexicon

_SIDE = 160  # of the pictures that the teacher looks at
_BATCH = 64
_NEW_SHARE = 0.75  # of the second edition's weights, the rest are the first's
_RIDGE = 0.3  # times the mean square of a picture's features

MEETING = ImagePlan(
    name="named",
    stages=(Stage("named", side=64, source=80, steps=500, joint=False, pace=(0.5, 0.4)),),
    rate=1.5e-3,
    seed=2,
)
LEARNING = tuple(
    ImagePlan(
        name=name,
        stages=(Stage("taught", side=64, source=80, steps=200, joint=False, pace=(0.5, 0.36)),),
        rate=1.5e-3,
        averaging=0.995,
        seed=seed,
    )
    for name, seed in (("taught-a", 3), ("taught-b", 4))
)
SETTLING = ImagePlan(
    name="settled",
    stages=(Stage("settled", side=64, source=80, steps=240, joint=False, pace=(0.3, 0.01)),),
    rate=1.5e-3,
    averaging=0.985,
    seed=5,
)


@dataclass(frozen=True)
class Source:
    """What the second edition is made from."""

    lexicon: Lexicon
    gallery: Gallery
    packages: Path
    work: Path


def improve(first: Model, source: Source) -> nn.Module:
    """Teach the first edition's image tower on; resumes like every training."""
    lessons = lessons_of(first, source, ARTISTS + ICONS)
    text = {n: v for n, v in first.clip.state_dict().items() if not n.startswith("visual.")}
    met = train(_learner(first.clip), first.tokenizer, lessons, {}, source.work, MEETING)
    taught = taught_by_features(lessons, source)
    learnt = [
        train(_learner(met), first.tokenizer, taught, {}, source.work, plan) for plan in LEARNING
    ]
    settled = train(_mean(learnt), first.tokenizer, taught, {}, source.work, SETTLING)
    made, before = copy.deepcopy(first.clip), first.clip.state_dict()
    between = {
        name: torch.lerp(before[name], value, _NEW_SHARE) if value.is_floating_point() else value
        for name, value in settled.state_dict().items()
    }
    made.load_state_dict({**between, **text})
    return made.eval()


def _mean(clips: list[nn.Module]) -> nn.Module:
    """The clips' weights averaged, to learn on."""
    made = _learner(clips[0])
    states = [clip.state_dict() for clip in clips]
    made.load_state_dict(
        {
            name: torch.stack([state[name].float() for state in states]).mean(0).to(value.dtype)
            for name, value in states[0].items()
        }
    )
    return made


def may_mirror(concept: Concept) -> bool:
    """Whether a mirrored drawing still shows the concept."""
    return concept.group != SYMBOLS and not any(side in concept.name for side in "左右指")


def _learner(clip: nn.Module) -> nn.Module:
    return copy.deepcopy(clip).requires_grad_(True)


def lessons_of(reader: Model, source: Source, artists: Sequence[Artist]) -> Lessons:
    """The artists' pictures that may be trained on, each to lie where the reader has its concept's
    words."""
    lexicon, gallery = source.lexicon, source.gallery
    trained = {artist.name for artist in artists if artist.trained}
    rows = gallery.of(trained, set(lexicon.concepts))
    concepts = sorted({gallery.concepts[row] for row in rows})
    column = {code: i for i, code in enumerate(concepts)}
    columns = torch.tensor([column[gallery.concepts[row]] for row in rows])
    sides = torch.tensor([may_mirror(lexicon.concepts[gallery.concepts[row]]) for row in rows])
    words = sorted(
        {
            word
            for concept in lexicon.concepts.values()
            for word in (*concept.words, *concept.more_words)
        }
        - set(lexicon.held_out)
    )
    read = [reader.encode_texts(words[start : start + 256]) for start in range(0, len(words), 256)]
    bank = word_bank(lexicon, concepts, dict(zip(words, torch.cat(read), strict=True)))
    centres = F.normalize(bank.weights.T @ bank.meanings, dim=-1)
    held_out = frozenset(lexicon.held_out)
    return Lessons(gallery, rows, columns, sides, centres[columns], bank, held_out)


def taught_by_features(lessons: Lessons, source: Source) -> Lessons:
    """Move every emoji's target half way to where the teacher sees it; icons keep theirs."""
    drawn = [artist.name for artist in ARTISTS if artist.trained]
    place = {row: i for i, row in enumerate(lessons.rows)}
    rows = [place[row] for name in drawn for row in lessons.gallery.of({name}, _all(lessons))]
    folder = source.work / "features"
    folder.mkdir(exist_ok=True)
    seen = [artist_features(lessons.gallery, source.packages, folder, name) for name in drawn]
    targets = lessons.targets.clone()
    vectors = ridge(torch.cat(seen).float(), targets[rows])
    targets[rows] = F.normalize(vectors + targets[rows], dim=-1)
    return Lessons(
        lessons.gallery,
        lessons.rows,
        lessons.columns,
        lessons.mirrored,
        targets,
        lessons.bank,
        lessons.held_out,
    )


def _all(lessons: Lessons) -> set[str]:
    return set(lessons.bank.concepts)


def artist_features(gallery: Gallery, packages: Path, folder: Path, artist: str) -> Tensor:
    """Features of an artist's plain pictures: float16 (N, F), computed once."""
    file = folder / f"plain-{_SIDE}-{artist}.pt"
    if not file.exists():
        backbone = Backbone(packages)
        rows = gallery.of({artist}, set(gallery.concepts))
        batches = [
            backbone.features(
                on_white(torch.from_numpy(gallery.pixels[rows[s : s + _BATCH]].copy()), _SIDE)
            ).half()
            for s in range(0, len(rows), _BATCH)
        ]
        torch.save(torch.cat(batches), file)
    stored: Tensor = torch.load(file, weights_only=True)
    return stored


def ridge(features: Tensor, targets: Tensor) -> Tensor:
    """What ridge regression from features (N, F) makes of targets (N, D): (N, D), L2 = 1."""
    features = (features - features.mean(0)) / (features.std(0) + 1e-2)
    alike = features @ features.T
    stiff = _RIDGE * alike.diagonal().mean() * torch.eye(len(alike))
    centre = targets.mean(0)
    found = alike @ torch.linalg.solve(alike + stiff, targets - centre)
    return F.normalize(found + centre, dim=-1)
