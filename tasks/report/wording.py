"""Every sentence that pages and terminal tables say, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from tasks.report.stage_names import STAGES

if TYPE_CHECKING:
    from tasks.report.views import Words

Language = Literal["zh", "en"]

WORDS: dict[str, tuple[str, str]] = {
    # a data set that is looked at
    "inspect.label.dataset": ("数据集", "data set"),
    "inspect.label.rows": ("行", "rows"),
    "inspect.label.images": ("图片", "images"),
    "inspect.label.queries": ("查询", "queries"),
    "inspect.label.pairs": ("图文对", "pairs"),
    "inspect.label.length": ("查询长度", "query length"),
    "inspect.label.duplicates": ("重复", "duplicates"),
    "inspect.label.images_without_query": ("没有查询的图片", "images without query"),
    "inspect.label.queries_without_image": ("没有图片的查询", "queries without image"),
    "inspect.label.missing": ("缺少的图片", "missing images"),
    "inspect.label.rejects": ("拒收", "rejects"),
    "inspect.label.to_download": ("要下载", "to download"),
    "inspect.label.links": ("链接", "links"),
    "inspect.label.ignored": ("没有看的", "not looked at"),
    "inspect.label.copies": ("相同的图片", "copies"),
    "inspect.label.decoded": ("解码了的图片", "pictures decoded"),
    "inspect.label.unreadable": ("无法解码", "unreadable"),
    "inspect.label.odd": ("异常", "odd"),
    "inspect.label.formats": ("格式", "formats"),
    "inspect.label.sizes": ("像素大小", "sizes"),
    "inspect.label.file_size": ("文件大小", "file size"),
    "inspect.label.model": ("模型", "model"),
    "inspect.label.time": ("在本机索引用时", "time to index here"),
    "inspect.label.store": ("向量库", "store"),
    "inspect.label.free": ("DashVector 免费集群", "free DashVector"),
    "inspect.label.file": ("文件", "file"),
    "inspect.label.id_from": ("ID 取自", "id from"),
    "inspect.label.text_from": ("文字取自", "text from"),
    "inspect.label.image_from": ("图片取自", "image from"),
    "inspect.label.query_from": ("查询取自", "query from"),
    "inspect.label.product_from": ("商品取自", "product from"),
    "inspect.label.fields": ("字段", "fields"),
    "inspect.label.unused": ("其他列", "other columns"),
    "inspect.label.row_place": ("位置", "row"),
    "inspect.label.row_id": ("ID", "id"),
    "inspect.label.row_text": ("文字", "text"),
    "inspect.label.row_picture": ("图片", "picture"),
    "inspect.label.folder": ("目录", "folder"),
    "inspect.label.family": ("家族", "family"),
    "inspect.label.dimension": ("维度", "dimension"),
    "inspect.label.pictures": ("图片", "pictures"),
    "inspect.label.parameters": ("参数量", "parameters"),
    "inspect.label.preprocessing": ("预处理", "preprocessing"),
    "inspect.label.device": ("设备", "device"),
    "inspect.label.source": ("来源", "source"),
    "inspect.label.towers": ("双塔", "towers"),
    "inspect.label.made": ("生成", "made"),
    "inspect.label.check": ("自检", "self-check"),
    "inspect.square": ("{side} x {side} 像素", "{side} x {side} pixels"),
    "inspect.loaded": ("{device}，加载用了 {seconds} 秒", "{device}, loaded in {seconds} s"),
    "inspect.vector_of": ("“{what}”的向量", "vector of {what}"),
    "inspect.vector_of_black": ("黑色图片的向量", "vector of black"),
    "inspect.towers": (
        "{architecture}；{dimension} 维",
        "{architecture}; dimension {dimension}",
    ),
    "inspect.made": (
        "{out}，权重 {size}，用时 {time}",
        "{out}, {size} of weights in {time}",
    ),
    "inspect.checked": (
        "前后各 {count} 个向量，最大差 {difference}",
        "{count} vectors before and after, largest difference {difference}",
    ),
    "inspect.read": ("{rows:,}，读了 {seconds} 秒", "{rows:,}, read in {seconds} s"),
    "inspect.lengths": (
        "平均 {mean} 个字，99 % 不超过 {most}，最长 {longest}",
        "{mean} characters on average, 99 % at most {most}, longest {longest}",
    ),
    "inspect.repeated": ("{count:,} 行与别的行重复", "{count:,} rows repeat another"),
    "inspect.not_there": (
        "{count:,} 对提到的图片不存在",
        "{count:,} pairs name a picture that is not there",
    ),
    "inspect.rows_of": ("{count:,} 行", "{count:,} rows"),
    "inspect.unusable": (
        "它没有可用的图片，`muge index` 会拒绝它",
        "it has no usable picture, so that `muge index` would refuse it",
    ),
    "inspect.no_column": ("没有找到这样的列：?image=列名", "no column was found: ?image=COLUMN"),
    "inspect.none": ("无", "none"),
    "inspect.all_decoded": ("全部，单核每秒 {rate} 张", "all, {rate} a second on one core"),
    "inspect.some_decoded": (
        "{images:,} 张中的 {checked:,} 张，单核每秒 {rate} 张",
        "{checked:,} of {images:,}, {rate} a second on one core",
    ),
    "inspect.bytes": ("平均 {mean}，最大 {largest}", "{mean} on average, largest {largest}"),
    "inspect.rates": (
        "{model}，{dimension} 维，{device}：每秒 {images} 张图片、{texts} 条文字",
        "{model}, {dimension} dimensions, on {device}: {images} images/s, {texts} texts/s",
    ),
    "inspect.about": ("约 {time}", "about {time}"),
    "inspect.store_size": (
        "{documents:,} 条文档，不算索引约 {size}",
        "{documents:,} documents, about {size} before indexes",
    ),
    "inspect.fits": (
        "放得下（{dimension} 维的文档 {documents:,} 条）",
        "fits ({documents:,} documents of {dimension} dimensions)",
    ),
    "inspect.does_not_fit": (
        "放不下（{dimension} 维的文档 {documents:,} 条）",
        "does not fit ({documents:,} documents of {dimension} dimensions)",
    ),
    # page
    "page.skip": ("跳到正文", "Skip to content"),
    "page.language": ("English（切换到英文）", "中文 (switch to Chinese)"),
    "page.script": (
        "浏览器关闭了脚本，页面只显示中文。",
        "Scripts are off: this page shows Chinese only.",
    ),
    "page.scroll": ("表格，可左右滚动", "Table, scrolls sideways"),
    "page.made_by": ("由 muge-search 生成", "Made by muge-search"),
    # search
    "search.list": ("查询一览", "Queries"),
    "search.query": ("查询", "Query"),
    "search.by_picture": ("以图搜图", "Search by picture"),
    "search.query_picture": ("用来搜索的图片", "The picture that was searched with"),
    "search.picture_hidden": ("图片无法显示", "Picture cannot be shown"),
    "search.alpha": (
        "α {alpha}：语义 {dense}，关键词 {sparse}",
        "α {alpha}: meaning {dense}, keywords {sparse}",
    ),
    "search.topk": ("取前 {topk} 条，找到 {found} 条", "Top {topk}, {found} found"),
    "search.filter": ("过滤", "Filter"),
    "search.took": ("用时 {ms}", "Took {ms}"),
    "search.took_parts": (
        "用时 {ms}（模型 {model}，检索 {store}）",
        "Took {ms} (model {model}, store {store})",
    ),
    "search.starting": (
        "{waited:.1f} 秒：启动 {starting:.1f} 秒，{parts}",
        "{waited:.1f} s: starting {starting:.1f} s, {parts}",
    ),
    "search.parts": (
        "模型 {model:.0f} 毫秒，检索 {store:.0f} 毫秒",
        "model {model:.0f} ms, store {store:.0f} ms",
    ),
    "asking.prompt": ("搜索> ", "search> "),
    "asking.hint": (
        "每行一个查询；{names} 加一个值改变之后的查询，不加值则取消；Ctrl-D 结束",
        "A query a line; {names} with a value change those after it, without one take it back; "
        "Ctrl-D ends",
    ),
    "search.steered": (
        "语义：图片占 {picture}，文字占 {text}",
        "Meaning: {picture} the picture, {text} the text",
    ),
    "search.doubt": (
        "这里可能没有与之相符的图片：最相近的相似度只有 {best}，"
        "而本集合自己的查询有 {share} 达到 {threshold} 以上。",
        "Perhaps nothing here fits: the most similar picture reaches {best}, and {share} of the "
        "collection's own queries reach {threshold} or more.",
    ),
    "search.group": ("分组：{value}", "Group: {value}"),
    # a hit
    "hit.rank": ("第 {rank} 名", "Rank {rank}"),
    "hit.image": ("图片 {id}", "Image {id}"),
    "hit.alt": ("图片 {id}：{text}", "Image {id}: {text}"),
    "hit.no_picture": ("没有存图片", "No picture stored"),
    "hit.link": ("打开原图", "Open the picture"),
    "hit.no_text": ("没有文字", "No text"),
    "hit.more": ("全部 {count} 条文字", "All {count} texts"),
    "hit.alike": ("还有 {count} 张几乎一样的", "{count} more nearly the same"),
    "hit.more_pictures": ("同款还有 {count} 张图", "{count} more pictures of this product"),
    "hit.source": ("来源", "From"),
    "hit.whole": ("展开全文", "Whole text"),
    "hit.score": ("得分", "Score"),
    "hit.dense": ("语义", "Meaning"),
    "hit.sparse": ("关键词", "Keywords"),
    "hit.zoom": ("放大：图片 {id}", "Larger: image {id}"),
    "hit.like": ("找相似图片", "More like this"),
    "hit.like_this": ("找相似图片：图片 {id}", "More like this: image {id}"),
    # nothing found
    "empty.title": ("没有找到图片", "No pictures found"),
    "empty.words": (
        "换一种说法，或用更短、更常见的词。",
        "Say it differently, or with fewer and more common words.",
    ),
    "empty.filter": (
        "放宽或去掉过滤条件（--filter）。",
        "Loosen or drop the filter (--filter).",
    ),
    "empty.alpha": (
        "α 为 0 时只按关键词匹配；把 --alpha 调到 0.5 以上，语义也参与。",
        "At α 0 only keywords count; raise --alpha to 0.5 or more to search by meaning too.",
    ),
    "empty.store": (
        "用 muge status 确认集合里已有文档；没有就先运行 muge index。",
        "Check with muge status that the collection has documents; if not, run muge index first.",
    ),
    "empty.none": ("这里还没有查询", "No queries here yet"),
    "empty.none_hint": ("运行一次搜索，例如：", "Run a search, for example:"),
    "empty.none_command": (
        "muge search --text 红色连衣裙 --html 结果.html",
        "muge search --text 红色连衣裙 --html results.html",
    ),
    # index
    "index.title": ("索引内容", "What was indexed"),
    "index.images": ("图片", "Images"),
    "index.queries": ("查询文字", "Query texts"),
    "index.documents": ("文档", "Documents"),
    "index.rows": ("数据行", "Rows"),
    "index.rejects": ("未收录", "Rejects"),
    "index.downloads": ("图片地址", "Addresses"),
    "index.downloads_counts": (
        "新下载 {fetched}，已有 {kept}，失败 {failed}",
        "{fetched} downloaded, {kept} kept from before, failed: {failed}",
    ),
    "index.downloads_stale": (
        "新下载 {fetched}，已有 {kept}（其中 {stale} 个再问时给不出图片），失败 {failed}",
        "{fetched} downloaded, {kept} kept from before ({stale} gave no picture when asked again), "
        "failed: {failed}",
    ),
    "index.rejects_none": ("全部收录，没有被拒绝的数据。", "Everything was taken: no rejects."),
    "index.rejects_some": (
        "{count} 条数据未收录；用 muge rejects list 查看原因。",
        "Rejected: {count}. See why with muge rejects list.",
    ),
    "index.dataset": ("数据集", "Data set"),
    "index.model": ("模型", "Model"),
    "index.dimension": ("向量维度", "Dimension"),
    "index.collection": ("集合", "Collection"),
    "index.store": ("向量库", "Vector database"),
    # stages
    "stages.title": ("各阶段用时", "Time by stage"),
    "stages.stage": ("阶段", "Stage"),
    "stages.seconds": ("秒", "Seconds"),
    "stages.rate": ("每秒处理", "Per second"),
    "stages.total": ("合计", "Total"),
    **{f"stage.{key}": (name.chinese, name.english) for key, name in STAGES.items()},
    # judgements of people
    "judged.counted": (
        "{collection}：赞与踩 {thumbs} 次，用户 {users} 个；{queries} 条查询的 {pictures} 张图片"
        "有等级，{fitting} 张合适",
        "{collection}: {thumbs} thumbs, users: {users}; {pictures} pictures of {queries} queries "
        "have a grade, {fitting} fit",
    ),
    "judged.contested": (
        "{count} 张图片赞踩一样多，没有等级",
        "{count} pictures have as many ups as downs, and no grade",
    ),
    "judged.written": ("已写：{file}", "Written: {file}"),
    "judged.measure": ("用它们评测：{line}", "Measure by them: {line}"),
    "judged.files": (
        "要评测用的文件：--qrels 文件 --queries 文件",
        "Files to measure by: --qrels FILE --queries FILE",
    ),
    "tuned.queries": (
        "{collection}：{judged} 条评价过的查询里 {queries} 条赞踩都有，用户 {users} 个；"
        "在 {chosen} 条上选，在 {reported} 条上报告；没人评价过的图片不算",
        "{collection}: {queries} of {judged} judged queries have both thumbs, users: {users}; "
        "chosen on {chosen}, reported on {reported}; pictures that nobody judged are left out",
    ),
    "tuned.now": ("现在：{setting}", "now:  {setting}"),
    "tuned.best": ("最好：{setting}", "best: {setting}"),
    "tuned.setting": (
        "{setting}：nDCG@10 {interval}，前 10 张图片有 {judged:.0%} 评价过",
        "{setting}: nDCG@10 {interval}, {judged:.0%} of its first 10 pictures were judged",
    ),
    "tuned.gain": ("nDCG@10 提高：{interval}", "gain in nDCG@10: {interval}"),
    "tuned.set": ("可设：{variables}（什么也没有改）", "To set: {variables} (nothing was changed)"),
    "tuned.unsure": (
        "不能肯定比现在用的好：没有要设的",
        "Not surely better than what is used now: nothing to set",
    ),
    # bars and lines of a run at work
    "bars.idle": ("早已完成", "already done"),
    "bars.speed": ("每秒 {speed:,.0f}", "{speed:,.0f}/s"),
    "bars.left": ("{spent}，还剩 {left}", "{spent}, {left} left"),
    "bars.line": ("{stage}：{seconds:.1f} 秒", "{stage}: {seconds:.1f} s"),
    "bars.items": ("，{items:,} 项，{speed}", ", {items:,} items, {speed}"),
    # what is noted
    "note.note": ("提示：", "note: "),
    "note.warning": ("警告：", "warning: "),
    "note.alpha": (
        "在集合 {collection!r} 自己的 {queries} 条查询上（每条都不看它自己的文字），"
        "alpha {proposed:g} 的平均召回比 {alpha:g} 多 {value:+.3f} [{low:+.3f}, {high:+.3f}]",
        "alpha {proposed:g} finds {value:+.3f} [{low:+.3f}, {high:+.3f}] mean recall more than "
        "{alpha:g} on {queries} of collection {collection!r}'s own queries, each left out of the "
        "texts",
    ),
    "note.alpha_used": (
        "{said}：搜索用它（--alpha {alpha:g}：用默认的）",
        "{said}: searches use it (--alpha {alpha:g}: the default)",
    ),
    "note.alpha_worse": ("{said}：不写 --alpha 就用它", "{said}: leave --alpha out to use it"),
    # evaluation
    "evaluation.title": ("检索效果", "Search quality"),
    "evaluation.protocol": ("评测方法", "Protocol"),
    "evaluation.size": (
        "{queries} 条查询，在 {gallery} 张图片中找正确的那几张。",
        "{queries} queries, each looking for its right pictures among {gallery}.",
    ),
    "evaluation.table": (
        "{queries} 条查询，{gallery} 张图片，精确检索，95 % 区间",
        "{queries} queries, {gallery} images, exact search, 95 % intervals",
    ),
    "evaluation.held_out": (
        "{queries} 条留出的查询，{gallery} 张图片，精确检索",
        "{queries} held-out queries, {gallery} images, exact search",
    ),
    "evaluation.image_to_text": (
        "以图搜文：{asked} 张图片，{candidates} 条候选",
        "image to text: {asked} pictures, {candidates} candidates",
    ),
    "evaluation.image_to_image": (
        "以图搜图：{asked} 张图片，{candidates} 张候选",
        "image to image: {asked} pictures, {candidates} candidates",
    ),
    "evaluation.through_store": ("经向量库检索", "through the store"),
    "evaluation.chosen": (
        "α 在 {chosen} 条查询上选定，在另外 {reported} 条上报告",
        "alpha chosen on {chosen} queries, reported on the other {reported}",
    ),
    "evaluation.mode": ("方式", "Mode"),
    "evaluation.exact": ("精确计算（逐张比较）", "Exact (every picture compared)"),
    "evaluation.store": ("经向量库检索", "Through the vector database"),
    "evaluation.best": ("本列最高", "Best in column"),
    "evaluation.ann": (
        "向量库返回了精确前 10 名中的 {recall}。",
        "The vector database returned {recall} of the exact first ten.",
    ),
    "evaluation.reading": (
        "R@K：前 K 名中有正确图片的查询比例；MR：R@1、R@5、R@10 的平均；"
        "nDCG@10、MRR@100 与 MAP@100：正确图片（MAP：全部正确图片）排得越靠前越接近 1；"
        "100 名之后的按 0 计。",
        "R@K: share of queries with a right picture among the first K; MR: mean of R@1, R@5 and "
        "R@10; nDCG@10, MRR@100 and MAP@100: nearer 1 the earlier the right pictures come (MAP: "
        "all of them); a rank behind 100 counts 0.",
    ),
    "evaluation.intervals": (
        "数字下方是 95% 置信区间：对查询做有放回重抽样（bootstrap）所得。",
        "Below the numbers: 95 % intervals, by drawing queries with replacement (bootstrap).",
    ),
    "evaluation.gain": (
        "混合相对于{other}：平均召回（MR）{value} 个百分点（95% 区间 {low} 到 {high}，"
        "同一批查询配对比较）。",
        "Hybrid against {other}: {value} points of mean recall (MR), 95 % interval {low} to "
        "{high}, paired over the same queries.",
    ),
    "evaluation.without_positive": (
        "{count} 条查询的正确图片不在图库中：任何检索都找不到，按 0 分计入。",
        "{count} queries have no right picture in the gallery: no search can find it, they count "
        "as 0.",
    ),
    "evaluation.judged": (
        "正确图片与等级取自 {path}：{queries} 条查询有标注，最高 {highest} 级；"
        "{unjudged} 条没有标注，不计分；{unknown_queries} 条标注的查询不在数据集中；"
        "{unknown_documents} 张标注为正确的图片不在图库中；{negative} 个负等级按 0 计。"
        "nDCG 的增益就是等级（与 trec_eval 相同），其余指标把 1 级及以上算作正确。",
        "Right pictures and grades are those of {path}: {queries} queries are judged, grades up to "
        "{highest}; {unjudged} are not and have no score; {unknown_queries} judged queries are not "
        "in the data set; {unknown_documents} right pictures are not in the gallery; {negative} "
        "negative grades count as 0. Gains of nDCG are the grades, as trec_eval has them; for the "
        "other metrics grades from 1 on are right.",
    ),
    "evaluation.unanswered": (
        "另有 {count} 条查询没有给出正确图片，不计分。",
        "{count} more queries name no right picture at all and are not scored.",
    ),
    "curve.title": (
        "前 K 名中有正确图片的查询比例",
        "Share of queries with a right picture in the first K",
    ),
    "curve.across": ("K（对数刻度）", "K (logarithmic)"),
    "curve.weighted": ("加权和", "Weighted sum"),
    "curve.normalised": ("归一化后加权", "Normalised, then weighted"),
    "alpha.chart": ("α 与平均召回（MR）", "α and mean recall (MR)"),
    "alpha.across": (
        "α：0 只看关键词，1 只看语义；圆点为在一半查询上选出的最佳值",
        "α: 0 keywords only, 1 meaning only; the dot is the best on one half of the queries",
    ),
    "sweep.said": (
        "最佳 α 在 {chosen} 条查询上选出，下表在另外 {reported} 条上报告；{verdict}。",
        "The best α was chosen on {chosen} queries; the table reports on the other {reported}. "
        "{verdict}.",
    ),
    "sweep.reported": ("未参与选择的一半查询", "The half that nothing was chosen on"),
    "sweep.weighted": ("加权和（α\u00a0=\u00a0{alpha}）", "Weighted sum (α\u00a0=\u00a0{alpha})"),
    "sweep.normalised": (
        "归一化后加权（α\u00a0=\u00a0{alpha}）",
        "Normalised (α\u00a0=\u00a0{alpha})",
    ),
    "sweep.rrf": ("倒数排名融合（RRF）", "Reciprocal rank fusion"),
    "directions.title": ("以图搜文、以图搜图", "From pictures"),
    "mode.image_to_text": ("图 → 文", "Picture → text"),
    "mode.image_to_image": ("图 → 图", "Picture → picture"),
    "directions.image_to_text": (
        "图 → 文：{asked} 张图片（共 {of} 张可用），在 {candidates} 条查询文字中找它所回答的。",
        "Picture → text: {asked} pictures (of {of}), each looking among {candidates} query texts "
        "for those it answers.",
    ),
    "directions.image_to_image": (
        "图 → 图：{asked} 张图片（共 {of} 张可用），在另外 {candidates} 张中找回答同一查询的。",
        "Picture → picture: {asked} pictures (of {of}), each looking among {candidates} others for "
        "those that answer one of the same queries.",
    ),
    "directions.reading": (
        "只按语义：图片的关键词就是它的查询，也就是答案。数据只标注了查询与图片的配对，"
        "其他合适的结果也算错，因此这些数字是下限。",
        "By meaning alone: a picture's keywords are its queries, that is, the answers. The data "
        "judges only pairs of query and picture; others that fit count as wrong, so these numbers "
        "are lower bounds.",
    ),
    "breakdown.title": ("哪些查询效果好", "Which queries do well"),
    "breakdown.group": ("查询", "Queries"),
    "breakdown.count": ("条数", "Count"),
    "breakdown.length": ("按长度（字符数），R@10", "By length (characters), R@10"),
    "breakdown.frequency": (
        "按最罕见的词出现在多少文档中，R@10",
        "By the number of documents with the rarest word, R@10",
    ),
    "breakdown.column": ("按 {column} 的取值，R@10", "By {column}, R@10"),
    "breakdown.none": ("（没有取值）", "(no value)"),
    "breakdown.others": ("（其余取值）", "(all other values)"),
    "breakdown.few": (
        "{value}（不足 {few} 条，仅供参考）",
        "{value} (fewer than {few}: says little)",
    ),
    "breakdown.reading": (
        "0：查询里有任何文档都没有的词，关键词检索帮不上忙。",
        "0: a word of the query is in no document, so that keywords cannot help.",
    ),
    "origin.data": ("数据指纹", "Data fingerprint"),
    "origin.queries": ("查询指纹", "Queries fingerprint"),
    "origin.bm25": ("BM25 统计", "BM25 statistics"),
    "origin.weights": ("模型权重 SHA-256", "Weights SHA-256"),
    "origin.version": ("版本", "Version"),
    "origin.commit": ("代码提交", "Commit"),
    "origin.machine": ("环境", "Machine"),
    "evaluation.sweep": ("α 对效果的影响", "What α does"),
    "mode.dense": ("语义（向量）", "Meaning (dense)"),
    "mode.sparse": ("关键词（BM25）", "Keywords (sparse)"),
    "mode.hybrid": ("混合（α\u00a0=\u00a0{alpha}）", "Hybrid (α\u00a0=\u00a0{alpha})"),
    "alpha.title": ("α 是什么", "What α means"),
    "alpha.text": (
        "得分 = α × 语义 + (1 − α) × 关键词。α 为 1 只看语义，为 0 只看关键词；"
        "本次 α = {alpha}。语义认得没写出来的意思，关键词认得准确的名称和型号。",
        "Score = α × meaning + (1 − α) × keywords. At α 1 only meaning counts, at 0 only "
        "keywords; here α = {alpha}. Meaning finds what is not spelled out, keywords find exact "
        "names and models.",
    ),
    # worst queries
    "worst.title": ("最难的查询", "Hardest queries"),
    "worst.rank": ("正确图片排第 {rank}", "Right picture at rank {rank}"),
    "worst.missing": ("结果中没有正确图片", "Right picture not among the results"),
    "worst.wanted": ("正确图片", "Right picture"),
    "worst.found": ("排在第一的图片", "Picture that came first"),
    # best queries
    "best.title": ("答得最好的查询", "Best answers"),
    "best.reading": (
        "按 nDCG@10，再按正确图片领先第一张错误图片的得分排列；看看它们是否真的对。",
        "By nDCG@10, then by how far the right picture's score is ahead of the first wrong one's. "
        "Worth a look whether they are right indeed.",
    ),
    "best.alone": ("只排出了正确的图片", "Nothing wrong among the results"),
    "best.rank": ("正确图片排第一", "Right picture first"),
    "best.next": ("最靠前的其他图片", "First of the others"),
    # against an earlier evaluation
    "against.title": ("与先前结果相比：{name}", "Against an earlier evaluation: {name}"),
    "against.run": ("与另一系统相比：{name}", "Against another system: {name}"),
    "against.said": (
        "{mode} 的 {metric}：{then} → {now}（{change}），p {p}；{better} 条查询变好，{worse} 条变差"
        "，{same} 条不变。",
        "{metric} of {mode}: {then} → {now} ({change}), p {p}; {better} queries better, {worse} "
        "worse, {same} the same.",
    ),
    "against.reading": (
        "p：随机逐条交换先前与现在的得分，差距至少这么大的比例（双侧配对随机化检验，10,000 次）。"
        "表中有许多检验，二十个里总有一个碰巧低于 0.05：请事先选定一个指标来下结论。",
        "p: share of random exchanges of then and now, query by query, that differ at least as "
        "much (two-sided paired randomisation test, 10,000 samples). Of twenty tests one is below "
        "0.05 by chance: conclude from one metric, chosen beforehand.",
    ),
    "against.unchanged": ("{mode}：没有一条查询有变化。", "{mode}: no query changed."),
    "against.what": ("方式与指标", "Mode and metric"),
    "against.then": ("先前", "Then"),
    "against.now": ("现在", "Now"),
    "against.change": ("差", "Change"),
    "against.better": ("变好", "Better"),
    "against.worse": ("变差", "Worse"),
    "against.p": ("p 值", "p"),
    "against.improved": ("变好最多的查询（nDCG@10）", "Most improved queries (nDCG@10)"),
    "against.worsened": ("变差最多的查询（nDCG@10）", "Most worsened queries (nDCG@10)"),
    # demo
    "demo.title": ("muge-search 演示报告", "muge-search demo report"),
    "demo.searches": ("搜索示例", "Searches"),
    "demo.lead": (
        "用 {model} 为 {images} 张图片建立索引，并以中文检索。",
        "{images} images indexed with {model}, searched in Chinese.",
    ),
    "reproduce.title": ("如何复现", "How to reproduce"),
    # terminal only
    "table.rank": ("名次", "#"),
    "table.image": ("图片", "image"),
    "table.texts": ("文字", "queries"),
    "table.score": ("得分", "score"),
    "table.dense": ("语义", "dense"),
    "table.sparse": ("关键词", "sparse"),
    "table.metrics_mode": ("方式", "mode"),
}


def spoken_language(environment: Mapping[str, str], wanted: str = "auto") -> Language:
    """The language of a terminal: the one that is wanted, else the system's, English where that is
    neither."""
    if wanted != "auto":
        return "zh" if wanted == "zh" else "en"
    named = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "zh" if next(filter(None, named), "").startswith("zh") else "en"


def say(key: str, **values: object) -> tuple[str, str]:
    """(Chinese, English) of a sentence, its values filled in. Unknown keys are `KeyError`s."""
    chinese, english = WORDS[key]
    return chinese.format(**values), english.format(**values)


def said_in(language: Language, key: str, **values: object) -> str:
    """A sentence in one language, its values filled in."""
    return WORDS[key][language != "zh"].format(**values)


def name_of(kind: str, name: str, **values: object) -> Words:
    """What people call a stage or mode ("stage", "upsert"); unknown ones are shown as they are."""
    if f"{kind}.{name}" in WORDS:
        return say(f"{kind}.{name}", **values)
    return name.replace("_", " ")


def in_language(words: Words, language: Language) -> str:
    """One language of something to say."""
    if isinstance(words, str):
        return words
    return words[0 if language == "zh" else 1]
