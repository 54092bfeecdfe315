# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of the three properties, good and bad, for the parser and for the engine's regular expressions.

A value that is wrong in SHAPE is refused by both; one that is wrong in MEANING only (numbers that contradict
each other) passes the regular expressions.
"""

from __future__ import annotations

# property, value, what `str()` of it gives
GOOD = [
    ("cputune", "0#0", "0#0"),
    ("cputune", "0#0-1,1#2,4", "0#0-1,1#2,4"),
    ("cputune", "0#1,3-4,1#2", "0#1,3-4,1#2"),
    ("cputune", "1#1,0#0", "1#1,0#0"),
    ("cputune", "0#0-3,^2", "0#0-1,3"),
    ("cputune", "0#^3,1-4", "0#1-4"),
    ("cputune", "0#1-4,^3,3", "0#1-4"),
    ("cputune", "0#^1,1", "0#1"),
    ("cputune", "0#7,5,6,1", "0#1,5-7"),
    ("cputune", "0#0-3,2-5", "0#0-5"),
    ("cputune", "0#5-5", "0#5"),
    ("cputune", "000#007", "0#7"),
    ("cputune", "16383#16383", "16383#16383"),
    ("cputune", "0#0000000000016383", "0#16383"),
    ("cputune", " 0 # 0 - 1 , ^ 1 , 1 # 2 ", "0#0,1#2"),
    ("cputune", ",".join(f"{n}#{n}" for n in range(448)), ",".join(f"{n}#{n}" for n in range(448))),
    ("cputune", ",".join(f"{n}#{n}" for n in range(511)), ",".join(f"{n}#{n}" for n in range(511))),
    ("cputune", "0#" + ",".join(str(n) for n in range(0, 1666, 2)), "0#" + ",".join(str(n) for n in range(0, 1666, 2))),
    ("cputune", "0#0" + " " * 3990 + ",1#1", "0#0,1#1"),
    ("cputune", " " * 3990 + "0#0", "0#0"),
    ("cputune", "0#" + "0" * 3990 + "1", "0#1"),
    ("numatune", "interleave#0-1", "interleave#0-1"),
    ("numatune", "strict#0", "strict#0"),
    ("numatune", "preferred#1", "preferred#1"),
    ("numatune", "strict#0-3,^2", "strict#0-1,3"),
    ("numatune", "strict#0-2,33,72", "strict#0-2,33,72"),
    ("numatune", " strict # 0 , 1 ", "strict#0-1"),
    (
        "numatune",
        "strict#" + ",".join(str(n) for n in range(0, 1664, 2)),
        "strict#" + ",".join(str(n) for n in range(0, 1664, 2)),
    ),
    ("guestnuma", "0-7#10485760,8-15#10485760", "0-7#10485760,8-15#10485760"),
    ("guestnuma", "0-3,8-11#10485760,4-7,12-15#10485760", "0-3,8-11#10485760,4-7,12-15#10485760"),
    ("guestnuma", "0#1024", "0#1024"),
    ("guestnuma", "0,2,4#1024,1,3,5#2048", "0,2,4#1024,1,3,5#2048"),
    ("guestnuma", "0,1,2,3#1024", "0-3#1024"),
    ("guestnuma", " 0 - 3 # 1024 , 4 # 2048 ", "0-3#1024,4#2048"),
    ("guestnuma", "0#0", "0#0"),
    ("guestnuma", "0#9007199254740991", "0#9007199254740991"),
    ("guestnuma", "0#000000000000000000001024", "0#1024"),
    ("guestnuma", ",".join(f"{n}#4096" for n in range(460)), ",".join(f"{n}#4096" for n in range(460))),
    ("guestnuma", ",".join(map(str, range(1040))) + "#4096", "0-1039#4096"),
]

# property, value, what the problem says behind `largeguest: <property>: `
WRONG_IN_SHAPE = [
    ("cputune", "x", '"x" at 0: "x" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ("cputune", "0", '"0" at 0: "0" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ("cputune", "0-3", '"0-3" at 0: "0-3" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ("cputune", ",0#0", '",0#0" at 0: "" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ("cputune", "#", '"#" at 0: "" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "#0", '"#0" at 0: "" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "x#0", '"x#0" at 0: "x" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "^1#0", '"^1#0" at 0: "^1" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "-1#0", '"-1#0" at 0: "-1" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "0 1#0", '"0 1#0" at 0: "0 1" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "0#0,0-3#0", '"0#0,0-3#0" at 4: "0-3" is not a vCPU: write its number, as in 0#0-3'),
    ("cputune", "0#", '"0#" at 2: "" stands where an id is missing: write an id or take the comma out'),
    ("cputune", "0#0,", '"0#0," at 4: "" stands where an id is missing: write an id or take the comma out'),
    ("cputune", "0#0,,1#1", '"0#0,,1#1" at 4: "" stands where an id is missing: write an id or take the comma out'),
    ("cputune", "0#x", '"0#x" at 2: "x" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#0,1#x", '"0#0,1#x" at 6: "x" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#0, 1 # x ", '"0#0, 1 # x " at 9: "x" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#^", '"0#^" at 2: "^" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#^^1", '"0#^^1" at 2: "^^1" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#1-", '"0#1-" at 2: "1-" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#-1", '"0#-1" at 2: "-1" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#1-2-3", '"0#1-2-3" at 2: "1-2-3" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#1 2", '"0#1 2" at 2: "1 2" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#0x1", '"0#0x1" at 2: "0x1" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#1\n", '"0#1\\n" at 2: "1\\n" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#\t1", '"0#\\t1" at 2: "\\t1" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#\u0661", '"0#\\u0661" at 2: "\\u0661" is not an id or a range: write for example 3, 2-5 or ^3'),
    (
        "cputune",
        "0#1\u20132",
        '"0#1\\u20132" at 2: "1\\u20132" is not an id or a range: write for example 3, 2-5 or ^3',
    ),
    ("cputune", "0#1\u00a0", '"0#1\\xa0" at 2: "1\\xa0" is not an id or a range: write for example 3, 2-5 or ^3'),
    (
        "cputune",
        "0#1\u2028,1#1",
        '"0#1\\u2028,1#1" at 2: "1\\u2028" is not an id or a range: write for example 3, 2-5 or ^3',
    ),
    ("cputune", "0#1\u0085", '"0#1\\x85" at 2: "1\\x85" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("cputune", "0#0#1", '"0#0#1" at 0: "0#0#1" has one # too many: put a comma between two entries'),
    ("cputune", "0##1", '"0##1" at 0: "0##1" has one # too many: put a comma between two entries'),
    ("cputune", "0=0", '"0=0" at 0: "0=0" names no vCPU: write <vcpu>#<cpuset>, as in 0#0-3'),
    ("cputune", "0#0 1#1", '"0#0 1#1" at 0: "0#0 1#1" has one # too many: put a comma between two entries'),
    (
        "cputune",
        ",".join(f"{n}#{n}" for n in range(448)) + ",448#x",
        '"...447#447,448#x" at 3368: "x" is not an id or a range: write for example 3, 2-5 or ^3',
    ),
    (
        "cputune",
        "0#" + "1" * 3990 + "x",
        '"0#1111111111111111111111111111111111111111111111111111111..." at 2: "1111111111111111111111111111111111111..."'
        " is not an id or a range: write for example 3, 2-5 or ^3",
    ),
    (
        "cputune",
        "0#1" + " " * 3990 + "x",
        '"0#1                                                      ..." at 2: "1                                    ..."'
        " is not an id or a range: write for example 3, 2-5 or ^3",
    ),
    ("numatune", "strict", '"strict" at 0: "strict" names no nodes: write strict#<nodeset>, as in strict#0'),
    ("numatune", "strict#", '"strict#" at 7: "" stands where an id is missing: write an id or take the comma out'),
    (
        "numatune",
        "Strict#0",
        '"Strict#0" at 0: "Strict" is not a mode: write strict#, preferred# or interleave# before the nodes',
    ),
    ("numatune", "#0", '"#0" at 0: "" is not a mode: write strict#, preferred# or interleave# before the nodes'),
    (
        "numatune",
        "static#0",
        '"static#0" at 0: "static" is not a mode: write strict#, preferred# or interleave# before the nodes',
    ),
    ("numatune", "strict#0,1#2", '"strict#0,1#2" at 9: "1#2" is not an id or a range: write for example 3, 2-5 or ^3'),
    (
        "numatune",
        "strict#0,interleave#1",
        '"strict#0,interleave#1" at 9: "interleave#1" is not an id or a range: write for example 3, 2-5 or ^3',
    ),
    ("numatune", "strict#0#1", '"strict#0#1" at 7: "0#1" is not an id or a range: write for example 3, 2-5 or ^3'),
    ("guestnuma", "0-3", '"0-3" at 0: "0-3" has no memory: write <vcpus>#<KiB>, for example 0-3#4194304'),
    ("guestnuma", "0-3#1024,4", '"0-3#1024,4" at 9: "4" has no memory: write <vcpus>#<KiB>, for example 0-3#4194304'),
    ("guestnuma", "0-3#1024,", '"0-3#1024," at 9: "" is not a vCPU or a range of vCPUs: write for example 3 or 0-7'),
    ("guestnuma", "#1024", '"#1024" at 0: "" is not a vCPU or a range of vCPUs: write for example 3 or 0-7'),
    ("guestnuma", "x#1024", '"x#1024" at 0: "x" is not a vCPU or a range of vCPUs: write for example 3 or 0-7'),
    ("guestnuma", "^1#1024", '"^1#1024" at 0: "^1" is not a vCPU or a range of vCPUs: write for example 3 or 0-7'),
    ("guestnuma", "0-3#", '"0-3#" at 4: "" is not an amount of memory: write KiB in digits, as in 4194304'),
    ("guestnuma", "0-3#10G", '"0-3#10G" at 4: "10G" is not an amount of memory: write KiB in digits, as in 4194304'),
    ("guestnuma", "0-3#-1", '"0-3#-1" at 4: "-1" is not an amount of memory: write KiB in digits, as in 4194304'),
    ("guestnuma", "0-3#1.5", '"0-3#1.5" at 4: "1.5" is not an amount of memory: write KiB in digits, as in 4194304'),
    ("guestnuma", "0#1024#1", '"0#1024#1" at 0: "0#1024#1" has one # too many: put a comma between two entries'),
    (
        "guestnuma",
        ",".join(f"{n}#4096" for n in range(460)) + ",460",
        '"...96,459#4096,460" at 4030: "460" has no memory: write <vcpus>#<KiB>, for example 0-3#4194304',
    ),
]

WRONG_IN_MEANING = [
    ("cputune", "0#5-1", '"0#5-1" at 2: "5-1" runs backwards: write 1-5'),
    ("cputune", "0#16384", '"0#16384" at 2: "16384" is too large: ids go from 0 to 16383'),
    ("cputune", "16384#0", '"16384#0" at 0: "16384" is too large: ids go from 0 to 16383'),
    ("cputune", "0#0-99999999999", '"0#0-99999999999" at 4: "99999999999" is too large: ids go from 0 to 16383'),
    ("cputune", "0#1,^1", '"0#1,^1" at 2: "1,^1" leaves nothing: name at least one id that no later ^ takes out'),
    ("cputune", "0#0,1#^3", '"0#0,1#^3" at 6: "^3" leaves nothing: name at least one id that no later ^ takes out'),
    (
        "cputune",
        "0#" + "9" * 3990,
        '"0#9999999999999999999999999999999999999999999999999999999..." at 2: "9999999999999999999999999999999999999..."'
        " is too large: ids go from 0 to 16383",
    ),
    ("numatune", "strict#3-1", '"strict#3-1" at 7: "3-1" runs backwards: write 1-3'),
    (
        "numatune",
        "strict#1,^1",
        '"strict#1,^1" at 7: "1,^1" leaves nothing: name at least one id that no later ^ takes out',
    ),
    ("guestnuma", "3-0#1024", '"3-0#1024" at 0: "3-0" runs backwards: write 0-3'),
    ("guestnuma", "0-99999#5", '"0-99999#5" at 2: "99999" is too large: ids go from 0 to 16383'),
    (
        "guestnuma",
        "0#9007199254740992",
        '"0#9007199254740992" at 2: "9007199254740992" is too large: memory is in KiB and at most 9007199254740991',
    ),
]

BLANK = [(name, value) for name in ("cputune", "numatune", "guestnuma") for value in ("", " ", " " * 4000)]
