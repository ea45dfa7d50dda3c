// What a compute does and did: charts, sessions, statements, wakes.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import clsx from "clsx";
import { type ReactNode, useState } from "react";
import { operationsQuery, poolerQuery } from "@/api/queries";
import { useCompute, useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { Card, CardHead, Select, Skeleton } from "@/ui/basics";
import { ago, count, milliseconds, moment } from "@/ui/format";
import { NeedsCompute } from "@/ui/needs-compute";
import { StateLabel } from "@/ui/state";
import { Charts } from "./charts";
import { Sessions } from "./sessions";
import { Statements } from "./statements";
import { WhatKeepsAwake } from "./compute";

const ranges = [
  { seconds: 3600, name: "1 hour" },
  { seconds: 6 * 3600, name: "6 hours" },
  { seconds: 86400, name: "1 day" },
  { seconds: 7 * 86400, name: "7 days" },
];

export function MonitoringPage() {
  const { project, branch, endpoint: primary, endpoints } = useCurrent();
  const { compute: wanted } = useSearch({ from: "/projects/$project" });
  const navigate = useNavigate();
  const ofBranch = endpoints?.filter((one) => one.branch_id === branch?.id) ?? [];
  const endpoint = ofBranch.find((one) => one.id === wanted) ?? primary;
  const { compute, state } = useCompute(project, endpoint?.id);
  const [range, setRange] = useState(3600);
  return (
    <>
      <PageHead title="Monitoring" hint={branch && `The compute of ${branch.name}. While it sleeps there is nothing to draw.`}>
        {ofBranch.length > 1 && (
          <Select
            aria-label="Compute"
            className="max-w-52"
            value={endpoint?.id}
            onChange={(event) => void navigate({ to: ".", search: (before: object) => ({ ...before, compute: event.target.value }), replace: true })}
          >
            {ofBranch.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name || (one.type === "read_only" ? `Replica ${one.id}` : "Primary")}
              </option>
            ))}
          </Select>
        )}
        <div role="group" aria-label="Range" className="flex rounded-lg border bg-surface p-0.5">
          {ranges.map((one) => (
            <button
              key={one.seconds}
              type="button"
              aria-pressed={range === one.seconds}
              onClick={() => setRange(one.seconds)}
              className={clsx("h-7.5 rounded-md px-2.5 text-[13px] font-medium", range === one.seconds ? "bg-hover" : "text-muted hover:text-ink")}
            >
              {one.name}
            </button>
          ))}
        </div>
      </PageHead>
      <PageBody>
        {!endpoint ? (
          <NeedsCompute>
            <Skeleton className="h-60" />
          </NeedsCompute>
        ) : (
          <>
            <Card className="flex flex-wrap items-center gap-x-6 gap-y-2 px-5 py-3">
              <StateLabel state={state} />
              <WhatKeepsAwake compute={compute} state={state} timeout={endpoint.suspend_timeout_seconds} />
            </Card>
            <Charts project={project} endpoint={endpoint.id} range={range} />
            <Connections project={project} endpoint={endpoint.id} />
            <Sessions key={endpoint.id} project={project} endpoint={endpoint.id} awake={state === "active"} />
            {endpoint === primary && <Statements key={branch?.id} awake={state === "active"} />}
            <Wakes project={project} endpoint={endpoint.id} />
          </>
        )}
      </PageBody>
    </>
  );
}

const states: [string, string, string][] = [
  ["active", "at work", "Something of them is under way."],
  ["waiting", "waiting", "In line for a server connection."],
  ["waking", "waking", "For the compute to start."],
  ["pinned", "pinned", "They hold what cannot be moved to another server connection."],
  ["idle", "idle", "Direct connections with a server of their own."],
  ["parked", "parked", "They have no server connection, and need none."],
];

function Connections({ project, endpoint }: { project: string; endpoint: string }) {
  const pooler = useQuery(poolerQuery(project, endpoint)).data;
  const pinned = Object.entries(pooler?.pinned_by ?? {});
  const servers = pooler?.pools.reduce((sum, pool) => sum + pool.servers.used + pool.servers.idle, 0) ?? 0;
  return (
    <Card>
      <CardHead title="Connections now" hint={`${count(servers)} server ${servers === 1 ? "connection is" : "connections are"} open in Postgres.`} />
      <dl className="grid grid-cols-2 gap-4 p-5 sm:grid-cols-3 lg:grid-cols-6">
        {states.map(([key, name, meaning]) => (
          <div key={key} title={meaning}>
            <dt className="text-xs text-muted">{name}</dt>
            <dd className="tabular text-lg font-semibold">{count(pooler?.clients[key] ?? 0)}</dd>
          </div>
        ))}
      </dl>
      {pinned.length > 0 && (
        <p className="border-t px-5 py-3 text-[13px] text-muted">
          Pinned by {pinned.map(([why, number]) => `${why} (${number})`).join(", ")}.
        </p>
      )}
    </Card>
  );
}

function Wakes({ project, endpoint }: { project: string; endpoint: string }) {
  const operations = useQuery(operationsQuery(project)).data;
  const wakes = operations?.filter((one) => one.action === "start_compute" && one.endpoint_id === endpoint && one.status === "finished") ?? [];
  if (wakes.length === 0) return null;
  const most = Math.max(...wakes.map((one) => one.total_duration_ms), 1);
  return (
    <Card>
      <CardHead title="Wakes" hint="From the first query that waited until the compute took connections." />
      <ul>
        {wakes.slice(0, 12).map((wake) => (
          <li key={wake.id} className="flex items-center gap-4 border-b px-5 py-2 text-[13px] last:border-0">
            <span className="w-44 shrink-0 text-muted max-sm:w-24" title={moment(wake.created_at)}>
              {ago(wake.created_at)}
            </span>
            <Bar share={wake.total_duration_ms / most} />
            <span className="tabular w-20 text-right">{milliseconds(wake.total_duration_ms)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Bar({ share }: { share: number }): ReactNode {
  return (
    <span className="h-1.5 flex-1 overflow-hidden rounded-full bg-hover" aria-hidden>
      <span className="block h-full rounded-full bg-glow" style={{ width: `${Math.max(1, share * 100)}%` }} />
    </span>
  );
}
