# ruff: noqa: RUF001 - the alphabets contain characters that look alike on purpose
"""Define the categories of the synthetic dataset, whose objects are drawn characters, called glyphs.

For an alphabet of N characters, the first N categories are single characters. The next N² categories are ordered pairs
of characters. A pair is drawn as one object. Pairs provide many categories that can be distinguished in objects of 30
pixels, unlike different styles of one character.
"""

from dataclasses import dataclass

# Category names contain these words instead of the signs, because Matplotlib reads "$$" as a formula, and HTML reads
# "&" as the start of an entity.
_SIGNS = {
    "&": "ampersand", "?": "question", "#": "hash", "$": "dollar", "!": "exclamation", "%": "percent", "@": "at",
    "+": "plus", "=": "equals", "/": "slash", "(": "open_round", ")": "close_round", "[": "open_square",
    "]": "close_square", "<": "less", ">": "greater",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi",
    "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The characters of each string look alike. A dataset with few categories uses only the first strings, so that its
# categories are also difficult to distinguish.
_SIMILAR = (
    "O0oQΘθσΩ", "CcG(<ε6eb", "Ss5$8&3Bβ", "Il1i!/T7", "Zz2?ξζ", "VvνYyγuUμ", "XxχKk", "WwωψΨφΦ", "PpρRD9gqj",
    "aα@dδ4AΛλΔ", "EFΞΣ=tfτ+#", "HhnηNMmπΠ", "Γr)]>[LJ%",
)  # fmt: skip
_BOLD = ("DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono-Bold.ttf", "STIXGeneralBol.ttf")
_REGULAR = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


@dataclass(frozen=True)
class Alphabet:
    """Characters from which categories are formed, and fonts to draw the characters.

    N characters give N categories of one character and N² categories of two characters.

    Attributes:
        characters: the N different characters as one string.
        fonts: names of font files in Matplotlib's folder ``fonts/ttf``.
        digit_words: if True, digits are called "zero" to "nine" in category names. If False, "0" to "9".
    """

    characters: str
    fonts: tuple[str, ...]
    digit_words: bool

    @property
    def max_categories(self) -> int:
        return len(self.characters) * (1 + len(self.characters))

    def text(self, index: int) -> str:
        """Return the character or the two characters that objects of a category show.

        Args:
            index: index of the category, in [0, ``max_categories``).
        """
        count = len(self.characters)
        if index < count:
            return self.characters[index]
        shift, first = divmod(index - count, count)
        # Pair each character first with the next character, then with the character after the next, and so on. With
        # this order, all characters occur about equally often for any number of categories.
        return self.characters[first] + self.characters[(first + shift + 1) % count]

    def name(self, text: str) -> str:
        """Return the name of the category that shows ``text``. For example, "ab" gives "small_a_small_b"."""
        return "_".join(map(self._word, text))

    def _word(self, character: str) -> str:
        if character.isdigit():
            return _DIGITS[int(character)] if self.digit_words else character
        if not character.isalpha():
            return _SIGNS[character]
        name = _GREEK.get(character.lower(), character.lower())
        return f"small_{name}" if character.islower() else name.capitalize()


ALPHABETS = {
    # Letters of both cases, digits, signs, and Greek letters. Many of these characters look alike.
    "similar": Alphabet(
        "".join(_SIMILAR),
        _BOLD + _REGULAR,
        digit_words=True,
    ),
    # Capital letters, digits and signs that are easy to distinguish. Therefore I, O, 1 and 0 are omitted.
    "plain": Alphabet("ABCDEFGHJKLMNPQRSTUVWXYZ23456789&?#$ΣΩΔΨ", _BOLD, digit_words=False),
}
