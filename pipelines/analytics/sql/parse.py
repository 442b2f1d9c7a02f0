"""Application code as statements: CREATE STREAM and CREATE PUMP, and an error with its line for anything else. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import TokenType

from pipelines.analytics.sql.dialect import CreatePump, CreateStream, KinesisAnalytics
from pipelines.analytics.sql.refusals import CLAUSES, WORDS, line_of, require_read, unsupported, wrong
from pipelines.analytics.sql.types import SqlType, sql_type
from pipelines.runtime.errors import ConfigurationError

LONGEST: Final = 102_400
"""Characters of ApplicationCode (C2)."""
ROWTIME: Final = "ROWTIME"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a stream: its name as SQL compares it, and its type."""

    name: str
    type: SqlType


@dataclass(frozen=True, slots=True)
class StreamStatement:
    """CREATE OR REPLACE STREAM."""

    name: str
    fields: tuple[Field, ...]
    node: exp.Expr


@dataclass(frozen=True, slots=True)
class PumpStatement:
    """CREATE OR REPLACE PUMP ... AS INSERT INTO target (columns) select (C6).

    Attributes:
        columns: of the target, in the order of the select; None for all of them.
    """

    name: str
    target: str
    columns: tuple[str, ...] | None
    select: exp.Expr
    node: exp.Expr


Statement = StreamStatement | PumpStatement


def name_of(identifier: exp.Expr) -> str:
    """What a name means: in quotes what stands there, else in capitals (C6)."""
    text = str(identifier.this)
    return text if identifier.args.get("quoted") else text.upper()


def parse(code: str) -> list[Statement]:
    """The statements of an application's code, in their order.

    Raises:
        ConfigurationError: it is too long, no SQL, or has other statements.
    """
    if len(code) > LONGEST:
        message = f"The code has {len(code):,} characters, and KDA takes no more than {LONGEST:,}."
        raise ConfigurationError(message, fix="leave comments out")
    try:
        found = sqlglot.parse(code, read=KinesisAnalytics)
    except ParseError as error:
        raise _no_sql(error, code) from None
    except TokenError as error:
        message = f"The code is no SQL: {str(error).splitlines()[0]}"
        raise ConfigurationError(message, fix="look for a quote or a comment that is not closed") from None
    return [_statement(node) for node in found if node is not None and not isinstance(node, exp.Semicolon)]


def named_again(fields: Sequence[Field]) -> int | None:
    """Where the first column stands that is called like one before it; None where each has a name of its own."""
    names = [field.name for field in fields]
    return next((at for at, name in enumerate(names) if name in names[:at]), None)


def _statement(node: exp.Expr) -> Statement:
    if isinstance(node, CreateStream):
        fields = tuple(map(_field, node.expressions))
        again = named_again(fields)
        if again is not None:
            message = f"the stream {name_of(node.this)} has two columns {fields[again].name}."
            raise wrong(node.expressions[again], message, "call one of them otherwise")
        return StreamStatement(name_of(node.this), fields, node)
    if isinstance(node, CreatePump):
        columns = node.args.get("columns")
        if node.expression is None:
            raise wrong(node, "the pump has no SELECT STREAM.", "write one behind INSERT INTO")
        names = tuple(map(name_of, columns)) if columns else None
        return PumpStatement(name_of(node.this), name_of(node.args["target"]), names, node.expression, node)
    fix = "write CREATE OR REPLACE PUMP ... AS INSERT INTO ... SELECT STREAM ..."
    if isinstance(node, exp.Query):
        raise wrong(node, "a query by itself has no place to put its rows.", fix)
    first = node.name if isinstance(node, exp.Command) else node.key
    raise unsupported(node, f"The statement {first.upper()}", "use CREATE OR REPLACE STREAM and PUMP alone")


def _field(column: exp.Expr) -> Field:
    name = name_of(column if isinstance(column, exp.Identifier) else column.this)
    kind = column.args.get("kind")
    if isinstance(column, exp.ColumnDef):
        require_read(column)
    if kind is None:
        raise wrong(column, f"the column {name} has no type.", "write one, e.g. DOUBLE or VARCHAR(16)")
    return Field(name, sql_type(kind, f"column {name} on line {line_of(column)}"))


def _no_sql(error: ParseError, code: str) -> ConfigurationError:
    first = error.errors[0]
    word, line = str(first["highlight"] or ""), first["line"]
    if word.upper() in WORDS:
        what, fix = WORDS[word.upper()]
        return ConfigurationError(f"Line {line}: {what} is not supported.", fix=fix)
    join = next((token for token in KinesisAnalytics().tokenize(code) if token.token_type is TokenType.JOIN), None)
    if join is not None:  # KDA joins by OVER (RANGE ...) behind a stream's name, which ends the parser's patience first
        what, fix = CLAUSES["joins"]
        return ConfigurationError(f"Line {join.line}: {what} is not supported.", fix=fix)
    near = f" at {word!r}" if word else ""
    message = f"Line {line}: this is no SQL that is known here{near}: {first['description']}"
    return ConfigurationError(message, fix="docs/from-kda-sql.md lists what is")
