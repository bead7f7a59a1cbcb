"""Views as the flows make them, with drawn pictures and hostile words."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw

from tasks.records import FieldValue, Hit
from tasks.report.views import (
    AgainstView,
    BreakdownView,
    DemoView,
    EvaluationView,
    IndexView,
    SearchView,
    SweepView,
    WorstQuery,
)

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    "\"'`&amp; </style></title><!-- {{ 7 * 7 }} {% raw %} \u202eolleh مرحبا 🌸👨‍👩‍👧 \x00\x1b[31m"
)
LONG = "花" * 10_000


def drawing(kind: str = "JPEG", color: str = "orange") -> bytes:
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).ellipse((20, 10, 140, 110), fill=color)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def coded(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")


def hit(number: int, query: str = "红色连衣裙\n夏天的裙子", **fields: FieldValue) -> Hit:
    shown: dict[str, FieldValue] = {
        "image_id": number,
        "query": query,
        "query_id": 200_000 + number,
        "queries": query.count("\n") + 1,
        "picture": coded(drawing()),
    }
    dense, sparse = 0.5 / number, 0.25 / number
    return Hit(str(number), dense + sparse, dense, sparse, shown | fields)


def search(text: str | None = "红色的连衣裙", count: int = 6, **options: object) -> SearchView:
    given: dict[str, object] = {
        "hits": tuple(hit(number) for number in range(1, count + 1)),
        "alpha": 0.8,
        "topk": 10,
        "text": text,
        "took_ms": {"model": 28.2, "store": 6.1, "total": 35.4},
    }
    return SearchView(**(given | options))  # type: ignore[arg-type]


def hostile_search() -> SearchView:
    hits = (
        hit(1, HOSTILE),
        hit(2, LONG, picture=""),
        hit(3, "网上的图片", picture="https://pictures.test/a.jpg?x=1&y=<2>"),
        hit(4, "仓库里的图片", picture="oss://bucket/<b>a</b>.jpg"),
        Hit("5", -0.25, -0.25, 0.0, {}),
    )
    return search(HOSTILE + LONG, hits=hits, filter=HOSTILE, picture=b"not a picture")


METRICS = {
    "dense": {"R@1": 0.412, "R@5": 0.713, "R@10": 0.802, "MR": 0.642, "nDCG@10": 0.6, "MRR": 0.541},
    "sparse": {"R@1": 0.5, "R@5": 0.61, "R@10": 0.633, "MR": 0.58, "nDCG@10": 0.555, "MRR": 0.549},
    "hybrid": {"R@1": 0.6, "R@5": 0.82, "R@10": 0.88, "MR": 0.768, "nDCG@10": 0.71, "MRR": 0.687},
}
EVERY_METRIC = {mode: {**row, "R@100": 0.96, "MAP@100": 0.512} for mode, row in METRICS.items()}


ENDS = {
    mode: {name: (value - 0.021, value + 0.019) for name, value in row.items()}
    for mode, row in METRICS.items()
}


def index(rejects: int = 0) -> IndexView:
    return IndexView(
        dataset="sample:",
        model="sample",
        dimension=128,
        collection="muge",
        store="zvec:.muge/store",
        rows=5621,
        images=2818,
        queries=2154,
        documents=2818,
        rejects=rejects,
        stages={
            "encode_images": {"seconds": 31.2, "per_second": 90.3},
            "upsert": {"seconds": 3.9, "per_second": 722.0},
            "some_new_stage": {"seconds": 0.0, "per_second": 0.0},
        },
    )


def evaluation() -> EvaluationView:
    right, wrong = hit(1).fields, hit(2).fields
    return EvaluationView(
        dataset="sample:",
        model="sample",
        protocol=("留出的查询，只在图库里找。", "Held-out queries against the gallery."),
        queries=2154,
        gallery=2818,
        metrics=EVERY_METRIC,
        alpha=0.8,
        store_metrics=EVERY_METRIC,
        ann_recall=0.997,
        sweep={0.0: METRICS["sparse"], 1.0: METRICS["dense"], 0.8: METRICS["hybrid"]},
        worst=(WorstQuery("下弦月", 37, right, wrong), WorstQuery(HOSTILE, None, right)),
        best=(WorstQuery("满月", 1, right, wrong), WorstQuery(HOSTILE, 1, wrong, None)),
        against=against(),
        commands=("muge evaluate sample: --alpha-sweep",),
        intervals=ENDS,
        curves={mode: [row["R@1"], row["R@5"], row["R@10"]] for mode, row in METRICS.items()},
        sweep_found=sweep(),
        directions={"image_to_text": METRICS["dense"], "image_to_image": METRICS["hybrid"]},
        direction_intervals={"image_to_text": ENDS["dense"]},
        direction_notes=(("图 → 文的说明", "A note on pictures"), HOSTILE),
        breakdown=(
            BreakdownView(("按长度", "By length"), (("1–2", 1289, {"dense": 0.7, "hybrid": 0.8}),)),
        ),
        notes=(("混合更好", "Hybrid is better"),),
        facts=((("数据指纹", "Data fingerprint"), "cd0f796b10432278"), ("x", HOSTILE)),
    )


def against() -> AgainstView:
    return AgainstView(
        title=("与先前结果相比：先前.parquet", f"Against an earlier evaluation: {HOSTILE}"),
        said=("混合：64.2% → 76.8%，p < 0.001", "Hybrid: 64.2% → 76.8%, p < 0.001"),
        rows=[
            ("dense", "R@1", 0.412, 0.412, 0, 0, 1.0),
            ("hybrid", "MR", 0.642, 0.768, 123, 1045, 0.0001),
            ("hybrid", "MAP@100", 0.5, 0.45, 12, 45, 0.0312),
        ],
        unchanged=["sparse"],
        improved=[("下弦月", 0.0, 1.0), (HOSTILE, 0.2, 0.5)],
        worsened=[("满月", 1.0, 0.0)],
    )


def sweep() -> SweepView:
    return SweepView(
        said=("在一半上选，在另一半上报告", "Chosen on one half"),
        curves={"weighted": {0.0: 0.5, 0.4: 0.7, 1.0: 0.6}, "normalised": {0.0: 0.5, 1.0: 0.61}},
        best={"weighted": 0.4, "normalised": 1.0},
        reported={"weighted": METRICS["hybrid"], "rrf": METRICS["dense"]},
        intervals={"weighted": ENDS["hybrid"]},
    )


def demo() -> DemoView:
    searches = (search(), search(None, picture=drawing("PNG"), alpha=1.0), search("没有", 0))
    return DemoView(index(rejects=3), evaluation(), searches, ("muge demo",))
