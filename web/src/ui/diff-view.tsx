// Two texts side by side, what differs marked; one above the other on a phone.
import { diffLines } from "diff";
import clsx from "clsx";
import { useMemo } from "react";

interface Line {
  left: string | null;
  right: string | null;
  same: boolean;
}

function paired(before: string, after: string): Line[] {
  const lines: Line[] = [];
  const changes = diffLines(before, after);
  const of = (value: string) => value.replace(/\n$/, "").split("\n");
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i];
    const next = changes[i + 1];
    if (change.removed && next?.added) {
      const left = of(change.value);
      const right = of(next.value);
      for (let k = 0; k < Math.max(left.length, right.length); k++)
        lines.push({ left: left[k] ?? null, right: right[k] ?? null, same: false });
      i++;
    } else if (change.removed) of(change.value).forEach((left) => lines.push({ left, right: null, same: false }));
    else if (change.added) of(change.value).forEach((right) => lines.push({ left: null, right, same: false }));
    else of(change.value).forEach((text) => lines.push({ left: text, right: text, same: true }));
  }
  return lines;
}

interface Props {
  before: string;
  after: string;
  beforeName: string;
  afterName: string;
}

export function DiffView({ before, after, beforeName, afterName }: Props) {
  const lines = useMemo(() => paired(before, after), [before, after]);
  const different = lines.some((line) => !line.same);
  return (
    <div className="overflow-hidden rounded-lg border">
      <div className="grid grid-cols-2 border-b bg-sunken text-xs font-medium text-muted [&>p]:px-3 [&>p]:py-2">
        <p className="border-r">{beforeName}</p>
        <p>{afterName}</p>
      </div>
      {!different && <p className="px-3 py-2 text-[13px] text-muted">The schemas are the same.</p>}
      <div className="scroll-thin max-h-96 overflow-auto font-mono text-xs leading-5" tabIndex={0} role="region" aria-label="Differences">
        {lines.map((line, index) => (
          <div key={index} className="grid min-w-[40rem] grid-cols-2">
            <pre className={clsx("border-r px-3", !line.same && line.left !== null && "bg-bad-soft text-bad")}>{line.left ?? " "}</pre>
            <pre className={clsx("px-3", !line.same && line.right !== null && "bg-ok-soft text-ok")}>{line.right ?? " "}</pre>
          </div>
        ))}
      </div>
    </div>
  );
}
