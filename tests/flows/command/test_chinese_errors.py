"""What the command says at a Chinese terminal when it cannot do what was asked: the whole line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.work.folder import Folder
from tasks.work.lock import run_lock
from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.shop import make_pictures

CHINA = {"LC_ALL": "zh_CN.UTF-8"}
ALONE = ("--orchestrator", "none")
NO_RECORD = (
    "zvec:.muge/store 的集合 '{0}' 在 .muge/work 里没有记录{1}：说不出它由哪个模型和 BM25 统计"
    "建成；请先运行 `muge index DATASET`，或给出当时用的 --work-dir、--store 和 --collection"
)


def last_line(muge: Muge, *arguments: str, code: int = 2, **environment: str) -> str:
    """What a command ends with."""
    done = muge(*arguments, environment={**CHINA, **environment})
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("muge: ")
    return line.removeprefix("muge: ")


USAGE = {
    "serch": "没有命令 'serch'。是不是 'search'、'serve'？",
    "search --tex x": "没有选项 --tex（可能是：--filter、--store、--text）",
    "index": "缺少参数 'dataset'",
    "index a b": "多出了参数（b）",
    "search x --topk": "选项 '--topk' 后面要有一个值",
    "search x --topk y": "'--topk' 的值不对：应是整数",
    "search x --topk 0": "topk（MUGE_TOPK）是 0：应不小于 1",
    "search x --fusion z": "'--fusion' 的值不对：'z' 不是 'weighted'、'normalised'、'rrf' 之一",
    "search x --queries y --out z": "--queries 与 --text：请给问题的文件，或一个问题",
    "search --image none.png": NO_RECORD.format("muge", ""),
    "index folder:none": "数据集目录 'none' 不存在，或不是目录",
    "index sample: --collection 1": "集合名 '1' 不能用：应是 3 到 32 个 a-z A-Z 0-9 _ -，以"
    "字母开头",
    "index sample: --store redis:x": "向量库 'redis:x' 不是地址：请写成 zvec:DIR（本机的目录）、"
    "dashvector: 或 dashvector:BLOCK（云服务，凭据来自环境变量或 Prefect block）",
    "index sample: --store dashvector:": "向量库 dashvector: 需要环境变量 DASHVECTOR_API_KEY 和 "
    "DASHVECTOR_ENDPOINT（或给出它的 ..._FILE、..._COMMAND）；两者都可以在 DashVector 控制台看到",
    "index sample: --deadline soon": "截止时间（MUGE_DEADLINE）是 'soon'，应是时长（2h、90m、"
    "1h30m），"
    '或时刻（06:00、"06:00 Asia/Shanghai"）',
    "alias rollback": "别名 'muge' 没有可以回退的集合：它不存在",
}


@pytest.mark.parametrize("words", USAGE)
def test_wrong_usage(words: str, muge: Muge) -> None:
    assert last_line(muge, *words.split()) == USAGE[words]


def test_files_that_are_none(muge: Muge, model: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("id,title,image\n1,伞\n")
    (tmp_path / "junk.pt").write_bytes(b"nothing")
    (tmp_path / "queries.jsonl").write_text("no json\n")
    table = f"csv:{tmp_path}/bad.csv"
    assert last_line(muge, "index", table, "--model", model, *ALONE) == (
        f"数据集 '{table}' 没有可用的图片；共 1 个问题，第一个是：bad.csv:2：这一行有 2 个单元格，"
        f"表头有 3 个（`muge inspect {table}` 会说明认出了什么）"
    )
    assert last_line(muge, "index", table, "--model", f"{tmp_path}/junk.pt", *ALONE) == (
        f"{tmp_path}/junk.pt 已损坏，或含有张量以外的东西；其中什么也没有运行。应是用 "
        f"torch.save 保存的 state_dict"
    )
    nowhere = last_line(muge, "index", table, "--work-dir", "/proc/x", *ALONE, code=1)
    assert nowhere.startswith("无法写入 /proc/x/")
    assert nowhere.endswith("：没有这个文件或目录；请用 --work-dir 换一个位置，或腾出空间后再运行")


def test_of_a_collection(muge: Muge, model: str, tmp_path: Path) -> None:
    here = tmp_path / "here" / ".muge"
    pictures = f"folder:{make_pictures(tmp_path / 'pictures', 3)}"
    index_dataset(pictures, model=model, work_dir=str(here / "work"), store=f"zvec:{here}/store")

    def searched(*words: str) -> str:
        return last_line(muge, "search", *words)

    assert searched("红色", "--filter", "imageid < 3") == (
        "过滤条件 'imageid < 3' 里的字段 'imageid' 在文档里没有（是不是 'image_id'？）：有的是 "
        "image_id、query、query_id、queries、picture"
    )
    assert searched("红色", "--filter", "query < 3") == (
        "过滤条件 'query < 3' 不能用：字段 'query' 是文字（str），而 3 是数；可以这样写："
        "query < 'abc'"
    )
    assert searched("红色", "--collection", "mug") == NO_RECORD.format("mug", "（是不是 'muge'？）")
    assert searched("--like", "77") == "集合 'muge' 里没有文档 '77'"
    assert searched("--image", "a b.png") == "无法读取图片 'a b.png'：没有这个文件或目录"
    assert searched("的", "--alpha", "0") == (
        "'的' 里没有关键词（只有停用词或标点）；请用大于 0 的 --alpha 按语义搜索"
    )
    with run_lock(Folder(str(here / "work")), "muge index sample:"):
        held = last_line(muge, "index", pictures, "--model", model, *ALONE, code=1)
    assert held.startswith("工作目录 .muge/work 被 muge index sample:（进程 ")
    assert held.endswith("）占用；请等它结束，或加 --wait SECONDS，或换一个 --work-dir")


def test_machines_and_other_languages_get_english(muge: Muge) -> None:
    english = "topk (MUGE_TOPK) is 0: Input should be greater than or equal to 1"
    wrong = ("search", "x", "--topk", "0")
    assert last_line(muge, *wrong, MUGE_LANGUAGE="en") == english
    assert last_line(muge, *wrong, LC_ALL="de_DE.UTF-8") == english
    assert last_line(muge, *wrong, LC_ALL="C", MUGE_LANGUAGE="zh").startswith("topk（MUGE_TOPK）")
    done = muge(*wrong, environment={**CHINA, "MUGE_LOG_FORMAT": "json"})
    assert json.loads(done.stderr)["message"] == english
    assert last_line(muge, "search", "x", MUGE_LANGUAGE="fr") == (
        "language（MUGE_LANGUAGE）是 'fr'：应是 'auto'、'zh' 或 'en'"
    )


def test_lines_beside_results(muge: Muge, model: str, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 3)
    (pictures / "torn.png").write_bytes((pictures / "0.png").read_bytes()[:60])
    (pictures / "notes.txt").write_text("x")
    words = ("index", f"folder:{pictures}", "--model", model, "--json", *ALONE)
    done = muge(*words, environment=CHINA)
    assert done.returncode == 3
    assert json.loads(done.stdout)["rejects"] == 1
    *_, ignored, advice, rejects = done.stderr.splitlines()
    assert ignored == "目录里有 1 个文件不是图片：1 .txt"
    assert advice.startswith("按原因查看：muge rejects list")
    assert rejects.startswith("拒收 1：")
