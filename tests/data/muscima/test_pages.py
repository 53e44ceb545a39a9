"""Test reading the annotation files of MUSCIMA++, and errors for invalid files."""

import numpy as np
import pytest

from seesaw_d2.data.muscima.pages import parse_page
from seesaw_d2.errors import DataError
from tests.data.muscima.written import RING, node, page

BOMB = '<!DOCTYPE Nodes [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


def parse(name_and_text):
    return parse_page(name_and_text[1].encode(), name_and_text[0])


def test_a_page():
    found = parse(page(12, 4, node("noteheadHalf", 7, 9, RING, 3), node("stem", 1, 2, np.eye(5))))
    assert (found.writer, found.number, found.size) == (12, 4, (11, 13))
    note, stem = found.symbols
    assert (note.category, note.top, note.left, note.height, note.width) == ("noteheadHalf", 7, 9, 4, 4)
    assert (note.mask == RING.astype(bool)).all()
    assert (stem.mask == np.eye(5, dtype=bool)).all()


def changed(old, new):
    name, text = page(1, 1, node("stem", 1, 2, RING, 77))
    assert old in text
    return name, text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (changed("<Top>1<", "<Top>-1<"), "node 77.*Top.*-1"),
        (changed("<Top>1<", "<Top>one<"), "node 77.*Top.*one"),
        (changed("<Width>4<", "<Width>0<"), "node 77.*Width.*0"),
        (changed("<Height>4<", "<Height>99999999<"), "node 77.*Height.*99999999"),
        (changed("<Top>1<", "<Top>19999<"), "node 77.*20003"),
        (changed('"utf-8"', '"utf-77"'), "XML"),
        (changed('"utf-8"', '"utf-32"'), "XML"),
        (changed("<Left>2</Left>", ""), "node 77.*Left"),
        (changed("1:1 ", "1:2 "), "node 77.*Mask.*16.*17"),
        (changed("1:1 ", "2:1 "), "node 77.*Mask.*2:1"),
        (changed("1:1 ", "1:99999999999 "), "node 77.*Mask.*1:999"),
        (changed("</Nodes>", ""), "XML"),
        (("CVC-MUSCIMA_W-01_N-01_D-ideal.xml", "<CropObjectList/>"), "CropObjectList"),
        (("CVC-MUSCIMA_W-01_N-01_D-ideal.xml", BOMB + "<Nodes>&b;</Nodes>"), "document type"),
        (changed('document="CVC-MUSCIMA_W-01', 'document="W-one'), "W-one"),
    ],
)
def test_what_is_wrong_is_named(file, found):
    with pytest.raises(DataError, match=rf"CVC-MUSCIMA_W-01_N-01_D-ideal\.xml.*{found}"):
        parse(file)
