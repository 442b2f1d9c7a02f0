"""java.time's DateTimeFormatter patterns, as far as an S3 prefix needs them (A7.3).

Done are the letters G u y Y D M L d Q q w W E e c F g a B h K k H m s S A n N V z O X x Z, padding with p, literals in
quotes and optional sections, as Java 17 prints them: English names, the week of the United States (Sunday first, the
first week has at least one day), second precision. Not done are zone names that the tz database does not know (zzzz, v,
and z where its abbreviation is a number).
"""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS: Final = ("1st", "2nd", "3rd", "4th")
_DAY_PERIODS: Final = ((6, "at night"), (12, "in the morning"), (18, "in the afternoon"), (21, "in the evening"))
_MODIFIED_JULIAN_EPOCH: Final = date(1858, 11, 17).toordinal()
_MOST_DIGITS: Final = 19

_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|(p+)?(([A-Za-z])\3*)|.", re.DOTALL)


class PatternError(ValueError):
    """DateTimeFormatter refuses the pattern."""


class UnsupportedPatternError(PatternError):
    """DateTimeFormatter takes the pattern, and we do not."""


def format_time(pattern: str, moment: datetime) -> str:
    """`moment` by a DateTimeFormatter `pattern`.

    Args:
        pattern: letters, literals in single quotes, optional sections in brackets.
        moment: with its time zone.

    Raises:
        PatternError: a letter or a count of letters that DateTimeFormatter does not take, an open quote, a bracket that
            was not opened, or a field that is wider than its padding.
        UnsupportedPatternError: a zone name that we do not know.
    """
    depth = 0  # of optional sections: every field is there, so they are always printed, and Java closes open ones
    out: list[str] = []
    for match in _TOKEN.finditer(pattern):
        token, pad, letters = match.group(0), match.group(1), match.group(2)
        if token == "''":
            out.append("'")
        elif token.startswith("'") and len(token) > 1:
            out.append(token[1:-1].replace("''", "'"))
        elif letters:
            out.append(_padded(_field(letters, moment), len(pad or "")))
        elif token in "[]":
            depth += 1 if token == "[" else -1
        elif token in "'{}#":
            message = f"{token!r} is reserved or not closed"
            raise PatternError(message)
        else:
            out.append(token)
        if depth < 0:
            message = "']' without '['"
            raise PatternError(message)
    return "".join(out)


def _padded(text: str, width: int) -> str:
    if width and len(text) > width:
        message = f"{text!r} is wider than its padding of {width}"
        raise PatternError(message)
    return text.rjust(width)


def _field(letters: str, moment: datetime) -> str:
    letter, count = letters[0], len(letters)
    render = _FIELDS.get(letter)
    if render is None:
        message = f"{letter!r} is no pattern letter"
        raise PatternError(message)
    text = render(moment, count)
    if text is None:
        message = f"{letters!r} has too many letters"
        raise PatternError(message)
    return text


def _number(value: int, count: int, most: int = 2) -> str | None:
    return f"{value:0{count}d}" if count <= most else None


def _year(value: int, count: int) -> str | None:
    return f"{value % 100:02d}" if count == 2 else _number(value, count, _MOST_DIGITS)


def _text(names: tuple[str, ...], index: int, count: int, short: int = 3) -> str | None:
    return {3: names[index][:short], 4: names[index], 5: names[index][0]}.get(count)


def _month(moment: datetime, count: int) -> str | None:
    return _number(moment.month, count) or _text(_MONTHS, moment.month - 1, count)


def _quarter(moment: datetime, count: int) -> str | None:
    quarter = (moment.month + 2) // 3
    named = {3: f"Q{quarter}", 4: f"{_ORDINALS[quarter - 1]} quarter", 5: str(quarter)}
    return _number(quarter, count) or named.get(count)


def _day_name(moment: datetime, count: int) -> str | None:
    return _text(_DAYS, moment.weekday(), max(count, 3))


def _local_day(moment: datetime, count: int) -> str | None:
    return _number(moment.isoweekday() % 7 + 1, count) or _day_name(moment, count)


def _standalone_day(moment: datetime, count: int) -> str | None:
    return None if count == 2 else _local_day(moment, count)


def _week_based(moment: datetime) -> tuple[int, int]:
    """Week-based year and week: weeks begin on Sunday, week 1 is the one with January 1st."""
    sunday = moment.date() - timedelta(days=moment.isoweekday() % 7)
    year = (sunday + timedelta(days=6)).year
    first = date(year, 1, 1)
    start = first - timedelta(days=first.isoweekday() % 7)
    return year, (sunday - start).days // 7 + 1


def _week_based_year(moment: datetime, count: int) -> str:
    year, _ = _week_based(moment)
    return f"{year % 100:02d}" if count == 2 else f"{year:0{count}d}"


def _week_of_month(moment: datetime, count: int) -> str | None:
    first = moment.replace(day=1).isoweekday() % 7
    return _number((moment.day - 1 + first) // 7 + 1, count, 1)


def _modified_julian_day(moment: datetime, count: int) -> str | None:
    return _number(moment.toordinal() - _MODIFIED_JULIAN_EPOCH, count, _MOST_DIGITS)


def _day_period(moment: datetime, count: int) -> str | None:
    if count not in (1, 4, 5):
        return None
    if moment.minute == 0 and moment.hour in (0, 12):
        name, narrow = ("noon", "n") if moment.hour else ("midnight", "mi")
        return narrow if count == 5 else name
    return next((name for before, name in _DAY_PERIODS if moment.hour < before), "at night")


def _of_day(moment: datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _offset(moment: datetime, count: int, zero: str) -> str | None:
    """+hh, +hhmm, +hh:mm, and from four letters on with seconds when there are any."""
    seconds = round((moment.utcoffset() or timedelta()).total_seconds())
    if seconds == 0 and zero == "Z":
        return "Z" if count <= 5 else None
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    colon = ":" if count in (3, 5) else ""
    tail = f"{colon}{rest:02d}" if rest and count >= 4 else ""
    if count == 1:
        return f"{sign}{hours:02d}" + (f"{minutes:02d}" if minutes else "")
    return f"{sign}{hours:02d}{colon}{minutes:02d}{tail}" if count <= 5 else None


def _offset_z(moment: datetime, count: int) -> str | None:
    if count <= 3:
        return _offset(moment, 2, "")
    return _gmt(moment, 4) if count == 4 else _offset(moment, 5, "Z")


def _gmt(moment: datetime, count: int) -> str | None:
    seconds = round((moment.utcoffset() or timedelta()).total_seconds())
    if count not in (1, 4):
        return None
    if not seconds:
        return "GMT"
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if count == 4:
        return f"GMT{sign}{hours:02d}:{minutes:02d}"
    return f"GMT{sign}{hours}" + (f":{minutes:02d}" if minutes else "")


def _zone_id(moment: datetime, count: int) -> str | None:
    return str(moment.tzinfo) if count == 2 else None


def _zone_name(moment: datetime, count: int) -> str | None:
    name = moment.tzname() or ""
    if count == 4 or (count < 4 and not name.isalpha()):
        message = f"the name of the time zone {moment.tzinfo}"
        raise UnsupportedPatternError(message)
    return name if count < 4 else None


def _generic_zone_name(moment: datetime, count: int) -> str | None:
    return _zone_name(moment, 4) if count in (1, 4) else None


_FIELDS: Final[dict[str, Callable[[datetime, int], str | None]]] = {
    "G": lambda _, n: {4: "Anno Domini", 5: "A"}.get(n, "AD") if n <= 5 else None,
    "u": lambda t, n: _year(t.year, n),
    "y": lambda t, n: _year(t.year, n),
    "Y": _week_based_year,
    "M": _month,
    "L": _month,
    "Q": _quarter,
    "q": _quarter,
    "D": lambda t, n: _number(t.timetuple().tm_yday, n, 3),
    "d": lambda t, n: _number(t.day, n),
    "w": lambda t, n: _number(_week_based(t)[1], n),
    "W": _week_of_month,
    "E": lambda t, n: _day_name(t, n) if n <= 5 else None,
    "e": _local_day,
    "c": _standalone_day,
    "F": lambda t, n: _number((t.day - 1) % 7 + 1, n, 1),
    "g": _modified_julian_day,
    "a": lambda t, n: ("AM" if t.hour < 12 else "PM") if n == 1 else None,
    "B": _day_period,
    "h": lambda t, n: _number((t.hour + 11) % 12 + 1, n),
    "K": lambda t, n: _number(t.hour % 12, n),
    "k": lambda t, n: _number((t.hour + 23) % 24 + 1, n),
    "H": lambda t, n: _number(t.hour, n),
    "m": lambda t, n: _number(t.minute, n),
    "s": lambda t, n: _number(t.second, n),
    "S": lambda _, n: "0" * n if n <= 9 else None,
    "A": lambda t, n: _number(_of_day(t) * 1_000, n, _MOST_DIGITS),
    "n": lambda _, n: _number(0, n, _MOST_DIGITS),
    "N": lambda t, n: _number(_of_day(t) * 1_000_000_000, n, _MOST_DIGITS),
    "V": _zone_id,
    "z": _zone_name,
    "v": _generic_zone_name,
    "O": _gmt,
    "X": lambda t, n: _offset(t, n, "Z"),
    "x": lambda t, n: _offset(t, n, ""),
    "Z": lambda t, n: _offset_z(t, n) if n <= 5 else None,
}
