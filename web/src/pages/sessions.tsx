// Who is connected, what it does, and how to stop it.
import { useQuery } from "@tanstack/react-query";
import { createColumnHelper } from "@tanstack/react-table";
import { Ban, MoreHorizontal, Unplug } from "lucide-react";
import { useMemo, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { poolerQuery, useChange } from "@/api/queries";
import type { PoolerClient } from "@/api/types";
import { objects, query } from "@/sql/http";
import { useSqlTarget } from "@/sql/use-target";
import { Badge, Card, CardHead, Empty, Problem, Skeleton } from "@/ui/basics";
import { DataTable } from "@/ui/data-table";
import { ago } from "@/ui/format";
import { Confirm, Menu, MenuItem } from "@/ui/overlays";
import { Users } from "lucide-react";

interface Backend {
  state: string;
  query: string;
  wait: string | null;
}

interface Session extends PoolerClient {
  backend?: Backend;
}

const kActivity = `
SELECT pid, state, left(query, 2000) AS query, CASE WHEN state = 'active' THEN wait_event_type || ': ' || wait_event END AS wait
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`;

const column = createColumnHelper<Session>();

export function Sessions({ project, endpoint, awake }: { project: string; endpoint: string; awake: boolean }) {
  const pooler = useQuery(poolerQuery(project, endpoint, true));
  const sql = useSqlTarget(undefined, endpoint);
  const [ending, setEnding] = useState<Session | null>(null);
  // Asked only while the compute runs anyway: looking wakes nothing.
  const busy = (pooler.data?.client_list ?? []).some((one) => one.server_pid !== 0 && one.application_name !== "Halogen console");
  const activity = useQuery({
    queryKey: ["activity", endpoint],
    queryFn: async ({ signal }) => {
      const rows = objects(await query(sql.target!, kActivity, [], signal));
      return new Map(rows.map((row) => [Number(row.pid), { state: row.state ?? "", query: row.query ?? "", wait: row.wait }]));
    },
    enabled: awake && busy && sql.target !== undefined,
    refetchInterval: 3000,
    retry: false,
  });
  const sessions: Session[] = (pooler.data?.client_list ?? []).map((one) => ({ ...one, backend: activity.data?.get(one.server_pid) }));
  const cancel = useChange(async (session: Session) => {
    const answer = await query(sql.target!, "SELECT pg_cancel_backend($1::int)", [String(session.server_pid)]);
    if (answer.rows[0]?.[0] !== "t") throw new Error("It has ended already.");
  });
  const end = useChange(
    (session: Session) => http.delete(path`/projects/${project}/endpoints/${endpoint}/pooler/clients/${session.id}`),
    () => toast.success("Its connection is closed."),
  );
  const { mutate } = cancel;
  const known = sql.target !== undefined;
  const columns = useMemo(
    () => [
      column.accessor("role", {
        header: "Who",
        cell: ({ row: { original: one } }) => (
          <div>
            <p className="font-medium">{one.role}</p>
            <p className="text-xs text-muted">
              {one.database} · {one.mode === "session" ? "direct" : "pooled"}
            </p>
          </div>
        ),
      }),
      column.accessor("application_name", {
        header: "From",
        cell: ({ row: { original: one } }) => (
          <div className="max-w-48">
            <p className="truncate">{one.application_name || "–"}</p>
            <p className="text-xs text-muted">
              {one.address}:{one.port}
            </p>
          </div>
        ),
      }),
      column.accessor("state", {
        header: "State",
        cell: ({ row: { original: one } }) => (
          <Badge tone={one.state === "active" ? "ok" : one.state === "pinned" || one.state === "waiting" ? "warn" : "neutral"}>
            {one.state}
            {one.pinned_by && `: ${one.pinned_by}`}
          </Badge>
        ),
      }),
      column.accessor((one) => one.backend?.query ?? "", {
        id: "query",
        header: "Query",
        cell: ({ row: { original: one } }) =>
          one.backend ? (
            <div className="max-w-96 min-w-40">
              <code className="line-clamp-2 font-mono text-xs break-all" title={one.backend.query}>
                {one.backend.query}
              </code>
              {one.backend.wait && <p className="text-xs text-warn">waits for {one.backend.wait}</p>}
            </div>
          ) : (
            <span className="text-faint">–</span>
          ),
      }),
      column.accessor("queries", { header: "Queries", meta: "number" }),
      column.accessor("connected_at", { header: "Connected", cell: (cell) => <span className="whitespace-nowrap text-muted">{ago(cell.getValue())}</span> }),
      column.display({
        id: "actions",
        cell: ({ row: { original: one } }) => (
          <Menu label={`Actions on the session of ${one.role}, port ${one.port}`} icon={<MoreHorizontal aria-hidden />}>
            <MenuItem
              icon={<Ban aria-hidden />}
              disabled={one.server_pid === 0 || !known}
              onSelect={() => mutate(one, { onSuccess: () => toast.success("Its query is cancelled."), onError: (error: Error) => toast.error(error.message) })}
            >
              Cancel its query
            </MenuItem>
            <MenuItem icon={<Unplug aria-hidden />} danger onSelect={() => setEnding(one)}>
              End its connection
            </MenuItem>
          </Menu>
        ),
      }),
    ],
    [mutate, known],
  );
  return (
    <Card>
      <CardHead title="Sessions" hint="Every client that is connected, with a server connection or without." />
      {pooler.error && <Problem error={pooler.error} className="m-4" />}
      {!pooler.data ? (
        <Skeleton className="m-5 h-16" />
      ) : sessions.length === 0 ? (
        <Empty icon={<Users aria-hidden />} title="Nobody is connected" />
      ) : (
        <DataTable label="Sessions" columns={columns} rows={sessions} first={[{ id: "state", desc: false }]} />
      )}
      <Confirm
        open={ending !== null}
        onOpenChange={() => setEnding(null)}
        title="End this connection"
        action="End connection"
        onConfirm={() => end.mutateAsync(ending!)}
      >
        <p>
          The client of {ending?.role} at {ending?.address}:{ending?.port} gets an error (57P01). What it has under way is rolled back.
        </p>
      </Confirm>
    </Card>
  );
}
