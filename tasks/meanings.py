"""What each option means in Chinese; English is the settings' own description."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_settings import BaseSettings

from tasks.settings import (
    DashVectorSettings,
    DeploySettings,
    Seeing,
    Settings,
    Speaking,
    WebSettings,
)

GROUPS: tuple[type[BaseSettings], ...] = (
    Settings,
    Speaking,
    Seeing,
    DashVectorSettings,
    WebSettings,
    DeploySettings,
)
"""All groups that environment variables set."""

CHINESE: Mapping[str, str] = {
    "MUGE_HOME": "运行时的一切所在的目录。",
    "MUGE_WORK_DIR": "工作目录（任何 fsspec 网址）。默认：MUGE_HOME/work。",
    "MUGE_STORE": "zvec:目录 或 dashvector: 。默认：zvec:MUGE_HOME/store。",
    "MUGE_COLLECTION": "集合：3 到 32 个 a-z A-Z 0-9 _ -，以字母开头。",
    "MUGE_PARTITION": "集合的分区。",
    "MUGE_MODEL": "sample、ModelScope 的 id、hf: 加 Hugging Face 的 id、目录、.pt，或 st:名字。",
    "MUGE_DIMENSION": "把 st: 模型的向量截到这么多个数。0：模型自己的维度。",
    "MUGE_INSTRUCTION": "st: 模型的查询以什么开头。默认：模型自己的。",
    "MUGE_TRUST_REMOTE_CODE": "运行 st: 模型自带的代码；请先读过。集合会记下来。",
    "MUGE_DEVICE": "auto、cpu、cuda、cuda:N 或 mps。",
    "MUGE_DOCUMENT": "一张图片（连同它的所有查询）一个文档，或一个（图片，查询）对一个文档。",
    "MUGE_PICTURE": "文档里带着图片的什么。",
    "MUGE_THUMBNAIL_PIXELS": "JPEG 图片字段的长边，像素。",
    "MUGE_MAX_IMAGE_PIXELS": "更大的图片不解码就拒收，像素。",
    "MUGE_MAX_IMAGE_BYTES": "更大的图片文件不读取就拒收，字节。",
    "MUGE_FIELDS": "表的哪些列成为文档的字段：all，或 price:float,brand,名字=列。",
    "MUGE_IMAGE_ROOT": "表里写的图片所在的目录。默认：表所在的目录。",
    "MUGE_UPRIGHT": "按 EXIF 方向把图片摆正；关闭：与 Chinese-CLIP 原来看到的一样。",
    "MUGE_LINKS": "跟随磁盘上的链接，不论指向磁盘何处。",
    "MUGE_SHARD_IMAGES": "每个分片最多的图片数。",
    "MUGE_BATCH_IMAGES": "模型一次处理的图片数；0：batch_memory_mb 放得下多少就多少，最多 256。",
    "MUGE_BATCH_MEMORY_MB": "处理一个批次用的显存，MiB。",
    "MUGE_PRECISION": "模型的数值格式；auto：本机最快的。",
    "MUGE_KERNELS": "图像塔照原样、编译，或录成 CUDA graph。",
    "MUGE_JPEG_DRAFT": "大 JPEG 按比例快速解码：更快，但不完全相同。",
    "MUGE_DECODERS": "同时解码的图片数；0：每核一个。",
    "MUGE_DECODE_IN": "由谁解码图片：auto 指有 GPU 时用进程，否则用线程。",
    "MUGE_DECODE_SECONDS": "解码用时更长的大图片会被拒收，秒。",
    "MUGE_CHECKPOINT_SECONDS": "运行被杀时，一个分片最多损失这么久的编码，秒。",
    "MUGE_MAX_DELTA": "一个分片的图片可以有多大比例存在它的文件旁边；0：整片重写。",
    "MUGE_WORKERS": "同时处理的分片数。",
    "MUGE_RUNNER": "在本进程的线程里编码，或在 Ray 集群上。",
    "MUGE_RAY_CPUS": "一个分片占 Ray 节点的 CPU 数。",
    "MUGE_RAY_GPUS": "一个分片占的 GPU 数。默认：Ray 集群有 GPU 时为 1。",
    "MUGE_TOKENS": "BM25 把中文数成什么：words、chars（单字与相邻两字）或 both。"
    "auto：照集合已有的；新集合为 chars。",
    "MUGE_SIMPLIFIED": "BM25 把繁体字当作简体字：yes 或 no；auto：照集合已有的，新集合为 yes。",
    "MUGE_USER_DICTIONARY": "BM25 从不切开的词，一行一个，文件。",
    "MUGE_STOP_WORDS": "BM25 从不计的词，一行一个，文件；代替自带的。",
    "MUGE_BM25": "corpus，或 DashText 统计：文件或 https 地址。",
    "MUGE_BM25_SHA256": "DashText 统计的 SHA-256。",
    "MUGE_SPARSE_WORKERS": "数据集大时 BM25 用的进程数。",
    "MUGE_DOWNLOAD_AT_ONCE": "同时下载的图片数。",
    "MUGE_DOWNLOAD_PER_HOST": "从同一主机同时下载的图片数。",
    "MUGE_DOWNLOAD_RETRIES": "可能恢复的网址再试几次。",
    "MUGE_DOWNLOAD_SECONDS": "一个网址总共用时更长就算失败，秒。",
    "MUGE_DOWNLOAD_SILENCE_SECONDS": "一个网址静默更久就算失败，秒。",
    "MUGE_DOWNLOAD_PRIVATE": "本机与内网的图片也下载。",
    "MUGE_ALPHA": "1 = 只看语义（稠密），0 = 只看关键词（稀疏）。",
    "MUGE_FUSION": "两边怎样合成一个排名：向量库的加权和、拉伸到 0..1 后加权，或倒数名次。",
    "MUGE_TOPK": "结果条数。",
    "MUGE_TEXT_WEIGHT": "同时用图片和文字搜索时，文字在语义里占的比例；0：文字只作关键词。",
    "MUGE_VERIFY_SAMPLES": "索引之后抽样重读的文档数。",
    "MUGE_ONLY_WRITER": "没有别的任务写这个工作目录：它的存储不必能上锁。",
    "MUGE_MAX_IMAGES": "这次运行最多编码多少张新图片，下一次接着做。0：全部。",
    "MUGE_DEADLINE": "2h 或 90m 之后、或到 06:00 就停下，下一次接着做。默认：做完为止。",
    "MUGE_WATCH_SECONDS": "带 --watch 的 reindex 多久看一次文件，秒。",
    "MUGE_SETTLE_SECONDS": "这么久没有写入，监视的运行才开始，秒。",
    "MUGE_WAIT": "等待工作目录上的另一个运行结束，秒。",
    "MUGE_MAX_DROP": "新集合的 R@10 最多可以比在线集合低多少。",
    "MUGE_MAX_REMOVED": "重新索引最多可以删掉在线文档的多大一份。",
    "MUGE_MAX_BM25_DRIFT": "BM25 偏差到这么多时，就地更新建议重新统计。",
    "MUGE_KEEP_DAYS": "最近这么多天写下的都留着。",
    "MUGE_KEEP_RUNS": "每个数据集里没有集合用到的运行，最新的留几个。",
    "MUGE_KEEP_ARTIFACTS": "Prefect 服务器上每种 artifact 留最新的几个。",
    "MUGE_LANGUAGE": "终端里帮助、表格与错误的语言。默认：跟随系统。",
    "MUGE_PICTURES": "终端能显示图片时，显示结果的小图（需要 [terminal]）。",
    "MUGE_LOG_FORMAT": "标准错误输出为文字，或 JSON：每行一个对象。",
    "MUGE_METRICS_DIR": "写运行指标的目录，供 node_exporter 的 textfile collector 读取。",
    "MUGE_METRICS_PUSH": "Prometheus Pushgateway 的地址；它要口令时写成 USER:PASSWORD@。",
    "MUGE_METRICS_JOB": "推送时的 job。",
    "MUGE_METRICS_SECONDS": "运行期间每隔多久写一次指标，秒。",
    "DASHVECTOR_API_KEY": "API key。",
    "DASHVECTOR_ENDPOINT": "集群的 endpoint，不带协议。",
    "DASHVECTOR_API_KEY_FILE": "里面是 API key 的文件。",
    "DASHVECTOR_API_KEY_COMMAND": "打印 API key 的命令。",
    "DASHVECTOR_ENDPOINT_FILE": "里面是 endpoint 的文件。",
    "DASHVECTOR_ENDPOINT_COMMAND": "打印 endpoint 的命令。",
    "DASHVECTOR_ROOTS": "只信任这个文件里的根证书（PEM）。默认：系统的和公认的。",
    "DASHVECTOR_REQUESTS_PER_SECOND": "本进程每秒最多发出的请求数，重试也算。",
    "MUGE_WEB_HOST": "监听的地址；0.0.0.0：所有网络。",
    "MUGE_WEB_PORT": "监听的端口；0：任何空闲的。",
    "MUGE_WEB_TOKEN": "谁来问都必须给出它。默认：不需要。",
    "MUGE_WEB_HOSTS": "网页的主机名，用逗号分开。默认：听本机时只有本机的名字，否则不限。",
    "MUGE_WEB_ORIGINS": "哪些网站的脚本可以用 API，用空格分开，例如 https://shop.example；*：全部。",
    "MUGE_WEB_MCP": "同时提供 /mcp：给助手用的搜索工具。",
    "MUGE_WEB_FRAMES": "哪些网站可以把网页放进框架，用空格分开。",
    "MUGE_WEB_PROXIES": "哪些代理的 X-Forwarded-For 可信，地址。",
    "MUGE_WEB_JUDGE": "结果上的赞与踩，记在工作目录里；auto：网页只听本机或有令牌时。",
    "MUGE_WEB_USER_HEADER": "MUGE_WEB_PROXIES 里的代理用哪个请求头说明是谁在评价。"
    "默认：浏览器的一个数。",
    "MUGE_WEB_FETCH": "取哪些图片网址：公网的、内网的也取，或都不取。",
    "MUGE_WEB_FETCH_SECONDS": "取一个图片网址的时间，秒。",
    "MUGE_WEB_PICTURE_BYTES": "更大的图片拒收，字节。",
    "MUGE_WEB_PICTURE_PIXELS": "更大的图片不解码就拒收，像素。",
    "MUGE_WEB_DECODERS": "解码图片的进程数；一个客户端最多占用除一个之外的全部。",
    "MUGE_WEB_DECODE_SECONDS": "解码用时更长的图片拒收，秒。",
    "MUGE_WEB_DECODE_MEMORY_MB": "解码用内存更多的图片拒收，MiB。",
    "MUGE_WEB_KEPT_BYTES": "上传的图片为链接在内存里留多少，字节。",
    "MUGE_WEB_WORKERS": "同时进行的搜索数。",
    "MUGE_WEB_THREADS": "一次搜索的 CPU 线程数；0：核数的一半，由 workers 平分。",
    "MUGE_WEB_QUEUE": "排队等待的搜索数；再多的得到 503。",
    "MUGE_WEB_WAIT_SECONDS": "等得更久的搜索得到 503，秒。",
    "MUGE_WEB_RATE": "每个客户端每分钟的搜索数；再多的得到 429。",
    "MUGE_WEB_CONNECTIONS": "同时的连接数；再多的得到 503。",
    "MUGE_WEB_CLIENT_CONNECTIONS": "一个客户端同时的连接数（代理不限）。",
    "MUGE_WEB_HEAD_SECONDS": "一个请求开始并说完请求头的时间，秒。",
    "MUGE_WEB_BODY_SECONDS": "随请求发送的内容的时间，秒。",
    "MUGE_WEB_TOPK": "一次搜索最多的结果数。",
    "MUGE_WEB_IDLE_SECONDS": "空闲这么久之后放开向量库，让别的进程写入，秒。",
    "MUGE_WEB_EXAMPLES": "示例查询，用 | 分开。默认：数据里的文字。",
    "MUGE_DEPLOY_DATASET": "各部署索引的数据集。",
    "MUGE_DEPLOY_QUERIES": "用哪个数据集的查询来评测。默认：它自己（sample: 则是留出的）。",
    "MUGE_DEPLOY_SOURCE": "代码从哪里来：每台 worker 都有的目录，或 git 地址。默认：当前这份安装。",
    "MUGE_DEPLOY_BRANCH": "git 地址的分支。",
    "MUGE_DEPLOY_COMMIT": "镜像由哪个提交构建；评测会写明它。",
    "MUGE_DEPLOY_PORT": "`muge serve` 启动的 Prefect 服务器的端口。",
}
"""By variable."""


def variable(group: type[BaseSettings], name: str) -> str:
    """The environment variable of a field."""
    return f"{group.model_config.get('env_prefix', '')}{name}".upper()


def chinese_by_english() -> dict[str, str]:
    """The Chinese meaning of each description; raises `KeyError` for an option without one."""
    return {
        field.description or "": CHINESE[variable(group, name)]
        for group in GROUPS
        for name, field in group.model_fields.items()
    }
