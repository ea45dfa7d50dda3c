"""Every file, class, function and test that a comment or a document names is there.

Looked at: what stands in backticks in *.md files, and the comments of sources and tests. A file may be named by its path
from the root, from the document, or by its last parts alone. What only looks like a name of ours is in NOT_OURS.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Files of PostgreSQL's source that comments point at.
NOT_OURS = {"postgres.h", "libpq/libpq-be.h", "md.c", "dsm.c", "commands/sequence.c", "plancache.c", "access/rmgrlist.h",
            "storage/fsm_internals.h"}
FILE = re.compile(r"(?<![\w/.$<>*-])((?:[\w-]+/)*[\w-]+\.(?:h|cc|c|py|md|mjs|sql|supp))(?![\w*])")
FOLDER = re.compile(r"`((?:src|tests|docs|bench|fuzz|cmake)/[\w/-]*)`")
MEMBER = re.compile(r"\b((?:[A-Z]\w+::)+\w+)")
PYTHON_TEST = re.compile(r"\b(test_\w+)\b(?!\.py)")


def tracked():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def comments(file, text):
    """The commented part of each line, by number."""
    for number, line in enumerate(text.splitlines(), 1):
        mark = "#" if file.suffix == ".py" else "//"
        at = line.find(mark)
        if at >= 0 and not re.match(r'\s*#include|.*https?://', line):
            yield number, line[at + len(mark):]
        elif file.suffix == ".c" and re.match(r"\s*(/\*|\*)", line):
            yield number, line


def code_spans(text):
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            for span in re.findall(r"`[^`]+`|\]\([^)#]+", line):
                yield number, span


class Names:
    def __init__(self, files):
        self.paths = {str(file.relative_to(ROOT)) for file in files}
        code = "\n".join(file.read_text(errors="replace") for file in files
                         if file.suffix in (".h", ".cc", ".c", ".py", ".mjs"))
        code = re.sub(r"(?m)//.*$", "", code)
        self.words = set(re.findall(r"\w+", code))
        self.tests = set(re.findall(r"def (test_\w+)", code)) | {Path(path).stem for path in self.paths}

    def has_file(self, name, beside):
        local = (beside.parent / name).resolve()
        return (local.is_relative_to(ROOT) and str(local.relative_to(ROOT)) in self.paths
                or any(path == name or path.endswith("/" + name) for path in self.paths))

    def missing(self, text, file):
        for name in FILE.findall(text):
            if name not in NOT_OURS and not self.has_file(name, file):
                yield f"no file {name}"
        for name in FOLDER.findall(text):
            if not (ROOT / name).exists():
                yield f"nothing at {name}"
        for name in MEMBER.findall(text):
            if not name.startswith("std::") and not all(word in self.words for word in name.split("::")):
                yield f"no {name}"
        for name in PYTHON_TEST.findall(text):
            if name not in self.tests and name not in self.words:
                yield f"no test {name}"


def main():
    files = tracked()
    names = Names(files)
    problems = []
    for file in files:
        if file.suffix == ".md":
            places = code_spans(file.read_text())
        elif file.suffix in (".h", ".cc", ".c", ".py"):
            places = comments(file, file.read_text())
        else:
            continue
        for number, text in places:
            problems += [f"{file.relative_to(ROOT)}:{number}: {problem}" for problem in names.missing(text, file)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
