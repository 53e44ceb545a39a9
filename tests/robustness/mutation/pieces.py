"""List texts that mutations insert in place of values and fields."""

DIGITS = "9" * 4000
LETTERS = "x" * 100_000


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def _words(text: str) -> list[str]:
    return text.split()


# Values as JSON text: other types, numbers that overflow, unprintable text, long values, deep nesting.
VALUES = _words(r"""
null true false 0 -1 3.0 "3" "" [] {} [[]] [{}] {"a":{}} [null] [0,1] NaN Infinity -Infinity 1e999 -0.0 1e308 5e-324
9223372036854775807 9223372036854775808 -9223372036854775809 [NaN,1,2,3] [1e308,1e308,1e308,1e308] "\ud800" "\u0000"
"\u001b[2J" "a\nb\r\nc" "\u202e" "../../x" "/etc/passwd" "~" "." "=1+1" "$x^{$" "%s{0}{x}" "<script>" "nan" "é"
""")
VALUES += ["1" + "0" * 400, DIGITS, DIGITS * 2, f'"{LETTERS}"', '"' + r"\n" * 3000 + '"', f'["{"é" * 5000}", {DIGITS}]']
VALUES += ["[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, "[" * 5000 + "]" * 5000, "[" * 100_000]
VALUES += ["[" + "0," * 30_000 + "0]", "[" + "[0]," * 5000 + "[]]"]
# YAML text: tags, anchors, keys that are not text, numbers in other notations.
TAGS = _lines("""
!!timestamp x
!!timestamp 2020-01-01
2020-01-01
!!int x
!!float x
!!bool x
!!binary x
!!null x
!!set {a, b}
!!omap [a: 1]
!!pairs [a: 1]
!!python/tuple [1, 2]
!!python/object/apply:os.system [touch ran]
!!python/object/new:os.system [touch ran]
!!python/name:os.system
!!python/module:os
!unknown x
&a [*a]
*b
.nan
.inf
1:30:59
? [a]
@
`
%
{<<: 5}
{<<: [5]}
{? [a] : 1}
1_0
0o7
""")
TAGS += ["0x" + "f" * 400, "\u2028"]
# Fields of text.
WORDS = ["", " ", "\0", "\x1b[2J", "\r", "\n", "\u202e", "\t", "\ufeff", DIGITS, LETTERS, '"', "'", ",", ";", "a\\b"]
WORDS += _words("0 -1 1e999 nan inf 99999999999999999999999999 ٢ ../../x /etc/passwd ~ %s{0} <script> =1+1 é 1_000")
# Tags and entities of XML.
XML = ["<a>" * 20_000, "<a>" * 300 + "</a>" * 300, "&amp;&#0;", "&#x1F600;", "<![CDATA[x]]>", "<!-- x -->", "&a;"]
XML += ['<!DOCTYPE a [<!ENTITY a "b">]>', '<!DOCTYPE a SYSTEM "file:///etc/passwd">', f'<a {"b" * 50_000}="c"/>']
