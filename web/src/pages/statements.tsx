// pg_stat_statements: what the compute has spent its time on since it started.
import { useQuery } from "@tanstack/react-query";
import { createColumnHelper } from "@tanstack/react-table";
import { useState } from "react";
import { http, path } from "@/api/client";
import { finished, useChange } from "@/api/queries";
import type { Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { objects, query } from "@/sql/http";
import { useSqlTarget } from "@/sql/use-target";
import { Button, Card, CardHead, Problem, Skeleton } from "@/ui/basics";
import { DataTable } from "@/ui/data-table";
import { count, milliseconds } from "@/ui/format";
import { Confirm } from "@/ui/overlays";

interface Row {
  query: string;
  calls: number;
  total: number;
  mean: number;
  rows: number;
  hit: number | null;
}

const kStatements = `
SELECT left(query, 1000) AS query, calls, total_exec_time AS total, mean_exec_time AS mean, rows,
       CASE WHEN shared_blks_hit + shared_blks_read > 0 THEN shared_blks_hit::float8 / (shared_blks_hit + shared_blks_read) END AS hit
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY total_exec_time DESC LIMIT 200`;

const kHit = `
SELECT sum(blks_hit) AS hit, sum(blks_read) AS read,
       to_regclass('pg_stat_statements') IS NOT NULL AND current_setting('shared_preload_libraries') ~ 'pg_stat_statements' AS there FROM pg_stat_database WHERE datname = current_database()`;

const column = createColumnHelper<Row>();
const columns = [
  column.accessor("query", {
    header: "Statement",
    cell: (cell) => (
      <code className="line-clamp-2 max-w-xl min-w-56 font-mono text-xs break-all" title={cell.getValue()}>
        {cell.getValue()}
      </code>
    ),
  }),
  column.accessor("calls", { header: "Calls", meta: "number", cell: (cell) => count(cell.getValue()) }),
  column.accessor("total", { header: "Total", meta: "number", cell: (cell) => milliseconds(cell.getValue()) }),
  column.accessor("mean", { header: "Mean", meta: "number", cell: (cell) => milliseconds(cell.getValue()) }),
  column.accessor("rows", { header: "Rows", meta: "number", cell: (cell) => count(cell.getValue()) }),
  column.accessor("hit", { header: "Cache hit", meta: "number", cell: (cell) => (cell.getValue() === null ? "–" : `${(cell.getValue()! * 100).toFixed(1)} %`) }),
];

export function Statements({ awake }: { awake: boolean }) {
  const { project, branch, endpoint } = useCurrent();
  const { target, database } = useSqlTarget(undefined);
  const statements = useQuery({
    queryKey: ["activity", target?.endpoint, "statements"],
    queryFn: async ({ signal }): Promise<{ rows: Row[] | null; hit: number | null }> => {
      const [cache] = objects(await query(target!, kHit, [], signal));
      const blocks = Number(cache.hit) + Number(cache.read);
      const hit = blocks > 0 ? Number(cache.hit) / blocks : null;
      if (cache.there !== "t") return { rows: null, hit };
      const rows = objects(await query(target!, kStatements, [], signal)).map((row) => ({
        query: row.query ?? "",
        calls: Number(row.calls),
        total: Number(row.total),
        mean: Number(row.mean),
        rows: Number(row.rows),
        hit: row.hit === null ? null : Number(row.hit),
      }));
      return { rows, hit };
    },
    enabled: awake && target !== undefined,
    retry: false,
    staleTime: 10_000,
  });
  const [asking, setAsking] = useState(false);
  // Its library has to be there when Postgres starts.
  const switchOn = useChange(async () => {
    const settings = endpoint!.settings;
    const libraries = String(settings.pg_settings?.shared_preload_libraries ?? "");
    const base = path`/projects/${project}/endpoints/${endpoint!.id}`;
    if (!libraries.includes("pg_stat_statements")) {
      const shared_preload_libraries = [libraries, "pg_stat_statements"].filter(Boolean).join(",");
      await http.patch(base, { endpoint: { settings: { pg_settings: { ...settings.pg_settings, shared_preload_libraries } } } });
      const answer = await http.post<{ operations: Operation[] }>(`${base}/restart`);
      await finished(project, answer.operations);
    }
    await http.post(path`/projects/${project}/branches/${branch!.id}/databases/${target!.database}/statistics`);
  });
  const data = statements.data;
  return (
    <Card>
      <CardHead
        title="Statements"
        hint={`Of ${database || "the database"}${data?.hit != null ? `; ${(data.hit * 100).toFixed(1)} % of its blocks were found in memory` : ""}.`}
      >
        {awake && data?.rows && (
          <Button size="sm" busy={statements.isFetching} onClick={() => void statements.refetch()}>
            Look again
          </Button>
        )}
      </CardHead>
      {!awake && !data ? (
        <p className="p-5 text-sm text-muted">The compute sleeps. Its statements are shown once it is awake; looking here does not wake it.</p>
      ) : statements.error ? (
        <Problem error={statements.error} className="m-4" retry={() => void statements.refetch()} />
      ) : !data ? (
        <Skeleton className="m-5 h-16" />
      ) : data.rows === null ? (
        <div className="flex flex-wrap items-center justify-between gap-3 p-5 text-sm text-muted">
          <p>The extension pg_stat_statements shows which statements take how long.</p>
          <Button size="sm" onClick={() => setAsking(true)}>
            Switch it on
          </Button>
        </div>
      ) : (
        <DataTable label="Statements" columns={columns} rows={data.rows} first={[{ id: "total", desc: true }]} />
      )}
      <Confirm open={asking} onOpenChange={setAsking} title="Switch on pg_stat_statements" action="Restart and switch on" gentle onConfirm={() => switchOn.mutateAsync(undefined)}>
        <p>The compute is restarted with the extension's library, and the extension is made in {database}. Connections stay open; what is under way in them is cut off.</p>
      </Confirm>
    </Card>
  );
}
