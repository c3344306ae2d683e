"""Names as a page shows them."""

import html
import unicodedata

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# Unicode spells one letter in its own way.
_SPELLED = {"lambda": "lamda"}


def symbol(name: str) -> str:
    """A name with Greek letters by their sign: rho1 is ρ₁; anything else as it is written.

    Args:
        name: The name.

    Returns:
        The text.
    """
    letter = name.rstrip("0123456789")
    try:
        sign = unicodedata.lookup(f"GREEK SMALL LETTER {_SPELLED.get(letter, letter)}")
    except KeyError:
        return name
    return sign + name.removeprefix(letter).translate(_SUBSCRIPTS)


def label(name: str) -> str:
    """A name in a chart of Plotly, which reads some of HTML.

    Args:
        name: The name.

    Returns:
        The same text, with nothing that would be read as a tag.
    """
    return html.escape(symbol(name), quote=False)


def number(value: object, digits: int = 6) -> str:
    """A number for people.

    Args:
        value: A number, a text, or None.
        digits: How many digits it has at most.

    Returns:
        The text; "–" where there is none.
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
