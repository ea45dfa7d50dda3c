"""The rules that no compiler checks: which module may include which, and how long lines are.

A module may include itself and the modules it names in DEPENDS of its CMakeLists.txt, and theirs. Only `platform`
sees several services. Neither the folders of a module nor the files of a folder include one another in a circle;
a header and its .cc file count as one file, and tests do not count.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MAX_COLUMNS = 100
# Two headers with one implementation count as one file.
TOGETHER = {"base/metric_sources": "base/metrics"}
# Includes that still close a circle. Take lines out as they are mended; add none.
NOT_YET = {
    ("control", "control/api"), ("control/api", "control"),
    ("compute/agent/postmaster", "compute/agent/spare_postmasters"),
    ("control/suspend", "control/suspend_machine"),
    ("postgres/wal_record", "postgres/wal_image"),
    ("proxy/session/census", "proxy/session/session"),
}
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
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS and "http" not in line and 'R"' not in line:
            problems.append(f"{where}:{number}: {len(line)} columns, at most {MAX_COLUMNS}")
        match = re.match(r'#include "(\w+)/', line)
        if match and (SOURCE / match.group(1)).is_dir() and match.group(1) not in may_include[module]:
            problems.append(f"{where}:{number}: {module} must not include {match.group(1)}")


def include_graphs(sources):
    """Edges between folders, and between files without their suffix, both below src/."""
    def unit(path):
        name = str(path.with_suffix(""))
        return TOGETHER.get(name, name)

    folders, units = {}, {}
    for file in sources:
        if file.stem.endswith("_test"):
            continue
        name = file.relative_to(SOURCE)
        for target in re.findall(r'^#include "(\w+/[^"]+)"', file.read_text(), re.M):
            other = Path(target)
            if not (SOURCE / other).exists():
                continue
            if unit(other) != unit(name) and (unit(name), unit(other)) not in NOT_YET:
                units.setdefault(unit(name), set()).add(unit(other))
            edge = (str(name.parent), str(other.parent))
            if edge[0] != edge[1] and edge not in NOT_YET:
                folders.setdefault(str(name.parent), set()).add(str(other.parent))
    return folders, units


def find_cycle(graph):
    """The nodes of one cycle in order, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for other in sorted(graph.get(node, ())):
            cycle = visit(other)
            if cycle:
                return cycle
        done.add(path.pop())
        return None

    for node in sorted(graph):
        cycle = visit(node)
        if cycle:
            return cycle
    return None


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
    for what, graph in zip(("folders", "files"), include_graphs(files())):
        cycle = find_cycle(graph)
        if cycle:
            problems.append(f"src: {what} include one another in a circle: {' -> '.join(cycle)}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
