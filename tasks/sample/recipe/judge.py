"""How good a model is, on pictures and words that it never saw.

The protocol: the gallery is one artist's picture of every concept that is no symbol (1,218
pictures of twemoji, an artist no training saw; openmoji, line drawings, as a harder second).
"names": each concept's name finds a picture of a concept of that name. "held-out": each of the 534
held-out words of these concepts (`words._hold_out`: seed 7, at most 5 owners, never a name, in no
training text) finds a picture of an owner. R@K is the share of queries, in percent, with a positive
in the top K. "natural": 50 phrases written by hand.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn

from tasks.sample.recipe.augment import normalised
from tasks.sample.recipe.pictures import ARTISTS, build_gallery
from tasks.sample.recipe.towers import Tokenizer, encode_texts, original_package
from tasks.sample.recipe.words import SYMBOLS, Lexicon

EncodeTexts = Callable[[Sequence[str]], Tensor]
_RANKS = (1, 5, 10)

# Phrase -> the emoji that answer it.
NATURAL = {
    "戴墨镜的笑脸": "😎",
    "下雨天打的伞": "☔☂🌂",
    "红色的赛车": "🏎",
    "天上飞的直升机": "🚁",
    "一碗热腾腾的面": "🍜🍝🍲",
    "生日吃的蛋糕": "🎂🍰🧁",
    "夏天吃的冰淇淋": "🍦🍨🍧",
    "圣诞节的树": "🎄",
    "救火的消防车": "🚒",
    "送病人去医院的车": "🚑",
    "爱吃竹子的国宝": "🐼",
    "脖子很长的动物": "🦒",
    "森林之王老虎": "🐯🐅",
    "在海里游的鱼": "🐟🐠🐡🦈",
    "打篮球的人": "🏀⛹",
    "弹钢琴": "🎹",
    "拍照用的相机": "📷📸",
    "红色的爱心": "❤♥",
    "图书馆里的书": "📖📚📕📗📘📙",
    "一杯热咖啡": "☕",
    "和朋友喝啤酒干杯": "🍺🍻🥂",
    "万圣节的南瓜灯": "🎃",
    "伤心流泪的脸": "😢😭😥",
    "非常生气的脸": "😡😠🤬😤",
    "飞吻": "😘💋",
    "新年放烟花": "🎆🎇🧨",
    "戴皇冠的公主": "👸👑",
    "笑到流眼泪": "😂🤣😹",
    "睡着了打呼噜": "😴💤",
    "骑自行车的人": "🚴🚵",
    "在床上睡觉": "🛌🛏",
    "雨后的彩虹": "🌈",
    "笔记本电脑": "💻",
    "女士高跟鞋": "👠👡",
    "黄色的香蕉": "🍌",
    "一串紫色的葡萄": "🍇",
    "绿色的小青蛙": "🐸",
    "切菜的刀": "🔪",
    "刷牙用的牙刷": "🪥",
    "会飞的昆虫蝴蝶": "🦋",
    "冬天堆的雪人": "☃⛄",
    "拉小提琴": "🎻",
    "沙漠里的骆驼": "🐪🐫",
    "踢足球": "⚽",
    "长长的火车": "🚂🚆🚄🚅🚞🚋",
    "海上的帆船": "⛵",
    "中秋节吃的月饼": "🥮",
    "包饺子": "🥟",
    "粽子和端午节": "🍙",
    "宇宙飞船火箭": "🚀",
}


@dataclass(frozen=True)
class Recall:
    """R@1, R@5 and R@10 in percent over a number of queries."""

    queries: int
    at: tuple[float, ...]

    def __str__(self) -> str:
        return "/".join(f"{value:.1f}" for value in self.at) + f" (n={self.queries})"


def recall(scores: Tensor, positives: Sequence[set[int]]) -> Recall:
    """Score rankings: scores (Q, N), for each query the columns that answer it."""
    tops = scores.topk(min(max(_RANKS), scores.shape[1]), dim=1).indices.tolist()
    found = [
        100 * sum(bool(wanted & set(top[:k])) for top, wanted in zip(tops, positives, strict=True))
        for k in _RANKS
    ]
    return Recall(len(positives), tuple(f / max(len(positives), 1) for f in found))


def judge(
    lexicon: Lexicon,
    concepts: Sequence[str],
    pictures: Tensor,
    encode: EncodeTexts,
    symbols: bool = False,
) -> dict[str, Recall]:
    """Judge one artist's gallery.

    :param concepts: code points of each picture's concept
    :param symbols: whether symbols stay in the gallery and among the queries
    :param pictures: image vectors, float32 (N, D), L2 = 1
    :param encode: texts -> text vectors, float32 (Q, D), L2 = 1
    """
    groups = [lexicon.concepts[code].group for code in concepts]
    kept = [i for i, group in enumerate(groups) if symbols or group != SYMBOLS]
    shown, pictures = [concepts[i] for i in kept], pictures[kept]
    places = {code: i for i, code in enumerate(shown)}
    by_name: dict[str, set[int]] = {}
    for code in shown:
        by_name.setdefault(lexicon.concepts[code].name, set()).add(places[code])
    names = {code: by_name[lexicon.concepts[code].name] for code in shown}
    held_out = {
        word: {places[code] for code in owners if code in places}
        for word, owners in lexicon.held_out.items()
    }
    held_out = {word: found for word, found in held_out.items() if found}
    natural = {
        phrase: {places[c] for c in _codes(emoji) if c in places}
        for phrase, emoji in NATURAL.items()
    }

    def figures(queries: Sequence[str], positives: Sequence[set[int]]) -> Recall:
        return recall(encode(queries) @ pictures.T, positives)

    result = {
        "names": figures([lexicon.concepts[c].name for c in shown], [names[c] for c in shown]),
        "held-out": figures(list(held_out), list(held_out.values())),
        "natural": figures(list(natural), list(natural.values())),
    }
    for kind in ("substring", "shared character", "nothing shared"):
        words = [word for word in held_out if overlap(lexicon, word) == kind]
        result[f"held-out, {kind}"] = figures(words, [held_out[word] for word in words])
    return result


def overlap(lexicon: Lexicon, word: str) -> str:
    """How much a held-out word shares with what its concepts were trained on."""
    trained = [
        text
        for code in lexicon.held_out[word]
        for text in lexicon.trained_words(lexicon.concepts[code])
    ]
    if any(word in text or text in word for text in trained):
        return "substring"
    return "shared character" if set(word) & set("".join(trained)) else "nothing shared"


def _codes(emoji: str) -> list[str]:
    return [f"{ord(c):x}" for c in emoji if ord(c) != 0xFE0F]


def report(figures: dict[str, Recall]) -> str:
    """One line a kind of query."""
    return "\n".join(f"{kind:28} R@1/5/10 {value}" for kind, value in figures.items())


def cosine_encoder(encode: Callable[[Sequence[str]], Tensor]) -> EncodeTexts:
    """Make an encoder return vectors of length one, without gradients."""

    def encoded(texts: Sequence[str]) -> Tensor:
        with torch.no_grad():
            return nn.functional.normalize(encode(texts).float(), dim=-1)

    return encoded


@dataclass(frozen=True)
class Model:
    """An exported model, read back as the product reads it."""

    clip: nn.Module
    tokenizer: Tokenizer
    side: int

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Text vectors, float32 (N, D), L2 = 1."""
        return cosine_encoder(lambda t: encode_texts(self.clip, self.tokenizer, t))(texts)

    @torch.no_grad()
    def encode_pictures(self, pictures: Iterable[Image.Image]) -> Tensor:
        """Image vectors, float32 (N, D), L2 = 1; each picture is squashed by bicubic resize."""
        vectors = []
        for picture in pictures:
            small = picture.resize((self.side, self.side), Image.Resampling.BICUBIC).convert("RGB")
            rgb = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 255
            vectors.append(self.clip.encode_image(normalised(rgb)))  # type: ignore[operator]
        return nn.functional.normalize(torch.cat(vectors).float(), dim=-1)


def load_model(folder: Path, packages: Path) -> Model:
    """Load an exported model strictly into the original class."""
    vision = json.loads((folder / "vision_model_config.json").read_text("utf-8"))
    text = json.loads((folder / "text_model_config.json").read_text("utf-8"))
    if isinstance(vision["vision_layers"], str):
        vision["vision_layers"] = json.loads(vision["vision_layers"])
    tokenizer = Tokenizer(packages, folder / "vocab.txt")
    clip = original_package(packages).CLIP(**vision, **text, tokenizer=tokenizer.original)
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    # cn_clip's class has no pooler; ModelScope's has one, which it never uses.
    weights = {n: v.float() for n, v in state["state_dict"].items() if "bert.pooler" not in n}
    clip.load_state_dict(weights, strict=True)
    return Model(clip.eval(), tokenizer, int(vision["image_resolution"]))


def judge_model(folder: Path, packages: Path, lexicon: Lexicon, work: Path) -> str:
    """Judge an exported model on both artists, and on the shipped corpus's held-out queries."""
    model = load_model(folder, packages)
    english = {code: concept.english for code, concept in lexicon.concepts.items()}
    lines: list[str] = []
    for artist in ARTISTS:
        if artist.name in ("twemoji", "openmoji"):
            gallery = build_gallery(packages, english, work / artist.name, 224, (artist,))
            pictures = model.encode_pictures(_on_white(pixels) for pixels in gallery.pixels)
            for symbols, said in ((False, "without symbols"), (True, "with symbols")):
                figures = judge(lexicon, gallery.concepts, pictures, model.encode_texts, symbols)
                lines += [f"{artist.name}, {said}", report(figures)]
    data = folder.parent / "data"
    if data.exists():
        lines += ["sample corpus, all artists", report(judge_corpus(data, model))]
    return "\n".join(lines) + "\n"


def judge_corpus(data: Path, model: Model) -> dict[str, Recall]:
    """The shipped corpus's own queries over all its pictures, and over twemoji's alone."""
    rows = pq.read_table(data / "images.parquet").to_pylist()
    queries = pq.read_table(data / "queries.parquet").to_pylist()
    pictures = model.encode_pictures(Image.open(io.BytesIO(row["image"])) for row in rows)
    unseen = [i for i, row in enumerate(rows) if row["artist"] == "twemoji"]
    figures: dict[str, Recall] = {}
    for kind, gallery in (("all", list(range(len(rows)))), ("twemoji only", unseen)):
        place = {rows[row]["image_id"]: i for i, row in enumerate(gallery)}
        for split in ("name", "keyword", "held_out"):
            chosen = [q for q in queries if split in (q["split"], q["kind"])]
            if split == "keyword":
                chosen = [q for q in chosen if q["split"] == "indexed"]
            found = [{place[i] for i in q["image_ids"] if i in place} for q in chosen]
            kept = [i for i, wanted in enumerate(found) if wanted]
            texts = model.encode_texts([chosen[i]["query"] for i in kept])
            figures[f"{split}, {kind}"] = recall(
                texts @ pictures[gallery].T, [found[i] for i in kept]
            )
    return figures


def _on_white(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    picture = Image.fromarray(pixels)
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
