"""A network as an Arduino library: a folder with its C, a sketch that calls it, and what the IDE reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hedge.errors import InputError, quoted
from hedge.exporting.c99.text import STANDARD_HEADERS, comment
from hedge.exporting.c_network import CNetwork
from hedge.exporting.datasheet import InputColumn, OutputColumn, listed
from hedge.exporting.units import ascii_unit

LONGEST_NAME = 63
# Headers that the cores of boards have, and libraries that come with the IDE: a sketch that includes one
# would get the other.
BOARD_HEADERS: Final = frozenset(
    {
        "arduino", "arduino_api", "binary", "bridge", "capacitivesensor", "cdc", "client", "common",
        "eeprom", "esplora", "ethernet", "firmata", "gsm", "hardwareserial", "hardwarespi", "hid",
        "i2s", "interrupt", "ipaddress", "itoa", "keyboard", "liquidcrystal", "mouse", "new", "pdm",
        "pins_arduino", "pluggableusb", "print", "printable", "robot_control", "robotirremote", "rtc",
        "scheduler", "sd", "server", "servo", "softwareserial", "spacebrewyun", "spi", "stepper",
        "stream", "temboo", "tft", "udp", "usbapi", "usbcore", "usbdesc", "variant", "wcharacter",
        "wifi", "wiring_private", "wire", "wprogram", "wstring",
    }
)  # fmt: skip

PROPERTIES = """name={stem}
version=1.0.0
author=hedge
maintainer=hedge
sentence={sentence}
paragraph={paragraph}
category=Data Processing
url=
architectures=*
includes={stem}.h
"""

README = """# {stem}

An Arduino library, written by hedge: copy this folder into `libraries` of your sketchbook.

```cpp
#include <{stem}.h>
```

{facts}

It takes {flash} bytes of flash for its constants, and no RAM but the stack: {stack} bytes for local
arrays, and some 100 to 200 more.
"""

SKETCH = """/* Send numbers for {x}, with a space or a line's end behind each:
   prints {u}{beside}, and how long it took. */

#include <{stem}.h>

static {real} x[{guard}_INPUTS], u[{guard}_OUTPUTS];
{slopes}
void setup()
{{
  Serial.begin(115200);
  while (!Serial)
    yield();
  Serial.println("Send {x}");
}}

/* The next number that is sent; waits for it. */
static {real} nextNumber()
{{
  char word[25];
  size_t length = 0;
  for (;;) {{
    while (!Serial.available())
      yield();
    const int c = Serial.read();
    if (c > ' ' && c != ',') {{
      if (length < sizeof word - 1)
        word[length++] = static_cast<char>(c);
    }} else if (length > 0) {{
      word[length] = '\\0';
      return static_cast<{real}>(strtod(word, nullptr));
    }}
  }}
}}

static void printAll(const {real} *values, size_t count)
{{
  for (size_t i = 0; i < count; ++i) {{
    Serial.print(static_cast<double>(values[i]), 7);
    Serial.print(' ');
  }}
}}

void loop()
{{
  for (size_t j = 0; j < {guard}_INPUTS; ++j)
    x[j] = nextNumber();

  const unsigned long start = micros();
  {call}
  const unsigned long took = micros() - start;

  Serial.print("{u}: ");
  printAll(u, {guard}_OUTPUTS);
{print_slopes}  Serial.print("in ");
  Serial.print(took);
  Serial.println(" us");
}}
"""
SLOPES = "static {real} J[{guard}_OUTPUTS * {guard}_INPUTS];\n"
PRINT_SLOPES = """  Serial.print("derivatives: ");
  printAll(J, {guard}_OUTPUTS * {guard}_INPUTS);
"""


def check_library_name(name: str) -> None:
    """Raise InputError unless an Arduino library, its folder and its header can be called so."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or not re.search("[A-Za-z]", name):
        raise InputError(
            f"out: {quoted(name)} is no name of an Arduino library; take letters, digits, _, - and ., the "
            "first of them a letter or a digit"
        )
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"out: {quoted(name)} has {len(name)} characters; Arduino libraries have {LONGEST_NAME} at most"
        )
    if name.lower() in STANDARD_HEADERS | BOARD_HEADERS:  # some file systems don't tell cases apart
        raise InputError(
            f"out: {name}.h is a header of C, of boards or of their libraries; name the library otherwise"
        )


def arduino_library(network: CNetwork) -> dict[str, bytes]:
    """The files of the library, whose name is that of the C files, by their path in its folder."""
    stem = network.stem
    texts = {
        "library.properties": _properties(network),
        "keywords.txt": _keywords(network),
        "README.md": _readme(network),
        f"examples/{stem}/{stem}.ino": _sketch(network),
        **{f"src/{name}": text for name, text in network.texts.items()},
    }
    papers = {f"extras/{name}": data for name, data in network.papers.items()}
    return {name: text.encode("utf-8") for name, text in texts.items()} | papers


def _properties(network: CNetwork) -> str:
    sheet = network.sheet
    told = f"A neural network in C: {_told(sheet.inputs)} to {_told(sheet.outputs)}."
    return PROPERTIES.format(
        stem=network.stem,
        sentence=comment(told),
        paragraph=comment(f"{sheet.summary or sheet.origin[0]}. Made with hedge."),
    )


def _keywords(network: CNetwork) -> str:
    """Functions and constants, for the colours of the IDE; a tab lies between a word and its kind."""
    header = network.files.header
    functions = re.findall(rf"\b({network.name}_\w+)\(", header)
    constants = re.findall(rf"^#define ({network.name.upper()}_\w+) ", header, flags=re.MULTILINE)
    kinds = [(word, "KEYWORD2") for word in functions] + [(word, "LITERAL1") for word in constants]
    return "".join(f"{word}\t{kind}\n" for word, kind in kinds)


def _readme(network: CNetwork) -> str:
    return README.format(
        stem=network.stem,
        facts="\n".join(f"- {comment(line)}" for line in network.sheet.lines()),
        flash=network.files.flash_bytes,
        stack=network.files.stack_bytes,
    )


def _sketch(network: CNetwork) -> str:
    name, has_slopes = network.name, network.options.jacobian
    words = {"real": network.real, "guard": name.upper()}
    return SKETCH.format(
        **words,
        stem=network.stem,
        x=_quotable(_told(network.sheet.inputs)),
        u=_quotable(_told(network.sheet.outputs)),
        beside=", all first derivatives" if has_slopes else "",
        call=f"{name}_jacobian(x, u, J);" if has_slopes else f"{name}_eval(x, u);",
        slopes=SLOPES.format(**words) if has_slopes else "",
        print_slopes=PRINT_SLOPES.format(**words) if has_slopes else "",
    )


def _told(columns: Sequence[InputColumn] | Sequence[OutputColumn]) -> str:
    """Their names and units."""
    return listed(
        [each.name + (f" [{ascii_unit(each.unit)}]" if each.unit else "") for each in columns]
    )


def _quotable(text: str) -> str:
    """Text that is safe inside a string of C++, and inside a comment."""
    return comment(text).replace('"', "'")
