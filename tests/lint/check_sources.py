"""The rules that no compiler checks: which module may include which, and how long files and lines are.

A module may include itself and the modules it names in DEPENDS of its CMakeLists.txt, and theirs. Only `platform`
sees several services.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MAX_LINES = 600
MAX_COLUMNS = 100
SERVICES = {"pageserver", "safekeeper", "compute", "proxy", "control"}


def direct_dependencies():
    depends = {}
    for file in SOURCE.glob("*/CMakeLists.txt"):
        for name, arguments in re.findall(r"halogen_module\(\s*(\w+)([^)]*)\)", file.read_text()):
            found = re.search(r"\bDEPENDS\b(.*?)(?:\bLINKS\b|\bSUBDIRS\b|$)", arguments, re.S)
            depends[name] = set(found.group(1).split()) if found else set()
    return depends


def allowed(module, depends, seen=None):
    seen = seen if seen is not None else {module}
    for other in depends.get(module, ()):
        if other not in seen:
            seen.add(other)
            allowed(other, depends, seen)
    return seen


def files():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"], cwd=ROOT,
                            check=True, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in listed if name.endswith((".h", ".cc", ".c")) and (ROOT / name).exists()]


def check_file(file, may_include, problems):
    module = file.relative_to(SOURCE).parts[0]
    lines = file.read_text().splitlines()
    where = file.relative_to(ROOT)
    if len(lines) > MAX_LINES:
        problems.append(f"{where}: {len(lines)} lines, at most {MAX_LINES}")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS and "http" not in line and 'R"' not in line:
            problems.append(f"{where}:{number}: {len(line)} columns, at most {MAX_COLUMNS}")
        match = re.match(r'#include "(\w+)/', line)
        if match and (SOURCE / match.group(1)).is_dir() and match.group(1) not in may_include[module]:
            problems.append(f"{where}:{number}: {module} must not include {match.group(1)}")


def main():
    depends = direct_dependencies()
    problems = []
    for module in SERVICES & depends.keys():
        for other in (depends[module] & SERVICES) - {module}:
            problems.append(f"src/{module}/CMakeLists.txt: a service must not depend on the service {other}")
    modules = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    may_include = {module: allowed(module, depends) for module in modules}
    for file in files():
        check_file(file, may_include, problems)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
