# ruff: noqa: RUF001 - the alphabets contain characters that look alike on purpose
"""Categories of glyphs: the characters of an alphabet, then pairs of characters.

In an alphabet of N characters, the first N categories are single characters, and the next N² categories are ordered
pairs, each drawn as one object. Pairs remain legible at 30 pixels, but font styles of one character would not.
"""

from dataclasses import dataclass

# Names are words, because Matplotlib reads "$$" as a formula and HTML reads "&" as an entity.
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
# Groups of characters that look alike. Data sets with few categories take the first groups, so they are difficult, too.
_SIMILAR = (
    "O0oQΘθσΩ", "CcG(<ε6eb", "Ss5$8&3Bβ", "Il1i!/T7", "Zz2?ξζ", "VvνYyγuUμ", "XxχKk", "WwωψΨφΦ", "PpρRD9gqj",
    "aα@dδ4AΛλΔ", "EFΞΣ=tfτ+#", "HhnηNMmπΠ", "Γr)]>[LJ%",
)  # fmt: skip
_BOLD = ("DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono-Bold.ttf", "STIXGeneralBol.ttf")
_REGULAR = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


@dataclass(frozen=True)
class Alphabet:
    """The characters of the categories and the fonts of Matplotlib that draw them.

    Attributes:
        characters: distinct characters.
        fonts: file names in Matplotlib's ``fonts/ttf``.
        digit_words: True: digits are named "zero" to "nine". False: they are named "0" to "9".
    """

    characters: str
    fonts: tuple[str, ...]
    digit_words: bool

    @property
    def max_categories(self) -> int:
        return len(self.characters) * (1 + len(self.characters))

    def text(self, index: int) -> str:
        """Return the one or two characters of a category, with an index from 0 to ``max_categories`` - 1."""
        count = len(self.characters)
        if index < count:
            return self.characters[index]
        shift, first = divmod(index - count, count)
        # First pair each character with its successor, then with the one after it, so that any number of categories
        # uses the characters evenly.
        return self.characters[first] + self.characters[(first + shift + 1) % count]

    def name(self, text: str) -> str:
        """Return a name like those of LVIS: ASCII words joined by an underscore, such as "A" and "small_a"."""
        return "_".join(map(self._word, text))

    def _word(self, character: str) -> str:
        if character.isdigit():
            return _DIGITS[int(character)] if self.digit_words else character
        if not character.isalpha():
            return _SIGNS[character]
        name = _GREEK.get(character.lower(), character.lower())
        return f"small_{name}" if character.islower() else name.capitalize()


ALPHABETS = {
    # Letters of both cases, digits, signs, and the Greek letters that do not equal Latin letters.
    "similar": Alphabet(
        "".join(_SIMILAR),
        _BOLD + _REGULAR,
        digit_words=True,
    ),
    # Capital letters, digits and signs that are easy to distinguish. I, O, 1 and 0 are omitted.
    "plain": Alphabet("ABCDEFGHJKLMNPQRSTUVWXYZ23456789&?#$ΣΩΔΨ", _BOLD, digit_words=False),
}
