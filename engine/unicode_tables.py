#!/usr/bin/env python3
"""Writes unicode_tables.inc: the ranges of Unicode characters that pre-tokenizers ask for, from Python's own copy of
the Unicode Character Database (general categories L*, N*, P*; the White_Space property).

    /usr/bin/python3 engine/unicode_tables.py > engine/unicode_tables.inc
"""

import unicodedata

# White_Space (PropList.txt): str.isspace() has U+001C to U+001F beside it.
SPACES = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, *range(9, 14), 0x20, *range(0x2000, 0x200B)}


def ranges(wanted):
    begin, result = None, []
    for code in range(0x110001):
        inside = code < 0x110000 and wanted(code)
        if inside and begin is None:
            begin = code
        elif not inside and begin is not None:
            result.append((begin, code - 1))
            begin = None
    return result


def main():
    print(f"// Made by unicode_tables.py from Unicode {unicodedata.unidata_version}: first and last of each range.")
    for name, wanted in (
        ("kLetters", lambda code: unicodedata.category(chr(code))[0] == "L"),
        ("kNumbers", lambda code: unicodedata.category(chr(code))[0] == "N"),
        ("kPunctuation", lambda code: unicodedata.category(chr(code))[0] == "P"),
        ("kSpaces", lambda code: code in SPACES),
    ):
        found = ranges(wanted)
        print(f"constexpr Range {name}[] = {{")
        for i in range(0, len(found), 5):
            print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}}}," for a, b in found[i : i + 5]))
        print("};")


if __name__ == "__main__":
    main()
