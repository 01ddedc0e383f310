"""Write the examples of all formats anew."""

from __future__ import annotations

from hedge.formats import FORMATS
from tests.exporting.golden import FOLDER, contents, written

for name in FORMATS:
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    for gone in contents(folder):
        (folder / gone).unlink()
    for file, data in written(name).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        print(folder / file)
