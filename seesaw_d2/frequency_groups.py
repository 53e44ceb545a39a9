"""Names of the three frequency groups of categories. A group's index is its position in these tuples."""

GROUP_NAMES = ("rare", "common", "frequent")
# Values of the field "frequency" of a category in LVIS's annotation files.
GROUP_LETTERS = ("r", "c", "f")
# The same groups in image classification, by training images ("shots") of a class.
SHOT_NAMES = ("few", "medium", "many")
NAME_OF_LETTER = dict(zip(GROUP_LETTERS, GROUP_NAMES, strict=True))
