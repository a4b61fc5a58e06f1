"""A flow's text as lines of HTML, its words coloured by their kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup, escape
from pygments.lexers import PythonLexer
from pygments.token import Token, _TokenType

# Longer texts are shown without colours: they have to be there at once.
_MOST_COLOURED_CHARACTERS = 200_000
_CLASSES = (
    (Token.Comment, "c"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "m"),
    (Token.Keyword, "k"),
    (Token.Operator.Word, "k"),
    (Token.Name.Function, "f"),
    (Token.Name.Class, "f"),
    (Token.Name.Decorator, "d"),
    (Token.Name.Builtin, "b"),
)


@lru_cache(maxsize=16)
def lines_of(text: str, *, python: bool = True) -> Sequence[Markup]:
    """Without their line ends."""
    if not python or len(text) > _MOST_COLOURED_CHARACTERS:
        return [escape(line) for line in text.split("\n")]
    lines: list[list[Markup]] = [[]]
    for kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        name = _class_of(kind)
        for at, piece in enumerate(value.split("\n")):
            if at:
                lines.append([])
            if piece:
                lines[-1].append(Markup('<span class="{}">{}</span>').format(name, piece) if name else escape(piece))
    return [Markup().join(line) for line in lines]


def _class_of(kind: _TokenType) -> str:
    return next((name for known, name in _CLASSES if kind[: len(known)] == known), "")
