"""The categories: 40 capital letters, digits and signs that are easy to distinguish, then pairs of them.

Categories 1 to 40 are single characters; the next 1600 are all ordered pairs, drawn as one object. Pairs
rather than one character in several styles: a style is lost at 30 pixels, a second character is not.
"""

CHARACTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789&?#$ΣΩΔΨ"  # without I and O, which look like 1 and 0
MAX_CATEGORIES = len(CHARACTERS) * (1 + len(CHARACTERS))

# Names are plain words: "$$" in a figure's label would be a formula, "&" in HTML an entity.
_WORDS = {
    "&": "ampersand",
    "?": "question",
    "#": "hash",
    "$": "dollar",
    "Σ": "Sigma",
    "Ω": "Omega",
    "Δ": "Delta",
    "Ψ": "Psi",
}


def category_text(index: int) -> str:
    """Return the one or two characters of a category, with an index from 0 to MAX_CATEGORIES - 1."""
    count = len(CHARACTERS)
    if index < count:
        return CHARACTERS[index]
    shift, first = divmod(index - count, count)
    # Pairs of neighbours, then of next neighbours: any number of categories uses all characters evenly.
    return CHARACTERS[first] + CHARACTERS[(first + shift + 1) % count]


def category_name(text: str) -> str:
    """Return a name like those of LVIS: ASCII words joined by an underscore."""
    return "_".join(_WORDS.get(character, character) for character in text)
