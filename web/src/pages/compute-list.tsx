// All computes of a project: which run, and what keeps them awake. Those that are awake come first.
import { Link } from "@tanstack/react-router";
import type { Branch, ComputeOverview, ComputeState, Endpoint } from "@/api/types";
import { Badge } from "@/ui/basics";
import { ago } from "@/ui/format";
import { StateLabel } from "@/ui/state";

interface Props {
  project: string;
  endpoints: Endpoint[];
  branches: Branch[];
  computes: ComputeOverview[];
}

const kMost = 8;
const order: ComputeState[] = ["active", "starting", "suspending", "idle"];

function whyAwake(compute: ComputeOverview | undefined): string {
  if (compute?.problem) return compute.problem;
  if (compute?.state === "active") return compute.keeps_awake ? `kept awake by ${compute.keeps_awake}` : "nothing under way";
  if (compute?.state === "starting") return "queries wait for it";
  return compute?.suspended_at ? `since ${ago(compute.suspended_at)}` : "never woken";
}

export function ComputeList({ project, endpoints, branches, computes }: Props) {
  const rows = endpoints
    .map((endpoint) => ({ endpoint, compute: computes.find((one) => one.endpoint_id === endpoint.id) }))
    .sort((a, b) => order.indexOf(a.compute?.state ?? "idle") - order.indexOf(b.compute?.state ?? "idle"));
  return (
    <>
      <ul aria-label="Computes">
        {rows.slice(0, kMost).map(({ endpoint, compute }) => (
          <li key={endpoint.id} className="flex items-center gap-x-4 border-b px-5 py-2.5 text-[13px] last:border-0">
            <span className="w-24 shrink-0">
              <StateLabel state={compute?.state ?? "idle"} />
            </span>
            <Link
              to="/projects/$project/computes"
              params={{ project }}
              search={{ branch: endpoint.branch_id }}
              className="min-w-0 truncate rounded font-medium hover:underline hover:underline-offset-2"
            >
              {branches.find((one) => one.id === endpoint.branch_id)?.name ?? endpoint.branch_id}
            </Link>
            {endpoint.type === "read_only" && <Badge tone="info">{endpoint.name || "replica"}</Badge>}
            <span className="ml-auto truncate text-muted max-sm:hidden">{whyAwake(compute)}</span>
          </li>
        ))}
      </ul>
      {rows.length > kMost && <p className="border-t px-5 py-2.5 text-xs text-muted">and {rows.length - kMost} more that sleep or are of other branches</p>}
    </>
  );
}
