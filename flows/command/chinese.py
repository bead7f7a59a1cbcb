"""What `--help` says, in Chinese: commands, their own options, their arguments, its words."""

from __future__ import annotations

from collections.abc import Mapping

OPTIONS: Mapping[str, str] = {
    "--json": "标准输出只有一个 JSON。",
    "--health-port": "这个端口上的 /health 说明 worker 是否在工作；0：不开。",
    "--watch": "一直看着数据集的文件，有新的就运行。",
    "--verbose": "也显示 Prefect 的日志。",
    "--orchestrator": "作为 Prefect flow 运行（没有配置服务器时用临时的），或不用 Prefect。"
    "环境变量：MUGE_ORCHESTRATOR。",
    "--pool": "执行哪个工作池的运行：gpu 或 cpu。",
    "--replace": "集合不同时重新建立。",
    "--text": "中文查询。",
    "--image": "图片文件，或 http(s) 网址。",
    "--like": "文档的 id：找与它相似的。",
    "search --queries": "问题的 JSONL 文件（text、image 等）；须同时给 --out。",
    "--out": "答案的 JSONL 文件。",
    "--filter": "例如：image_id < 1000",
    "--group-by": "字段：它最好的 --topk 个值，各取最好的几条。",
    "--per-group": "每组的条数。",
    "--interactive": "一行一行地回答标准输入里的查询，模型只加载一次。",
    "--alike": "至少这么相似（余弦，例如 0.97）的图片只答一条。",
    "--products": "数据有商品时，每个商品只答它最好的一张图片。",
    "search --html": "把结果写成带图片的页面。",
    "--strategy": "in-place：发送变化的部分。blue-green：建新集合，检查，然后切换别名；"
    "集合名最多 26 个字符，因为会加编号。",
    "--gate-queries": "用哪个数据集的查询比较两个集合。默认：从数据中抽取。",
    "--refresh-pictures": "询问每个图片网址有没有新图片。",
    "--keep-previous": "保留之前的集合，到下次重新索引为止，可以回退。",
    "--protocol": "auto：没有查询在文档的文字里时为 held-out，否则为 official（只看语义）。"
    "leave-query-out：每条查询在不含它的文档上计分。",
    "--alpha-sweep": "α 从 0 到 1 逐个评测，以及 RRF。",
    "--judgements": "TREC qrels，可分级：代替数据集自己的标注。",
    "evaluate --group-by": "表的一列：也按它的取值分组报告。",
    "--predictions": "写 MUGE 榜单格式。",
    "--qrels": "把等级写成 TREC qrels。",
    "judgements export --queries": "把评价过的查询写成 JSONL：evaluate jsonl:文件。",
    "--jsonl": "把每一次赞与踩连同用户、时间、设置写成 JSONL。",
    "--run": "把排序写成 TREC run，每种方式一个文件：r.trec 写成 r.dense.trec 等。",
    "--qrels-out": "把标注写成 TREC qrels。",
    "--per-query": "把每条查询的得分写成 Parquet。",
    "--against": "先前 --per-query 写的文件，或一个 TREC run：与它做配对检验。",
    "--baseline": "以前一次运行的 JSON：指标下降就失败。",
    "evaluate --max-drop": "指标最多可以比基线低多少。",
    "--hold": "有指标低于工作目录里留存的基线就失败。",
    "--accept": "不论如何，把这次评测留作基线。",
    "evaluate --html": "另写一个自足的页面。",
    "inspect --sample": "解码的图片数。",
    "compare --sample": "用来比较的图片数；0：全部。",
    "--all": "解码每一张图片。",
    "--full": "读取每一个文件、每一条文档。",
    "import --replace": "集合已经在的话先删掉它。",
    "--estimate": "测模型的速度，估计代价。",
    "--delete": "删除；不给则只列出。",
    "--in-use": "即使搜索正在用、回退要用、或没人说得清，也删掉。",
}
"""Options that are of single commands only, by option, or command and option."""

COMMANDS: Mapping[str, str] = {
    "": "把中文图文数据索引到向量库，搜索并评测。",
    "demo": "用项目自带的样本做索引、评测、搜索，写出报告。",
    "index": "让数据集可以搜索；已经做完的不再做。\n\n"
    "退出码 3：完成，有拒收。4：到了限度，下一次接着做。",
    "search": "用文字、图片或两者找图片（图片管语义，文字管关键词）。\n\n"
    "退出码 3：--queries 里有问题答不了，原因在它们的那一行。",
    "reindex": "让集合跟上它的数据集：只编码、只发送变化的部分。\n\n"
    "退出码 1：新集合没有通过检查，在线的保留。3：有拒收。4：到了限度，搜索照旧，下一次接着做。",
    "evaluate": "用数据集的查询评测搜索：召回、nDCG、MRR；精确检索与经过向量库的都测。\n\n"
    "退出码 1：比基线（加 --hold 时是留存的基线）差得超过 --max-drop。",
    "compare": "在一个数据集上比较两个模型：带配对区间的召回、速度与大小。",
    "tune": "说出赞与踩偏向哪个 alpha 与 fusion，附区间；什么也不改。\n\n"
    "与 --alpha、--fusion 比较，没给就与搜索现在用的比较。",
    "status": "列出向量库里的集合，由什么建成，有多少内容。",
    "inspect": "说出数据集里有什么、有什么问题、索引它要多大代价。",
    "verify": "把集合与它的校验和、记录、工作目录对照。\n\n"
    "退出码 1：有文件或文档不是当初写下的；会指出是哪个。",
    "repair": "由工作目录重建集合的向量库，并核对。\n\n不编码，也不读数据集。",
    "drop": "删除集合、它的记录与账本。\n\n"
    "搜索正在用或回退要用的会拒绝。它由什么建成的那些留在工作目录里，直到 `muge prune`。",
    "prune": "列出没有集合再需要的东西，加 --delete 就删除。\n\n"
    "运行的输出、旧的下载，以及被杀的进程留在工作目录、向量库与临时目录里的文件。",
    "export": "把集合写到一个目录：文档、记录与 BM25 统计。\n\n"
    "被杀之后用同一条命令接着做。`muge import` 把它读进任何向量库。",
    "import": "把导出的目录读进向量库，用原来的或另一个集合名。\n\n"
    "写入之前先检查每个文件。被杀之后用同一条命令接着做。--model 说明同一个模型在这里的位置。",
    "web": "提供搜索网页与它的 JSON 接口；更多选项是 MUGE_WEB_ 开头的环境变量。",
    "mcp": "按 Model Context Protocol 给助手搜索工具，用标准输入输出；"
    "经 HTTP 用 `muge web --mcp`。",
    "deploy": "设置好所配置的 Prefect 服务器：工作池、限额、block、部署、定时。\n\n"
    "只改不同的，随时可以再运行。",
    "serve": "在这台机器上运行各部署及其定时，不用工作池和 worker。\n\n"
    "用所配置的 Prefect 服务器；没有就在这里启动一个，与它同时结束。",
    "worker": "做所配置的 Prefect 服务器的 worker，被停止时把正在做的运行交还。",
    "model": "看一个模型（`muge model 模型`），或转换一个。",
    "model show": "看模型的家族、维度、大小、版本与文件，以及在这里能不能用。",
    "model convert": "把任何形式的 Chinese-CLIP 写成 ModelScope 的布局，并检查它的向量不变。",
    "alias": "看或移动别名：一个名字的搜索用哪个集合。",
    "alias show": "说出一个名字的搜索现在用哪个集合，之前是哪个。",
    "alias promote": "从现在起，让一个名字的搜索用另一个集合。",
    "alias rollback": "让一个名字的搜索重新用之前的集合。",
    "alias adopt": "别名丢失或由备份恢复之后，说明一个名字指哪个集合。",
    "rejects": "建立集合时拒收了什么，以及再试一次。",
    "rejects list": "按原因数出建立集合时拒收的，附样例。",
    "rejects replay": "原因消除之后再试拒收的；索引与检查随后进行。\n\n退出码 3：仍有拒收。",
    "judgements": "人们在搜索网页上对结果的评价。",
    "judgements export": "数出结果上的赞与踩，写成文件：供评测与其他工具使用。",
}
"""By name; "" is `muge` itself. The first paragraph is what the list of commands says."""

ARGUMENTS: Mapping[str, str] = {
    "search words": "中文查询，同 --text。",
    "compare first": "模型，写法同 --model。",
    "compare second": "模型，写法同 --model。",
    "verify collection": "集合名，或别名。",
    "repair collection": "集合名，或别名。",
    "drop collection": "集合名。",
    "export collection": "集合名，或别名。",
    "export dest": "新目录，或要接着做的目录（fsspec 网址）。",
    "import source": "`muge export` 写的目录（fsspec 网址）。",
    "model convert model": "任何形式的 Chinese-CLIP：文件或目录。",
    "model convert out": "要建立的目录：ModelScope 的布局，safetensors。",
    "alias promote to": "完整的集合。",
    "alias adopt to": "所指的集合。",
}
"""By command and argument; data sets are named alike in both languages, models as options are."""

BUILT_IN: Mapping[str, str] = {
    "--help": "显示本说明并退出。",
    "--version": "说出这是哪个版本。",
    "--install-completion": "为当前的 shell 安装补全。",
    "--show-completion": "显示当前 shell 的补全脚本，以便复制或自行安装。",
}

WORDS: Mapping[str, str] = {
    "[OPTIONS]": "[选项]",
    "COMMAND [ARGS]...": "命令 [参数]...",
    "default: ": "默认：",
    "env var: ": "环境变量：",
    "required": "必填",
}
"""What the parser says, in usage lines and behind meanings."""

USAGE, PARAMETERS, COMMAND_LIST = "用法：", {"argument": "参数", "option": "选项"}, "命令"
