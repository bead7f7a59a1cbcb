"""Every sentence that only the search page says, in Chinese and English."""

from __future__ import annotations

from tasks.report import wording

WORDS: dict[str, tuple[str, str]] = {
    "ask.title": ("找图片", "Find pictures"),
    "ask.lead": (
        "用一句话、一张图片，或两者一起，在 {count} 张图片里找。",
        "Search {count} pictures by words, by a picture, or by both.",
    ),
    "ask.lead_unready": ("用一句话、一张图片，或两者一起找图片。", "Search by words or a picture."),
    "ask.text": ("想找什么？", "What are you looking for?"),
    "ask.text_hint": ("例如：下雨天打的伞", "For example: 下雨天打的伞 (Chinese works best)"),
    "ask.search": ("搜索", "Search"),
    "ask.picture": ("图片", "Picture"),
    "ask.choose": ("选择图片", "Choose a picture"),
    "ask.url": ("或填图片网址", "or a picture's address"),
    "ask.drop": (
        "也可以把图片拖到页面上，或复制图片后在这里粘贴（Ctrl+V）。",
        "You can also drop a picture on this page, or paste one (Ctrl+V).",
    ),
    "ask.without_script": (
        "浏览器关闭了脚本：可以用文字和图片网址搜索，不能上传图片。",
        "Scripts are off: search by words or a picture's address; uploading needs scripts.",
    ),
    "ask.uploaded": ("正在用：上传的图片", "In use: the uploaded picture"),
    "ask.like": ("正在用：图片 {id}", "In use: image {id}"),
    "ask.steer": ("文字改变意思的程度", "How much the words change the meaning"),
    "ask.steer_hint": (
        "0：文字只作关键词；越往右，越像“这张图，但是……”，例如“红色”。",
        "0: words are keywords alone. Further right: this picture, but as the words say, such as "
        "红色 (red).",
    ),
    "ask.remove": ("不用这张图片", "Remove this picture"),
    "ask.alpha": ("按什么找", "What counts"),
    "ask.keywords": ("关键词", "Keywords"),
    "ask.meaning": ("意思相近", "Meaning"),
    "ask.alpha_hint": (
        "往左：图片的文字里要有这些词；往右：意思相近就行。只用图片时没有关键词。",
        "Left: the picture's texts must have these words. Right: similar meaning is enough. "
        "A picture alone has no keywords.",
    ),
    "ask.alpha_says": ("语义 {dense}%，关键词 {sparse}%", "meaning {dense}%, keywords {sparse}%"),
    "ask.more": ("更多选项", "More options"),
    "ask.topk": ("最多显示", "Show at most"),
    "ask.filter": ("过滤条件", "Filter"),
    "ask.alike": ("几乎一样的图片只显示一张", "One hit for pictures that are nearly the same"),
    "fusion.label": ("怎样合成一个排序", "How both become one ranking"),
    "fusion.usual": ("服务的默认", "The server's own"),
    "fusion.weighted": ("加权相加（DashVector）", "Weighted sum (DashVector's)"),
    "fusion.normalised": ("归一后加权相加", "Weighted sum of normalised scores"),
    "fusion.rrf": ("倒数排名融合（RRF）", "Reciprocal rank fusion (RRF)"),
    "beside.label": ("并排比较", "Side by side with"),
    "beside.none": ("不比较", "Nothing"),
    "beside.alpha:1": ("只看意思（语义 100%）", "Meaning alone (100%)"),
    "beside.alpha:0.5": ("各一半（语义 50%）", "Half of each (meaning 50%)"),
    "beside.alpha:0": ("只看关键词（语义 0%）", "Keywords alone (meaning 0%)"),
    "beside.same": ("两边都有的：{count} 张", "In both: {count}"),
    "beside.only": ("另一边没有", "Not on the other side"),
    "beside.there_right": ("右边第 {place}", "Right: {place}"),
    "beside.there_left": ("左边第 {place}", "Left: {place}"),
    "facet.remove": ("去掉过滤 ×", "Without the filter ×"),
    "ask.filter_hint": ("例如：image_id < 1000", "For example: image_id < 1000"),
    "ask.examples": ("试试：", "Try:"),
    "ask.language": ("English（切换到英文）", "中文 (switch to Chinese)"),
    "found.title": ("结果", "Results"),
    "found.some": ("找到 {count} 张图片", "{count} pictures found"),
    "found.part": ("第 {first} 到 {last} 张", "Pictures {first} to {last}"),
    "found.shown": ("现在显示 {count} 张图片", "{count} pictures are shown now"),
    "found.more": ("再显示一些", "Show more"),
    "found.csv": ("表格（CSV）", "Table (CSV)"),
    "found.zip": ("表格和图片（ZIP）", "Table and pictures (ZIP)"),
    "light.title": ("大图", "Large picture"),
    "light.close": ("关闭", "Close"),
    "light.before": ("上一张", "Picture before"),
    "light.after": ("下一张", "Next picture"),
    "found.link": ("这次搜索的链接", "Link to this search"),
    "found.copied": ("链接已复制", "Link copied"),
    "found.kept": (
        "（上传的图片只暂存在内存里，链接过一段时间会失效）",
        "(the uploaded picture is kept in memory only: the link works for a while)",
    ),
    "found.searching": ("正在搜索…", "Searching…"),
    "judge.up": ("合适：图片 {id}", "Fits: image {id}"),
    "judge.down": ("不合适：图片 {id}", "Does not fit: image {id}"),
    "judge.was_up": ("已记下：图片 {id} 合适", "Noted: image {id} fits"),
    "judge.was_down": ("已记下：图片 {id} 不合适", "Noted: image {id} does not fit"),
    "judge.was_taken_back": ("已收回对图片 {id} 的评价", "Taken back: image {id}"),
    "judge.failed": (
        "这个评价没有记下，请再试一次。搜索不受影响。",
        "This judgement was not kept: try again. Searching goes on.",
    ),
    "judge.not_kept": (
        "评价没有记下：服务写不了工作目录，请告诉管理员。搜索不受影响。",
        "Not kept: the server cannot write to its work folder. Tell the operator. Searching goes "
        "on.",
    ),
    "judge.not_found": (
        "评价没有记下：这张图片已不在图库里，请重新搜索。",
        "Not kept: this picture is no longer in the collection. Search again.",
    ),
    "judge.rate": (
        "评价得太快了，这一个没有记下，请稍等再试。",
        "Too fast: this one was not kept. Wait a little.",
    ),
    "start.title": ("还没有搜索", "Nothing searched yet"),
    "crop.open": ("只用图片的一部分", "Use a part of the picture"),
    "crop.hint": (
        "拖出要找的部分；键盘：方向键移动，Shift 加方向键改变大小。",
        "Draw around what you are looking for. By keyboard: arrows move it, Shift and arrows "
        "change its size.",
    ),
    "crop.frame": ("选中的部分", "The part that is chosen"),
    "crop.search": ("搜索这一部分", "Search with this part"),
    "crop.close": ("取消", "Cancel"),
    "start.some": ("这里有这样的图片", "Pictures that are here"),
    "start.hint": (
        "在上面写下想找的东西，或选一张图片。也可以点一个例子。",
        "Write above what you are looking for, choose a picture, or try an example.",
    ),
    "none.words": ("换个说法，或用更短、更常见的词。", "Use other, fewer or more common words."),
    "none.alpha": (
        "现在只看关键词：把滑块往“意思相近”那边移，就能找到意思相近的图片。",
        "Only keywords count now: move the slider towards meaning to find similar pictures.",
    ),
    "none.filter": ("放宽或清空过滤条件。", "Loosen or clear the filter."),
    "problem.title": ("没能搜索", "The search did not work"),
    "problem.detail": ("原因：", "Reason: "),
    "problem.query": ("请检查要找的内容后再试。", "Check what you asked for and try again."),
    "problem.invalid": (
        "有一项填得不对，请改正后再试。",
        "Something was filled in wrongly: correct it and try again.",
    ),
    "problem.filter": (
        "过滤条件写得不对。可以这样写：image_id >= 100 and image_id < 200",
        "The filter is not right. One that works: image_id >= 100 and image_id < 200",
    ),
    "problem.address": (
        "这个网址的图片拿不到。请检查网址，或把图片存下来再上传。",
        "The picture at this address cannot be had. Check it, or save and upload the picture.",
    ),
    "problem.picture_gone": (
        "这张上传的图片已不再保留，请重新上传。",
        "The uploaded picture is no longer kept: upload it again.",
    ),
    "problem.too_large": (
        "图片文件太大，请换一张小一些的。",
        "The picture's file is too large: use a smaller one.",
    ),
    "problem.too_slow": ("上传用时太久，请再试一次。", "The upload took too long: try again."),
    "problem.type": ("这不是图片文件。", "This is not a picture."),
    "problem.busy": ("现在搜索的人太多，请过几秒再试。", "Too many searches now: try in a moment."),
    "problem.rate": ("搜索得太快了，请稍等再试。", "Too many searches from you: wait a little."),
    "problem.not_ready": (
        "图库正在准备或更新，请过一会儿再试。若一直如此，请管理员查看服务日志。",
        "The collection is being prepared: try again soon. If it stays so, tell the operator.",
    ),
    "problem.store": ("图库暂时没有回应，请再试一次。", "The database does not answer: try again."),
    "problem.internal": (
        "服务内部出错，已记录。请换个内容再试。",
        "Something went wrong here and was logged. Try something else.",
    ),
    "problem.not_found": ("没有这个页面。", "There is no such page."),
    "problem.host": (
        "请用服务的正式地址打开本页。",
        "Open this page by the server's own address.",
    ),
    "problem.offline": (
        "连不上服务，请检查网络后再试。",
        "The server cannot be reached: check the network and try again.",
    ),
    "problem.no_judging": ("这里不收评价。", "No judgements are taken here."),
    "problem.other_site": (
        "只收本站页面上的评价。",
        "Judgements are taken from this server's own pages only.",
    ),
    "problem.nobody": ("不知道是谁在评价。", "Nobody says who judges."),
    "problem.no_json": ("评价要以 JSON 发送。", "A judgement is sent as JSON."),
    "problem.not_kept": ("评价没有记下。", "The judgement was not kept."),
    "problem.not_read": ("评价读不出来。", "The judgements cannot be read."),
    "problem.back": ("回到搜索页", "Back to the search page"),
    "token.title": ("需要口令", "A token is needed"),
    "token.label": ("口令", "Token"),
    "token.enter": ("进入", "Enter"),
    "token.wrong": ("口令不对，请再试。", "That token is not right."),
}


def say(key: str, **values: object) -> tuple[str, str]:
    """(Chinese, English) of a sentence of this page or of all pages."""
    if key not in WORDS:
        return wording.say(key, **values)
    chinese, english = WORDS[key]
    return chinese.format(**values), english.format(**values)
