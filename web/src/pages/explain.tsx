// EXPLAIN (FORMAT JSON) as a tree that shows where the time goes.
import clsx from "clsx";
import { ChevronRight } from "lucide-react";
import { useState } from "react";
import { Badge } from "@/ui/basics";
import { count, milliseconds } from "@/ui/format";

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  Alias?: string;
  "Index Name"?: string;
  "Join Type"?: string;
  "Total Cost": number;
  "Plan Rows": number;
  "Actual Rows"?: number;
  "Actual Loops"?: number;
  "Actual Total Time"?: number;
  "Shared Hit Blocks"?: number;
  "Shared Read Blocks"?: number;
  "Rows Removed by Filter"?: number;
  Plans?: PlanNode[];
  [key: string]: unknown;
}

interface Plan {
  Plan: PlanNode;
  "Planning Time"?: number;
  "Execution Time"?: number;
}

const timeOf = (node: PlanNode) => (node["Actual Total Time"] ?? 0) * (node["Actual Loops"] ?? 1);
const costOf = (node: PlanNode) => node["Total Cost"];

// What a node takes itself, without those below it.
function ownShare(node: PlanNode, measured: boolean): number {
  const of = measured ? timeOf : costOf;
  return Math.max(0, of(node) - (node.Plans ?? []).reduce((sum, child) => sum + of(child), 0));
}

const kDetails = ["Index Cond", "Hash Cond", "Merge Cond", "Join Filter", "Filter", "Recheck Cond", "Sort Key", "Group Key", "Sort Method", "Rows Removed by Filter"];

export function parsePlan(text: string): Plan | null {
  try {
    const plans = JSON.parse(text) as Plan[];
    return plans[0]?.Plan ? plans[0] : null;
  } catch {
    return null;
  }
}

export function PlanTree({ plan }: { plan: Plan }) {
  const measured = plan.Plan["Actual Total Time"] !== undefined;
  const total = measured ? timeOf(plan.Plan) : costOf(plan.Plan);
  return (
    <div className="scroll-thin h-full overflow-auto p-4" tabIndex={0} role="region" aria-label="Plan">
      <div className="mb-4 flex flex-wrap gap-2">
        {plan["Planning Time"] !== undefined && <Badge>planning {milliseconds(plan["Planning Time"])}</Badge>}
        {plan["Execution Time"] !== undefined && <Badge tone="accent">execution {milliseconds(plan["Execution Time"])}</Badge>}
        {!measured && <Badge tone="info">estimated: not run</Badge>}
      </div>
      <ul className="min-w-96">
        <Node node={plan.Plan} total={total || 1} measured={measured} />
      </ul>
    </div>
  );
}

function Node({ node, total, measured }: { node: PlanNode; total: number; measured: boolean }) {
  const [open, setOpen] = useState(true);
  const own = ownShare(node, measured);
  const share = Math.min(1, own / total);
  const actual = node["Actual Rows"];
  const off = actual !== undefined && Math.max(actual, 1) / Math.max(node["Plan Rows"], 1);
  const details = kDetails.filter((key) => node[key] !== undefined);
  return (
    <li className="border-l border-line pl-3 first:pt-0">
      <div className="py-1.5">
        <div className="flex items-center gap-2">
          <button
            type="button"
            onClick={() => setOpen(!open)}
            disabled={!node.Plans?.length}
            aria-expanded={node.Plans?.length ? open : undefined}
            className="flex items-center gap-1 rounded text-left text-[13px] font-medium"
          >
            <ChevronRight className={clsx("size-3.5 text-faint transition-transform", open && "rotate-90", !node.Plans?.length && "invisible")} aria-hidden />
            {node["Join Type"] && node["Join Type"] !== "Inner" ? `${node["Join Type"]} ` : ""}
            {node["Node Type"]}
          </button>
          {node["Relation Name"] && <span className="font-mono text-xs text-accent">{node["Relation Name"]}</span>}
          {node["Index Name"] && <span className="font-mono text-xs text-muted">using {node["Index Name"]}</span>}
          {off !== false && (off >= 10 || off <= 0.1) && <Badge tone="warn">estimate off {off >= 10 ? `${Math.round(off)}×` : `1/${Math.round(1 / off)}`}</Badge>}
        </div>
        <div className="mt-1 flex items-center gap-3 pl-[18px] text-xs text-muted">
          <div className="h-1.5 w-28 shrink-0 overflow-hidden rounded-full bg-hover" aria-hidden>
            <div className={clsx("h-full rounded-full", share > 0.5 ? "bg-bad" : "bg-glow")} style={{ width: `${Math.max(1, share * 100)}%` }} />
          </div>
          <span className="tabular whitespace-nowrap">
            {measured ? `${milliseconds(own)} itself, ${milliseconds(timeOf(node))} in all` : `cost ${node["Total Cost"].toFixed(0)}`} ·{" "}
            {actual !== undefined ? `${count(Math.round(actual * (node["Actual Loops"] ?? 1)))} rows` : `about ${count(node["Plan Rows"])} rows`}
            {(node["Actual Loops"] ?? 1) > 1 && ` in ${count(node["Actual Loops"]!)} loops`}
            {node["Shared Hit Blocks"] !== undefined && ` · ${count(node["Shared Hit Blocks"])} hit, ${count(node["Shared Read Blocks"] ?? 0)} read`}
          </span>
        </div>
        {details.length > 0 && (
          <dl className="mt-1 pl-[18px] font-mono text-[11.5px] text-muted">
            {details.map((key) => (
              <div key={key} className="flex gap-2">
                <dt className="shrink-0 text-faint">{key}:</dt>
                <dd className="break-all">{Array.isArray(node[key]) ? (node[key] as unknown[]).join(", ") : String(node[key])}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      {open && node.Plans && (
        <ul className="ml-1.5">
          {node.Plans.map((child, i) => (
            <Node key={i} node={child} total={total} measured={measured} />
          ))}
        </ul>
      )}
    </li>
  );
}
