"""The corpus that ships: which pictures and queries, and the two Parquet files."""

import io
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.sample.recipe.pictures import ARTISTS, drawings, render_all
from tasks.sample.recipe.words import Concept, Lexicon

# Concepts a group: things people like to look at, of emojibase's groups.
_QUOTAS = {0: 50, 1: 55, 3: 120, 4: 105, 5: 85, 6: 50, 7: 105}
_FEWEST_ARTISTS = 4
_SIZE = 224
_WEBP_QUALITY = 65
_WORDS_A_PICTURE = 4
_MOST_OWNERS = 12  # words of more concepts than this ("脸") say too little
_UNWANTED = (
    "点",
    "钟",
    "中指",
    "香烟",
    "便便",
    "枪",
    "棺材",
    "骨灰",
    "按钮",
    "耶稣",
    "避孕",
    "情人",
    "犹太",
    "克尔白",
)
# Second edition: what few people would search for made room for what they do.
_DULL = """
大小王 城市黄昏 夜幕下的桥 地球上的亚洲澳洲 朔月 蛾眉月 盈凸月 亏凸月 下弦月
微笑的上弦月 墨西哥卷饼 墨西哥玉米煎饼 家禽的腿 米饼 团子 关东煮 鱼板 奶黄 天妇罗 清酒
餐具 日本人形 赏月 提示丝带 录音室麦克风 入场券 票 花札 老虎机 音乐键盘 乐谱 板球 曲棍球
冰球 圆形花饰 标签 双耳瓶 耗子 公羊 小鸡破壳 正面朝向的小鸡 奶牛头 老虎头 老鼠头 马头
猴头 反手食指向上指 反手食指向左指 反手食指向右指 人像 戴头巾的人 汗滴 内心活动气泡 白花
日元 英镑 长翅膀的钱 座位 软盘 打开的文件夹 手撕日历 卡片索引 趋势向上的图表
趋势向下的图表 圆图钉 账本 合上的书本 橙色书本 备忘录 寻呼机 来信 收邮件 无待收信件
有待收信件 录像带 低音量的扬声器 中等音量的扬声器 电源插头 右斜的放大镜 钥匙和锁
打开的锁 游戏操控杆 索引分隔文件夹 卡片盒 文件柜 线圈本 线圈日历 夹钳 老式钥匙 报纸卷
微微不满 啊 失望但如释重负 轨道车 轻轨 迎面驶来的警车 迎面驶来的出租车 山区铁路
横向的红绿灯 石油桶 立起的手背 朝左的拳头 朝右的拳头 交叉的手指 侧手翻 摔跤选手 水球
练武服 匙 球门 装有食物的浅底锅 烙饼 外卖盒 马黛茶 奶酪火锅 有蛋的巢 导盲犬 大野牛
食指向上指 黑桃 梅花 红桃 方片 锤子与镐 蒸馏器 高压 白十字头盔 神社 举起拳头
"""
_EVERYDAY = """
自行车 汽车 出租车 警车 消防车 货车 拖拉机 赛车 摩托车 小型摩托车 滑板车 滑板 飞机
直升机 船 降落伞 行李箱 救生圈 闹钟 手表 房子 医院 学校 帐篷 摩天轮 火山 云 星星 雪花
下雨 伞 气球 红包 南瓜灯 风筝 泰迪熊 拼图 骰子 眼镜 领带 T恤 围巾 手套 外套 袜子 连衣裙
短裤 书包 购物袋 皇冠 耳机 小提琴 鼓 笔记本电脑 电视机 相机 灯泡 打开的书本 报纸 硬币
垃圾桶 斧头 螺丝刀 磁铁 梯子 望远镜 药丸 创可贴 听诊器 镜子 窗户 椅子 马桶 浴缸 扫帚 皂
牙刷 购物车 卫生工作者 厨师 老师 学生 农民 警察 消防员 宇航员 戴头纱的人 公主 圣诞老人
骑自行车 跑步者 长颈鹿 斑马 北极熊 孔雀 鹦鹉 火烈鸟 天鹅 鲸鱼 霸王龙 龙虾 蚂蚁 蚊子
盆栽植物 芒果 椰子 蓝莓 西兰花 饺子 月饼 茶壶 红心 心中箭了 笑哭了 大笑 哭 花痴 鬼
机器人 外星人 双手合十 握手 山 海豹 驴 程序员 歌手 忍者 微笑天使 嘻嘻
得意 日出 喷泉 公文包 钓鱼竿 耳朵 牙齿 闪亮的星星
"""
_FIRST_IMAGE_ID, _FIRST_QUERY_ID = 100_001, 200_001


@dataclass(frozen=True)
class Query:
    """One query row; image_ids are sorted."""

    query: str
    image_ids: tuple[int, ...]
    split: str
    kind: str


def write_corpus(lexicon: Lexicon, packages: Path, folder: Path) -> None:
    """Write images.parquet and queries.parquet; the same packages give the same rows."""
    english = {code: concept.english for code, concept in lexicon.concepts.items()}
    shipped = [artist for artist in ARTISTS if artist.shipped]
    drawn = {artist.name: drawings(artist, packages, english) for artist in shipped}
    chosen = _choose(lexicon, {name: set(found) for name, found in drawn.items()})
    pairs = [(c, a.name) for c in chosen for a in shipped if c.code in drawn[a.name]]
    pictures = render_all([drawn[artist][concept.code] for concept, artist in pairs], _SIZE)
    kept = [(*pair, p) for pair, p in zip(pairs, pictures, strict=True) if p is not None]
    ids = {(c.code, a): _FIRST_IMAGE_ID + i for i, (c, a, _) in enumerate(kept)}
    queries = _queries(lexicon, chosen, ids)
    folder.mkdir(parents=True, exist_ok=True)
    images = pa.table(
        {
            "image_id": pa.array([ids[c.code, a] for c, a, _ in kept], pa.int64()),
            "image": pa.array([_webp(Image.fromarray(p)) for _, _, p in kept], pa.binary()),
            "artist": [a for _, a, _ in kept],
            "concept": [c.code for c, _, _ in kept],
            "name": [c.name for c, _, _ in kept],
        }
    )
    pq.write_table(images, folder / "images.parquet", compression="zstd", use_dictionary=False)
    pq.write_table(_query_table(queries), folder / "queries.parquet", compression="zstd")


def _choose(lexicon: Lexicon, drawn: dict[str, set[str]]) -> list[Concept]:
    """Pick concrete concepts that most artists draw and that have words to search for."""
    chance = random.Random(5)
    chosen: list[Concept] = []
    for group, quota in _QUOTAS.items():
        fitting = [
            concept
            for concept in lexicon.concepts.values()
            if concept.group == group
            and len(lexicon.trained_words(concept)) >= 2
            and not any(part in concept.name for part in _UNWANTED)
            and "200d" not in concept.code
            and sum(concept.code in codes for codes in drawn.values()) >= _FEWEST_ARTISTS
        ]
        chance.shuffle(fitting)
        fitting.sort(key=lambda c: -sum(c.code in codes for codes in drawn.values()))
        chosen += fitting[:quota]
    dull, everyday = set(_DULL.split()), set(_EVERYDAY.split())
    chosen = [concept for concept in chosen if concept.name not in dull]
    known = {concept.code for concept in chosen}
    chosen += [
        concept
        for concept in lexicon.concepts.values()
        if concept.name in everyday
        and concept.code not in known
        and sum(concept.code in codes for codes in drawn.values()) >= _FEWEST_ARTISTS
    ]
    return sorted(chosen, key=lambda c: c.code)


def _queries(
    lexicon: Lexicon, chosen: list[Concept], ids: dict[tuple[str, str], int]
) -> list[Query]:
    """Names and search words that pictures carry, then the held-out words.

    A picture carries its name and a few of its concept's words; the artists' pictures of a concept
    need not carry the same ones. A held-out word lists every picture of every concept that owns it.
    """
    chance = random.Random(9)
    owners: dict[str, set[str]] = {}
    for concept in chosen:
        for word in concept.words:
            owners.setdefault(word, set()).add(concept.code)
    names: dict[str, list[int]] = {}
    carried: dict[str, list[int]] = {}
    for concept in chosen:
        words = [
            word
            for word in lexicon.trained_words(concept)
            if word != concept.name and len(owners[word]) <= _MOST_OWNERS
        ]
        for artist in ARTISTS:
            if (concept.code, artist.name) in ids:
                image_id = ids[concept.code, artist.name]
                names.setdefault(concept.name, []).append(image_id)
                for word in chance.sample(words, min(_WORDS_A_PICTURE, len(words))):
                    carried.setdefault(word, []).append(image_id)
    held_out = {
        word: [i for (code, _), i in ids.items() if code in owners[word]]
        for word in sorted(lexicon.held_out)
        if word in owners
    }
    for word in set(names) & set(carried):
        names[word] += carried.pop(word)
    return [
        *_rows(names, "indexed", "name"),
        *_rows(carried, "indexed", "keyword"),
        *_rows(held_out, "held_out", "keyword"),
    ]


def _rows(found: dict[str, list[int]], split: str, kind: str) -> list[Query]:
    return [Query(text, tuple(sorted(set(found[text]))), split, kind) for text in sorted(found)]


def _query_table(queries: list[Query]) -> pa.Table:
    count = len(queries)
    query_ids = range(_FIRST_QUERY_ID, _FIRST_QUERY_ID + count)
    return pa.table(
        {
            "query_id": pa.array(query_ids, pa.int64()),
            "query": [q.query for q in queries],
            "image_ids": pa.array([list(q.image_ids) for q in queries], pa.list_(pa.int64())),
            "split": [q.split for q in queries],
            "kind": [q.kind for q in queries],
        }
    )


def _webp(picture: Image.Image) -> bytes:
    """An RGBA picture on white as WebP."""
    white = Image.new("RGBA", picture.size, "white")
    out = io.BytesIO()
    Image.alpha_composite(white, picture).convert("RGB").save(
        out, "WEBP", quality=_WEBP_QUALITY, method=6
    )
    return out.getvalue()
