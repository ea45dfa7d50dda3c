// Schemas, tables, their rows: looking, and changing with care.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import clsx from "clsx";
import { ChevronLeft, Eye, RefreshCw, Table2 } from "lucide-react";
import { useMemo, useRef, useState } from "react";
import { useCurrent } from "@/shell/current";
import type { HttpTarget } from "@/sql/http";
import type { TableInfo } from "@/sql/schema";
import { tableDetails } from "@/sql/table-data";
import { useTables } from "@/sql/use-tables";
import { useSqlTarget } from "@/sql/use-target";
import { Empty, IconButton, Input, Problem, Select, Skeleton, Spinner } from "@/ui/basics";
import { bytes, count, plural } from "@/ui/format";
import { NeedsCompute } from "@/ui/needs-compute";
import { Structure } from "./table-structure";
import { Data } from "./table-rows";

export function TablesPage() {
  return (
    <NeedsCompute>
      <Tables />
    </NeedsCompute>
  );
}

function Tables() {
  const { project, branch } = useCurrent();
  const search = useSearch({ from: "/projects/$project/tables" });
  const navigate = useNavigate();
  const sql = useSqlTarget(search.database);
  const tables = useTables(project, sql.target);
  const wanted = search.table;
  const table = tables.data?.find((one) => `${one.schema}.${one.name}` === wanted);
  const go = (change: object) => void navigate({ to: ".", search: (before: object) => ({ ...before, ...change }) });
  return (
    <div className="flex h-[calc(100dvh-3.5rem)] flex-col lg:h-dvh lg:flex-row">
      <h1 className="sr-only">Tables</h1>
      <div className={clsx("flex min-h-0 flex-col border-b lg:w-64 lg:shrink-0 lg:border-r lg:border-b-0", wanted && "max-lg:hidden")}>
        <div className="flex gap-2 p-3">
          <Select aria-label="Database" value={sql.database} onChange={(event) => go({ database: event.target.value, table: undefined })}>
            {sql.databases?.map((one) => <option key={one.name}>{one.name}</option>)}
          </Select>
          <IconButton label="Look again" onClick={() => void tables.refetch()} className="size-9!">
            <RefreshCw aria-hidden />
          </IconButton>
        </div>
        {(sql.error || tables.error) && <Problem error={sql.error ?? tables.error} className="mx-3" retry={() => void tables.refetch()} />}
        {sql.passwordMissing && <p className="px-4 text-[13px] text-warn">The password of {sql.role} is not known here: reset it to see tables.</p>}
        {tables.data ? (
          <TableList tables={tables.data} chosen={wanted} onChoose={(one) => go({ table: `${one.schema}.${one.name}` })} />
        ) : (
          !sql.passwordMissing && !tables.error && <Skeleton className="m-3 h-32" />
        )}
      </div>
      <div className={clsx("flex min-h-0 min-w-0 flex-1 flex-col", !wanted && "max-lg:hidden")}>
        {table && sql.target ? (
          <TableView key={`${branch?.id} ${sql.database} ${wanted}`} table={table} target={sql.target} onBack={() => go({ table: undefined })} />
        ) : wanted && tables.isLoading ? (
          <Spinner className="m-auto" />
        ) : (
          <div className="m-auto">
            <Empty icon={<Table2 aria-hidden />} title={tables.data?.length === 0 ? "No tables yet" : "Choose a table"}>
              {tables.data?.length === 0 ? "Make one in the SQL editor, or by your application's migrations." : "Its rows can be paged, sorted, filtered and edited."}
            </Empty>
          </div>
        )}
      </div>
    </div>
  );
}

function TableList({ tables, chosen, onChoose }: { tables: TableInfo[]; chosen: string | undefined; onChoose: (table: TableInfo) => void }) {
  const [filter, setFilter] = useState("");
  const frame = useRef<HTMLDivElement>(null);
  const items = useMemo(() => {
    const out: (TableInfo | string)[] = [];
    for (const table of tables.filter((one) => one.name.toLowerCase().includes(filter.toLowerCase()))) {
      const last = out[out.length - 1];
      if (typeof last !== "object" || last.schema !== table.schema) out.push(table.schema);
      out.push(table);
    }
    return out;
  }, [tables, filter]);
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => frame.current, estimateSize: () => 32, overscan: 12 });
  return (
    <>
      <div className="px-3 pb-2">
        <Input aria-label="Filter tables" placeholder={`Filter ${plural(tables.length, "table")}`} value={filter} onChange={(event) => setFilter(event.target.value)} />
      </div>
      <div ref={frame} className="scroll-thin min-h-0 flex-1 overflow-y-auto px-2 pb-3" tabIndex={0} role="region" aria-label="Tables">
        <ul className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((row) => {
            const item = items[row.index];
            return (
              <li key={row.key} className="absolute inset-x-0" style={{ transform: `translateY(${row.start}px)`, height: row.size }}>
                {typeof item === "string" ? (
                  <p className="px-2.5 pt-2 text-xs font-medium text-faint">{item}</p>
                ) : (
                  <button
                    type="button"
                    onClick={() => onChoose(item)}
                    aria-current={`${item.schema}.${item.name}` === chosen ? "true" : undefined}
                    className={clsx(
                      "flex h-8 w-full items-center gap-2 rounded-lg px-2.5 text-left text-[13px]",
                      `${item.schema}.${item.name}` === chosen ? "bg-hover font-medium" : "text-muted hover:bg-hover hover:text-ink",
                    )}
                  >
                    {item.kind === "v" || item.kind === "m" ? <Eye className="size-4 shrink-0" aria-hidden /> : <Table2 className="size-4 shrink-0" aria-hidden />}
                    <span className="min-w-0 flex-1 truncate">{item.name}</span>
                  </button>
                )}
              </li>
            );
          })}
        </ul>
      </div>
    </>
  );
}

function TableView({ table, target, onBack }: { table: TableInfo; target: HttpTarget; onBack: () => void }) {
  const [tab, setTab] = useState<"data" | "structure">("data");
  const details = useQuery({
    queryKey: ["sql", target.host, target.database, "table", table.oid],
    queryFn: ({ signal }) => tableDetails(target, table.oid, table.kind, signal),
    staleTime: 15_000,
  });
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-2 sm:px-4">
        <IconButton label="All tables" onClick={onBack} className="lg:hidden">
          <ChevronLeft aria-hidden />
        </IconButton>
        <h2 className="truncate text-sm font-semibold">
          {table.schema !== "public" && <span className="text-muted">{table.schema}.</span>}
          {table.name}
        </h2>
        <span className="text-xs text-muted max-sm:hidden">
          {table.rows >= 0 && `about ${count(table.rows)} rows, `}
          {bytes(table.bytes)}
        </span>
        <div role="tablist" aria-label="View" className="ml-auto flex rounded-lg border p-0.5">
          {(["data", "structure"] as const).map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              aria-selected={tab === one}
              onClick={() => setTab(one)}
              className={clsx("h-7 rounded-md px-3 text-[13px] font-medium capitalize", tab === one ? "bg-hover" : "text-muted hover:text-ink")}
            >
              {one}
            </button>
          ))}
        </div>
      </div>
      {details.error && <Problem error={details.error} className="m-3" retry={() => void details.refetch()} />}
      {!details.data ? (
        !details.error && <Spinner className="m-auto" />
      ) : tab === "data" ? (
        <Data table={table} target={target} details={details.data} />
      ) : (
        <Structure details={details.data} />
      )}
    </>
  );
}
