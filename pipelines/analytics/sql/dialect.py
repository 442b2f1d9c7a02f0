"""The dialect: what Kinesis Data Analytics' SQL has beyond the standard's, as an extension of sqlglot's parser. Pure.

Only the grammar is here. What of it can be run, `compile` and `plan` decide.
"""

from typing import Any, Final

from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import TokenType


class CreateStream(exp.Expression):
    """CREATE OR REPLACE STREAM this (expressions): an in-application stream, its columns as ColumnDef."""

    arg_types = {"this": True, "expressions": True}


class CreatePump(exp.Expression):
    """CREATE OR REPLACE PUMP this AS INSERT INTO target (columns) expression (C6)."""

    arg_types = {"this": True, "target": True, "columns": False, "expression": True}


class Step(exp.Expression, exp.Func):
    """STEP(this BY expression): a time, rounded down to a multiple of an interval (C8)."""

    arg_types = {"this": True, "expression": True}


class Cursor(exp.Expression, exp.Func):
    """CURSOR(this): a query as the argument of a function (C11)."""

    arg_types = {"this": True}


class Stagger(exp.Expression):
    """WINDOWED BY STAGGER (PARTITION BY partition_by RANGE expression) (C9)."""

    arg_types = {"partition_by": True, "expression": True}


_WINDOWED_BY: Final = TokenType.CLUSTER_BY
"""sqlglot has no kind of token for WINDOWED BY, and new kinds cannot be made: this one, which KDA has no use for, and
its place in a SELECT, stand for it."""


def _create(grammar: Any) -> exp.Expr:
    """Behind CREATE: [OR REPLACE] STREAM or PUMP."""
    grammar._match_text_seq("OR", "REPLACE")
    if grammar._match_text_seq("STREAM"):
        name = grammar._parse_id_var(any_token=False)
        columns = grammar._parse_wrapped_csv(grammar._parse_field_def)
        return grammar.expression(CreateStream(this=name, expressions=columns))
    if grammar._match_text_seq("PUMP"):
        name = grammar._parse_id_var(any_token=False)
        grammar._match_text_seq("STARTED") or grammar._match_text_seq("STOPPED")
        if not grammar._match_text_seq("AS", "INSERT", "INTO"):
            grammar.raise_error("Expected AS INSERT INTO")
        target = grammar._parse_id_var(any_token=False)
        columns = grammar._parse_wrapped_id_vars() if grammar._match(TokenType.L_PAREN, advance=False) else None
        return grammar.expression(
            CreatePump(this=name, target=target, columns=columns, expression=grammar._parse_select())
        )
    grammar.raise_error("Expected STREAM or PUMP")
    raise AssertionError  # raise_error has raised


def _other(grammar: Any) -> exp.Expr:
    grammar.raise_error("Expected CREATE OR REPLACE STREAM or PUMP", grammar._prev)
    raise AssertionError  # raise_error has raised


def _step(grammar: Any) -> exp.Expr:
    this = grammar._parse_bitwise()
    if not grammar._match_text_seq("BY"):
        grammar.raise_error("Expected BY")
    return grammar.expression(Step(this=this, expression=grammar._parse_interval()))


def _stagger(grammar: Any) -> exp.Expr:
    grammar._advance()
    if not grammar._match_text_seq("STAGGER"):
        grammar.raise_error("Expected STAGGER")
    grammar._match_l_paren()
    partition_by = grammar._parse_partition_by()
    if not grammar._match(TokenType.RANGE):
        grammar.raise_error("Expected RANGE")
    interval = grammar._parse_interval()
    grammar._match_r_paren()
    return grammar.expression(Stagger(partition_by=partition_by, expression=interval))


class KinesisAnalytics(Dialect):
    """SQL as Kinesis Data Analytics takes it: names in quotes as they are, others in capitals (C6)."""

    class Tokenizer(tokens.Tokenizer):
        """Adds WINDOWED BY."""

        KEYWORDS = {
            **{word: kind for word, kind in tokens.Tokenizer.KEYWORDS.items() if kind != _WINDOWED_BY},
            "WINDOWED BY": _WINDOWED_BY,
        }

    class Parser(parser.Parser):
        """Adds STREAM, PUMP, STEP, CURSOR and WINDOWED BY STAGGER."""

        OPERATION_MODIFIERS = {"STREAM"}
        STATEMENT_PARSERS = {
            **dict.fromkeys(parser.Parser.STATEMENT_PARSERS, _other),
            TokenType.SEMICOLON: parser.Parser.STATEMENT_PARSERS[TokenType.SEMICOLON],
            TokenType.CREATE: _create,
        }
        FUNCTION_PARSERS = {
            **parser.Parser.FUNCTION_PARSERS,
            "STEP": _step,
            "CURSOR": lambda self: self.expression(Cursor(this=self._parse_select())),
        }
        QUERY_MODIFIER_PARSERS = {
            **parser.Parser.QUERY_MODIFIER_PARSERS,
            _WINDOWED_BY: lambda self: ("cluster", _stagger(self)),
        }
        QUERY_MODIFIER_TOKENS = set(QUERY_MODIFIER_PARSERS)
