"""Programs that run inside a compute, as if its owner had found a way to start one."""

import base64
import contextlib
import inspect
import json

SHELL = "/bin/sh"
PYTHON = "/usr/bin/python3"


def run(project, script, program=SHELL):
    """Exit status and output of a script that a superuser's COPY FROM PROGRAM starts in the project's compute."""
    encoded = base64.b64encode(script.encode()).decode()
    # The output in base64: COPY would read tabs and backslashes in it as its own. $? is the program's: a pipe's last one.
    command = f"out=$(mktemp) && echo {encoded} | base64 -d | {program} > $out 2>&1; echo exit=$? >> $out; base64 -w0 $out; rm $out"
    with contextlib.closing(project.superuser()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE output (line text)")
        cursor.execute("COPY output FROM PROGRAM %s", (command,))
        cursor.execute("SELECT string_agg(line, '') FROM output")
        text = base64.b64decode(cursor.fetchone()[0]).decode(errors="replace")
    output, _, status = text.rpartition("exit=")
    return int(status), output


def call(project, function, *arguments):
    """What a Python function returns when it runs inside the compute. It imports what it needs itself; None if it raised."""
    source = inspect.cleandoc("\n" + inspect.getsource(function))
    script = f"import json\n{source}\nprint('result=' + json.dumps({function.__name__}(*json.loads({json.dumps(json.dumps(arguments))}))))"
    status, output = run(project, script, PYTHON)
    _, marker, result = output.rpartition("result=")
    return json.loads(result) if status == 0 and marker else None
