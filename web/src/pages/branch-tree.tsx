// Branches as a tree on a time axis: each line begins at the moment of its parent that it was made from.
import { Link, useParams } from "@tanstack/react-router";
import clsx from "clsx";
import { Shield, Timer } from "lucide-react";
import type { ReactNode } from "react";
import type { Branch, ComputeState, ProjectOverview } from "@/api/types";
import { Badge, Tip } from "@/ui/basics";
import { ago, bytes, moment, until } from "@/ui/format";
import { Lamp } from "@/ui/state";

const kRow = 44;

interface Row {
  branch: Branch;
  depth: number;
  parentRow: number; // -1: it has none that is shown.
  begin: number;
}

const beginOf = (branch: Branch) => new Date(branch.parent_timestamp ?? branch.created_at).getTime();

// Depth first, the younger child first, so that no line crosses another. What stands on a branch that is not shown is a root here.
export function treeRows(branches: Branch[]): Row[] {
  const ids = new Set(branches.map((one) => one.id));
  const children = new Map<string, Branch[]>();
  for (const branch of branches) {
    const parent = branch.parent_id && ids.has(branch.parent_id) ? branch.parent_id : "";
    children.set(parent, [...(children.get(parent) ?? []), branch]);
  }
  const rows: Row[] = [];
  const seen = new Set<string>();
  const visit = (parent: string, depth: number, parentRow: number) => {
    const next = (children.get(parent) ?? []).sort(
      (a, b) => Number(b.default) - Number(a.default) || beginOf(b) - beginOf(a) || a.name.localeCompare(b.name),
    );
    for (const branch of next) {
      if (seen.has(branch.id)) continue;
      seen.add(branch.id);
      const row = { branch, depth, parentRow, begin: beginOf(branch) };
      const index = rows.push(row) - 1;
      visit(branch.id, depth + 1, index);
      // What a restore has kept is younger than its history: its line begins with its first child at the latest.
      if (!branch.parent_timestamp) row.begin = Math.min(row.begin, ...rows.slice(index + 1).map((one) => one.begin));
    }
  };
  visit("", 0, -1);
  return rows;
}

function axisMarks(from: number, to: number): { at: number; text: string }[] {
  const span = to - from;
  const steps = [60e3, 300e3, 900e3, 3600e3, 6 * 3600e3, 86400e3, 7 * 86400e3, 30 * 86400e3, 365 * 86400e3];
  const step = steps.find((one) => span / one <= 5) ?? steps[steps.length - 1];
  const marks = [];
  const offset = new Date(to).getTimezoneOffset() * 60e3;
  for (let at = Math.ceil((from - offset) / step) * step + offset; at < to; at += step) {
    if ((to - at) / span < 0.08 || (at - from) / span < 0.04) continue;
    const date = new Date(at);
    marks.push({
      at,
      text:
        step < 86400e3
          ? date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })
          : date.toLocaleDateString("en-GB", { day: "numeric", month: "short" }),
    });
  }
  return marks;
}

interface Props {
  branches: Branch[];
  overview: ProjectOverview | undefined;
  actions?: (branch: Branch) => ReactNode;
}

export function BranchTree({ branches, overview, actions }: Props) {
  const { project } = useParams({ from: "/projects/$project" });
  const rows = treeRows(branches);
  const now = Date.now();
  const oldest = Math.min(now - 60_000, ...rows.map((row) => Math.min(row.begin, new Date(row.branch.created_at).getTime())));
  const from = oldest - (now - oldest) * 0.04;
  const x = (at: number) => `${(((at - from) / (now - from)) * 100).toFixed(2)}%`;
  const stateOf = (id: string): ComputeState => overview?.computes.find((one) => one.branch_id === id)?.state ?? "idle";
  const sizeOf = (id: string) => overview?.branches.find((one) => one.branch_id === id)?.own_bytes;
  return (
    <div className="scroll-thin overflow-x-auto">
      <div className="min-w-0 px-2 py-2 sm:px-3" role="table" aria-label="Branches">
        <div className="flex h-6 items-end text-2xs text-faint max-sm:hidden" aria-hidden>
          <div className="w-64 shrink-0 max-sm:hidden" />
          <div className="relative h-full flex-1 max-sm:hidden">
            {axisMarks(from, now).map((mark) => (
              <span key={mark.at} className="absolute bottom-0 -translate-x-1/2" style={{ left: x(mark.at) }}>
                {mark.text}
              </span>
            ))}
            <span className="absolute right-0 bottom-0">now</span>
          </div>
          <div className={clsx("shrink-0", actions ? "w-36" : "w-24", "max-sm:hidden")} />
        </div>
        {rows.map((row, index) => (
          <div
            key={row.branch.id}
            role="row"
            className="group flex items-center rounded-lg px-2 hover:bg-sunken"
            style={{ height: kRow }}
            data-branch={row.branch.name}
          >
            <div role="cell" className="flex w-64 min-w-0 items-center gap-2.5 max-sm:flex-1" style={{ paddingLeft: row.depth * 14 }}>
              <Lamp state={stateOf(row.branch.id)} />
              <div className="min-w-0">
                <Link
                  to="/projects/$project"
                  params={{ project }}
                  search={{ branch: row.branch.id }}
                  className="block truncate rounded text-[13px] font-medium hover:underline hover:underline-offset-2"
                >
                  {row.branch.name}
                </Link>
                <p className="truncate text-2xs text-muted sm:hidden">
                  {row.branch.parent_timestamp ? `from ${ago(row.begin)}` : `made ${ago(row.branch.created_at)}`} · {bytes(sizeOf(row.branch.id))}
                </p>
              </div>
              {row.branch.default && <Badge tone="accent">default</Badge>}
              {row.branch.protected && (
                <Tip text="Protected: cannot be deleted or reset">
                  <Shield className="size-3.5 shrink-0 text-muted" aria-label="Protected" />
                </Tip>
              )}
              {row.branch.expires_at && (
                <Tip text={`Deleted by itself ${moment(row.branch.expires_at)}`}>
                  <span className="inline-flex shrink-0 items-center gap-1 text-2xs text-muted">
                    <Timer className="size-3.5" aria-label="Expires in" />
                    {until(row.branch.expires_at)}
                  </span>
                </Tip>
              )}
            </div>
            <div role="cell" className="relative h-full flex-1 max-sm:hidden">
              <span className="sr-only">
                {row.branch.parent_timestamp ? `from ${moment(row.begin)}` : `made ${moment(row.branch.created_at)}`}
              </span>
              {row.parentRow >= 0 && (
                <div
                  aria-hidden
                  className="absolute w-px bg-line-strong"
                  style={{ left: x(row.begin), bottom: kRow / 2, height: (index - row.parentRow) * kRow }}
                />
              )}
              <div
                aria-hidden
                className={clsx("absolute top-1/2 right-0 h-[3px] -translate-y-1/2 rounded-full", row.branch.default ? "bg-glow" : "bg-line-strong group-hover:bg-faint")}
                style={{ left: x(row.begin) }}
              />
              <Tip
                text={
                  row.branch.parent_id
                    ? `Begins ${row.branch.parent_timestamp ? `at ${moment(row.branch.parent_timestamp)}` : "at its parent's beginning"}, LSN ${row.branch.parent_lsn}; made ${ago(row.branch.created_at)}`
                    : `Made ${moment(row.branch.created_at)}`
                }
              >
                <span
                  className={clsx(
                    "absolute top-1/2 size-2.5 -translate-1/2 rounded-full border-2 bg-surface",
                    row.branch.default ? "border-glow" : "border-faint",
                  )}
                  style={{ left: x(row.begin) }}
                />
              </Tip>
            </div>
            <div role="cell" className={clsx("flex shrink-0 items-center justify-end gap-1 pl-3", actions ? "sm:w-36" : "sm:w-24")}>
              <span className="tabular text-xs text-muted max-sm:hidden">{bytes(sizeOf(row.branch.id))}</span>
              {actions?.(row.branch)}
            </div>
          </div>
        ))}
      </div>
    </div>
  );
}
