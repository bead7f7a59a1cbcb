"""What people call each stage of a run, in Chinese and English, for pages, tables and bars."""

from __future__ import annotations

from typing import NamedTuple


class StageName(NamedTuple):
    """The stage as a heading in both languages, and in English as what goes on now."""

    chinese: str
    english: str
    going_on: str


STAGES = {
    "start": StageName("启动 Prefect", "Start Prefect", "starting Prefect"),
    "look": StageName("查找变化", "Look for changes", "looking for changes"),
    "download": StageName("下载图片", "Download pictures", "downloading pictures"),
    "plan": StageName("读取与分片", "Read and shard data", "reading the data set"),
    "check_pictures": StageName("检查图片", "Check pictures", "checking pictures"),
    "train_bm25": StageName("统计词频（BM25）", "Train BM25", "training BM25"),
    "encode_images": StageName("图片编码", "Encode images", "encoding images"),
    "encode_texts": StageName("文字编码", "Encode texts", "encoding queries"),
    "encode_sparse": StageName("关键词编码", "Encode keywords", "encoding BM25"),
    "find_encoded": StageName("查找已编码内容", "Find what is encoded", "finding what is encoded"),
    "find_changes": StageName("比较变化", "Find changes", "finding changes"),
    "delete_removed": StageName("删除下架内容", "Delete removed", "deleting"),
    "check": StageName("切换前检查", "Check before the switch", "checking"),
    "upsert": StageName("写入向量库", "Write to the store", "upserting"),
    "export": StageName("导出", "Export", "exporting"),
    "check_export": StageName("检查导出", "Check the export", "checking the export"),
    "verify": StageName("核对", "Verify", "verifying"),
    "prune": StageName("清理", "Prune", "pruning"),
    "evaluate": StageName("评测", "Evaluate", "evaluate"),
    "search": StageName("搜索", "Search", "search"),
    "search_exact": StageName("精确检索", "Search exactly", "searching exactly"),
    "search_store": StageName("经向量库检索", "Search the store", "searching the store"),
}


def going_on(stage: str, language: str = "en") -> str:
    """What a stage does now; one without a name is shown as it is."""
    if stage not in STAGES:
        return stage
    return STAGES[stage].chinese if language == "zh" else STAGES[stage].going_on
