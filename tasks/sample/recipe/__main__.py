"""Make the sample again: `python -m tasks.sample.recipe WORK_FOLDER`.

Fetches the pinned packages, renders the pictures, trains the towers and judges them. Everything
lands in the work folder (about 3 GB): the corpus in `made/data`, the model in `made/model`, the
figures in `made/figures.txt`. What is there is not made again, and training goes on from its last
checkpoint, so the command can be stopped and repeated. Needs the optional extra `sample`, npm, pip
and a C compiler; some four hours of two cores. With `--first` or `--second` it goes on from weights
of that edition that are there.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.sample.recipe import corpus, judge, progress, second, third
from tasks.sample.recipe.export import export_model
from tasks.sample.recipe.image_teacher import (
    Bank,
    Head,
    TeacherPlan,
    plain_features,
    train_head,
    varied_features,
    word_bank,
)
from tasks.sample.recipe.image_tower import ImagePlan, Lessons, train
from tasks.sample.recipe.meanings import embed
from tasks.sample.recipe.packages import fetch_all
from tasks.sample.recipe.pictures import ARTISTS, FONTS, ICONS, Gallery, build_gallery
from tasks.sample.recipe.text_tower import Meaning, TextPlan, distil, principal_meaning
from tasks.sample.recipe.towers import TextConfig, Tokenizer, VisionConfig, build, write_vocabulary
from tasks.sample.recipe.words import SYMBOLS, THING, Lexicon, build_lexicon, training_texts

log = logging.getLogger(__name__)
_GALLERY_SIZE = 128
REVISION = TextPlan(steps=700, batch=256, rate=5e-4, seed=1)
_LOOKS = 1  # random looks of each picture that the teacher learns from, beside the plain one


@dataclass(frozen=True)
class Study:
    """What every stage of the training needs."""

    work: Path
    packages: Path
    lexicon: Lexicon
    gallery: Gallery
    texts: list[str]
    meaning: Meaning


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(prog="python -m tasks.sample.recipe", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("work", type=Path, help="work folder, outside the repository")
    parser.add_argument("--first", type=Path, help="model folder of the first edition")
    parser.add_argument("--second", type=Path, help="model folder of the second edition")
    parser.add_argument("--threads", type=int, default=1, help="threads of the training (1)")
    parser.add_argument("--corpus-only", action="store_true", help="stop after the corpus")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    work: Path = arguments.work.absolute()
    packages = work / "packages"
    fetch_all(packages)
    lexicon = build_lexicon(packages)
    if not (work / "made" / "data" / "queries.parquet").exists():
        corpus.write_corpus(lexicon, packages, work / "made" / "data")
        log.info("corpus: written to %s", work / "made" / "data")
    if not arguments.corpus_only:
        english = {code: concept.english for code, concept in lexicon.concepts.items()}
        drawn = work / "pictures"
        gallery = build_gallery(packages, english, drawn, _GALLERY_SIZE, ARTISTS + ICONS + FONTS)
        source = second.Source(lexicon, gallery, packages, work)
        make_third(arguments.second or second_edition(arguments.first, source), source)


def prepare(work: Path, packages: Path, lexicon: Lexicon, gallery: Gallery) -> Study:
    """Embed the texts."""
    texts = training_texts(lexicon, packages)
    vectors = torch.from_numpy(embed(packages, texts, work / "meanings"))
    file = work / "meaning.pt"
    if (saved := progress.load(file)) is None:
        meaning = principal_meaning(vectors)
        saved = {"centre": meaning.centre, "axes": meaning.axes}
        progress.save(file, saved)
    meaning = Meaning(saved["centre"], saved["axes"])
    return Study(work, packages, lexicon, gallery, texts, meaning)


def first_edition(source: second.Source) -> Path:
    """The folder of the first edition, made unless it is there."""
    folder = source.work / "first"
    if not (folder / "pytorch_model.bin").exists():
        study = prepare(source.work, source.packages, source.lexicon, source.gallery)
        make_first(study, folder)
    return folder


def second_edition(first: Path | None, source: second.Source) -> Path:
    """The folder of the second edition, made unless it is there, from the first in its folder
    (None: from that of `first_edition`)."""
    folder = source.work / "second"
    if not (folder / "pytorch_model.bin").exists():
        make_second(first or first_edition(source), source, folder)
    return folder


def make_second(first: Path, source: second.Source, folder: Path) -> None:
    """Go on from the first edition, and export the second."""
    model = judge.load_model(first, source.packages)
    clip = second.improve(model, source)
    text = TextConfig(vocab_size=len(model.tokenizer))
    vision = VisionConfig(image_resolution=model.side)
    export_model(clip, vision, text, first / "vocab.txt", folder)


def make_third(before: Path, source: second.Source) -> None:
    """Go on from the second edition, export the third and judge it."""
    made = source.work / "made"
    model = judge.load_model(before, source.packages)
    clip = third.improve(model, source)
    text = TextConfig(vocab_size=len(model.tokenizer))
    vision = VisionConfig(image_resolution=model.side, vision_width=third.WIDTH)
    export_model(clip, vision, text, before / "vocab.txt", made / "model")
    figures = judge.judge_model(made / "model", source.packages, source.lexicon, source.work)
    (made / "figures.txt").write_text(figures, "utf-8")
    log.info("model: written to %s\n%s", made / "model", figures)


def make_first(study: Study, folder: Path) -> None:
    """Train the first edition's teacher and student, and export the student."""
    lessons, head = teach(study)
    meanings = torch.from_numpy(embed(study.packages, study.texts, study.work / "meanings"))
    targets = study.meaning(meanings)
    # Held-out words' characters are readable too, as any user's are; none of them was trained on.
    readable = [*study.texts, *study.lexicon.held_out]
    write_vocabulary(study.packages, readable, study.work / "vocab.txt")
    tokenizer = Tokenizer(study.packages, study.work / "vocab.txt")
    plan = ImagePlan()
    torch.manual_seed(plan.seed)
    first, last = (VisionConfig(image_resolution=plan.stages[i].side) for i in (0, -1))
    student = build(study.packages, tokenizer, first)
    distil(student, tokenizer, study.texts, targets, study.work / "text.pt", TextPlan())
    with torch.no_grad():
        student.text_projection.copy_(student.text_projection @ head.turn)  # type: ignore[operator]
        wanted = dict(zip(study.texts, head.turned(targets), strict=True))
    average = train(student, tokenizer, lessons, wanted, study.work, plan).requires_grad_(True)
    # Last, the text tower again, against what the pictures were taught; concepts' words come often.
    texts = [*study.texts, *lessons.bank.words * 3]
    directions = torch.stack([wanted[text] for text in texts])
    distil(average, tokenizer, texts, directions, study.work / "revised.pt", REVISION)
    average.eval()
    text = TextConfig(vocab_size=len(tokenizer))
    export_model(average, last, text, study.work / "vocab.txt", folder)


def teach(study: Study) -> tuple[Lessons, Head]:
    """Train the teacher, and let it say where every picture should lie."""
    later = (SYMBOLS, THING)
    concepts = [c for c, concept in study.lexicon.concepts.items() if concept.group not in later]
    column = {code: i for i, code in enumerate(concepts)}
    trained = {artist.name for artist in ARTISTS if artist.trained}
    drawn = study.gallery.of(trained, set(study.lexicon.concepts))
    mirrored = [second.may_mirror(study.lexicon.concepts[study.gallery.concepts[r]]) for r in drawn]
    folder = study.work / "features"
    folder.mkdir(exist_ok=True)
    plain = plain_features(study.gallery, study.packages, folder / "plain.pt")
    kept = [i for i, row in enumerate(drawn) if study.gallery.concepts[row] in column]
    rows = [drawn[i] for i in kept]
    features = [plain[rows]]
    for seed in range(_LOOKS):
        file = folder / f"varied-{seed}.pt"
        sides = torch.tensor(mirrored)
        looks = varied_features(study.gallery, study.packages, file, drawn, sides, seed)
        features.append(looks[kept])
    columns = torch.tensor([column[study.gallery.concepts[row]] for row in rows])
    bank = trained_bank(study, concepts)
    head = Head(features[0].float(), TeacherPlan().hidden)
    if (saved := progress.load(study.work / "head.pt")) is None:
        head = train_head(features, columns, bank, TeacherPlan())
        progress.save(study.work / "head.pt", {"head": head.state_dict()})
    else:
        head.load_state_dict(saved["head"])
    head.eval()
    with torch.no_grad():
        seen = sum(head(look.float()) for look in features)
        turned = Bank(bank.words, concepts, head.turned(bank.meanings), bank.owned, bank.weights)
        targets = _towards_concept(torch.as_tensor(seen), columns)
    sides = torch.tensor([mirrored[i] for i in kept])
    held_out = frozenset(study.lexicon.held_out)
    return Lessons(study.gallery, rows, columns, sides, targets, turned, held_out), head


def trained_bank(study: Study, concepts: list[str]) -> Bank:
    """All words of the concepts with their meanings."""
    words = sorted(
        {
            word
            for concept in study.lexicon.concepts.values()
            for word in (*concept.words, *concept.more_words)
        }
        - set(study.lexicon.held_out)
    )
    vectors = torch.from_numpy(embed(study.packages, words, study.work / "meanings"))
    return word_bank(study.lexicon, concepts, dict(zip(words, study.meaning(vectors), strict=True)))


def _towards_concept(seen: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Each picture's vector, half way to the mean of all artists' pictures of its concept."""
    seen = torch.nn.functional.normalize(seen, dim=-1)
    total = torch.zeros(int(columns.max()) + 1, seen.shape[1]).index_add_(0, columns, seen)
    centre = torch.nn.functional.normalize(total, dim=-1)[columns]
    return torch.nn.functional.normalize(seen + centre, dim=-1)


if __name__ == "__main__":
    main()
