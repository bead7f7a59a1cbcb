"""A template and its values to one HTML page that needs nothing else: no file, no network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.report.texts import printable
from tasks.report.views import Words
from tasks.report.wording import say


def render_page(template: str, **values: object) -> str:
    """Fill a template of `tasks/report/templates`.

    Every value is escaped; the page's security policy allows its own style, its own script and
    pictures inside it, and nothing else.
    """
    style, script = _asset("report.css"), _asset("report.js")
    page = environment().get_template(template)
    html = page.render(
        style=Markup(style), script=Markup(script), policy=_policy(style, script), **values
    )
    return printable(html)


def both(words: Words) -> Markup:
    """Something to say, as HTML in both languages; the stylesheet shows one."""
    if isinstance(words, str):
        return escape(words)
    return Markup(
        '<span lang="zh-CN" class="t">{}</span><span lang="en" class="t">{}</span>'
    ).format(*words)


def attribute(name: str, words: Words) -> Markup:
    """An attribute (alt, aria-label) that says something and is switched by the script."""
    chinese, english = (words, words) if isinstance(words, str) else words
    return Markup('{0}="{1}" data-attribute="{0}" data-zh="{1}" data-en="{2}"').format(
        name, chinese, english
    )


def _sentence(key: str, **values: object) -> Markup:
    return both(say(key, **values))


@cache
def environment(package: str = "tasks.report") -> Environment:
    """The templates of a package and, behind them, those of all pages."""
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, "tasks.report"))]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(t=_sentence, both=both, attribute=attribute, say=say)
    return environment


@cache
def _asset(name: str) -> str:
    return files("tasks.report").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
