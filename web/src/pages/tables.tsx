// Schemas, tables, their rows: looking, and changing with care.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import clsx from "clsx";
import { ArrowDown, ArrowUp, ChevronLeft, ChevronRight, Eye, Filter as FilterIcon, Plus, RefreshCw, Table2, Trash2, Undo2, X } from "lucide-react";
import { useMemo, useRef, useState } from "react";
import { toast } from "sonner";
import { useCurrent } from "@/shell/current";
import { SqlError } from "@/sql/connection";
import { type HttpTarget, query, transaction } from "@/sql/http";
import type { Cell } from "@/sql/rows";
import type { TableInfo } from "@/sql/schema";
import { type Change, changeStatements, type Filter, operators, selectRows, tableDetails, type TableDetails, type View } from "@/sql/table-data";
import { useTables } from "@/sql/use-tables";
import { useSqlTarget } from "@/sql/use-target";
import { Badge, Button, Card, Empty, IconButton, Input, Problem, Select, Skeleton, Spinner } from "@/ui/basics";
import { Code } from "@/ui/code";
import { bytes, count } from "@/ui/format";
import { NeedsCompute } from "@/ui/needs-compute";
import { Confirm } from "@/ui/overlays";
import { ResultGrid } from "@/ui/result-grid";

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
        <Input aria-label="Filter tables" placeholder={`Filter ${count(tables.length)} tables`} value={filter} onChange={(event) => setFilter(event.target.value)} />
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

function Structure({ details }: { details: TableDetails }) {
  return (
    <div className="scroll-thin min-h-0 flex-1 space-y-5 overflow-auto p-4" tabIndex={0} role="region" aria-label="Structure">
      <Card className="overflow-x-auto">
        <table className="w-full text-left text-[13px]">
          <thead className="border-b text-xs text-muted [&_th]:px-4 [&_th]:py-2 [&_th]:font-medium">
            <tr>
              <th>Column</th>
              <th>Type</th>
              <th>Null</th>
              <th>Default</th>
            </tr>
          </thead>
          <tbody>
            {details.columns.map((column) => (
              <tr key={column.name} className="border-b last:border-0 [&>td]:px-4 [&>td]:py-2">
                <td className="font-medium">
                  {column.name} {column.key && <Badge tone="accent">key</Badge>}
                </td>
                <td className="font-mono text-xs">{column.type}</td>
                <td className="text-muted">{column.notNull ? "no" : "yes"}</td>
                <td className="font-mono text-xs text-muted">{column.default}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Card>
      {(
        [
          ["Indexes", details.indexes],
          ["Constraints", details.constraints],
        ] as const
      ).map(([name, list]) => (
        <Card key={name}>
          <h3 className="border-b px-4 py-2.5 text-[13px] font-semibold">{name}</h3>
          {list.length === 0 && <p className="px-4 py-3 text-[13px] text-muted">None.</p>}
          {list.map((one) => (
            <div key={one.name} className="border-b px-4 py-2 last:border-0">
              <p className="text-[13px] font-medium">{one.name}</p>
              <code className="font-mono text-xs break-all text-muted">{one.definition}</code>
            </div>
          ))}
        </Card>
      ))}
    </div>
  );
}

const kPage = 100;

function Data({ table, target, details }: { table: TableInfo; target: HttpTarget; details: TableDetails }) {
  const client = useQueryClient();
  const [view, setView] = useState<View>({ filters: [], page: 0, size: kPage });
  const [filtering, setFiltering] = useState(false);
  const [edits, setEdits] = useState<Map<number, Record<string, Cell>>>(new Map());
  const [inserts, setInserts] = useState<Record<string, Cell>[]>([]);
  const [deletes, setDeletes] = useState<Set<number>>(new Set());
  const [editing, setEditing] = useState<[number, string] | null>(null);
  const [reviewing, setReviewing] = useState(false);
  const statement = useMemo(() => selectRows(table.schema, table.name, details, view), [table, details, view]);
  const rows = useQuery({
    queryKey: ["sql", target.host, target.database, "rows", statement],
    queryFn: ({ signal }) => query(target, statement.query, statement.params ?? [], signal),
    placeholderData: (before) => before,
    staleTime: 5000,
    retry: false,
  });
  const loaded = rows.data?.rows.slice(0, view.size) ?? [];
  const more = (rows.data?.rows.length ?? 0) > view.size;
  const changes: Change[] = [
    ...inserts.map((values) => ({ kind: "insert" as const, values })),
    ...[...edits].filter(([row]) => !deletes.has(row)).map(([row, values]) => ({ kind: "update" as const, row: loaded[row], values })),
    ...[...deletes].map((row) => ({ kind: "delete" as const, row: loaded[row] })),
  ];
  const written = changeStatements(table.schema, table.name, details, changes);
  const forget = () => {
    setEdits(new Map());
    setInserts([]);
    setDeletes(new Set());
    setEditing(null);
  };
  const move = (change: Partial<View>) => {
    if (changes.length > 0) return void toast.error("There are changes that are not saved: save or undo them first.");
    setView({ ...view, ...change });
  };
  async function apply() {
    try {
      await transaction(target, written.map((one) => one.statement));
    } catch (error) {
      if (error instanceof SqlError && error.code === "22012")
        throw new SqlError("A row is no longer as you saw it: somebody changed or deleted it. Nothing was changed; undo and look again.");
      throw error;
    }
    toast.success(`${changes.length} ${changes.length === 1 ? "change" : "changes"} saved.`);
    forget();
    await client.invalidateQueries({ queryKey: ["sql"] });
  }
  // Inserted rows come first.
  const grid = {
    length: inserts.length + loaded.length,
    at: (index: number) => (index < inserts.length ? details.columns.map((column) => inserts[index][column.name] ?? null) : loaded[index - inserts.length]),
  };
  const columns = rows.data?.fields.map((field) => ({ name: field.name, type: field.dataTypeID })) ?? [];
  const changed = (index: number, column: string): Cell | undefined =>
    index < inserts.length ? inserts[index][column] : edits.get(index - inserts.length)?.[column];
  const put = (index: number, column: string, value: Cell) => {
    if (index < inserts.length) setInserts(inserts.map((one, i) => (i === index ? { ...one, [column]: value } : one)));
    else {
      const row = index - inserts.length;
      const next = new Map(edits);
      const values = { ...next.get(row), [column]: value };
      if (loaded[row][details.columns.findIndex((one) => one.name === column)] === value) delete values[column];
      if (Object.keys(values).length === 0) next.delete(row);
      else next.set(row, values);
      setEdits(next);
    }
    setEditing(null);
  };
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-2 sm:px-4">
        <Button size="sm" look={view.filters.length ? "plain" : "quiet"} icon={<FilterIcon className="size-3.5" aria-hidden />} onClick={() => setFiltering(!filtering)}>
          Filter{view.filters.length > 0 && ` (${view.filters.length})`}
        </Button>
        {details.editable && (
          <Button size="sm" look="quiet" icon={<Plus className="size-4" aria-hidden />} onClick={() => setInserts([{}, ...inserts])}>
            Add row
          </Button>
        )}
        {!details.editable && <span className="text-xs text-muted">{table.kind === "r" || table.kind === "p" ? "Read only: it has no primary key" : "Read only"}</span>}
        {changes.length > 0 && (
          <div className="flex items-center gap-2" data-testid="pending">
            <Badge tone="warn">
              {changes.length} unsaved {changes.length === 1 ? "change" : "changes"}
            </Badge>
            <Button size="sm" look="solid" onClick={() => setReviewing(true)}>
              Review and save
            </Button>
            <Button size="sm" look="quiet" icon={<Undo2 className="size-4" aria-hidden />} onClick={forget}>
              Undo
            </Button>
          </div>
        )}
        <div className="ml-auto flex items-center gap-1 text-xs text-muted">
          {rows.isFetching && <Spinner />}
          <span className="tabular">
            {count(view.page * view.size + (loaded.length ? 1 : 0))}–{count(view.page * view.size + loaded.length)}
          </span>
          <IconButton label="Page before" disabled={view.page === 0} onClick={() => move({ page: view.page - 1 })}>
            <ChevronLeft aria-hidden />
          </IconButton>
          <IconButton label="Next page" disabled={!more} onClick={() => move({ page: view.page + 1 })}>
            <ChevronRight aria-hidden />
          </IconButton>
        </div>
      </div>
      {filtering && <Filters details={details} filters={view.filters} onChange={(filters) => move({ filters, page: 0 })} />}
      {rows.error && <Problem error={rows.error} className="m-3" retry={() => void rows.refetch()} />}
      <div className="min-h-0 flex-1">
        {rows.data && (
          <ResultGrid
            columns={columns}
            rows={grid}
            version={rows.dataUpdatedAt}
            header={(column) => (
              <button
                type="button"
                className="flex min-w-0 items-center gap-1 rounded"
                onClick={() =>
                  move({
                    page: 0,
                    sort:
                      view.sort?.column !== column.name
                        ? { column: column.name, descending: false }
                        : view.sort.descending
                          ? undefined
                          : { column: column.name, descending: true },
                  })
                }
              >
                <span className="truncate">{column.name}</span>
                {view.sort?.column === column.name &&
                  (view.sort.descending ? <ArrowDown className="size-3.5 shrink-0" aria-label="descending" /> : <ArrowUp className="size-3.5 shrink-0" aria-label="ascending" />)}
              </button>
            )}
            rowLead={(index) =>
              !details.editable ? (
                view.page * view.size + index + 1
              ) : index < inserts.length ? (
                <button type="button" aria-label="Take the new row away" onClick={() => setInserts(inserts.filter((_, i) => i !== index))}>
                  <X className="size-3.5" aria-hidden />
                </button>
              ) : (
                <RowMark
                  number={view.page * view.size + index - inserts.length + 1}
                  marked={deletes.has(index - inserts.length)}
                  onToggle={() => {
                    const next = new Set(deletes);
                    const row = index - inserts.length;
                    if (!next.delete(row)) next.add(row);
                    setDeletes(next);
                  }}
                />
              )
            }
            onOpen={(index, k) => {
              const column = details.columns.find((one) => one.name === columns[k].name);
              if (details.editable && column && !column.generated) setEditing([index, column.name]);
            }}
            cell={(index, k, value) => {
              const name = columns[k].name;
              const now = changed(index, name);
              if (editing?.[0] === index && editing[1] === name)
                return <CellEditor value={now === undefined ? value : now} nullable onDone={(next) => put(index, name, next)} onCancel={() => setEditing(null)} />;
              const gone = deletes.has(index - inserts.length);
              if (now === undefined && !gone && index >= inserts.length) return undefined;
              const shown = now === undefined ? value : now;
              return (
                <span
                  className={clsx(
                    "flex h-full w-full items-center truncate px-2.5 whitespace-pre",
                    gone ? "bg-bad-soft text-bad line-through" : now !== undefined ? "bg-warn-soft text-warn" : index < inserts.length ? "bg-ok-soft text-faint" : "",
                  )}
                >
                  {shown ?? (index < inserts.length && now === undefined ? "default" : "null")}
                </span>
              );
            }}
          />
        )}
      </div>
      <Confirm open={reviewing} onOpenChange={setReviewing} title="Save these changes" action={`Save ${changes.length}`} gentle onConfirm={apply}>
        <p>In one transaction: all of it, or nothing. Values are sent as parameters. A row that is no longer as you saw it stops it.</p>
        <Code code={written.map((one) => one.sql).join("\n")} className="max-h-72 whitespace-pre-wrap text-ink" />
      </Confirm>
    </>
  );
}

function RowMark({ number, marked, onToggle }: { number: number; marked: boolean; onToggle: () => void }) {
  return (
    <button type="button" onClick={onToggle} aria-label={marked ? `Keep row ${number}` : `Delete row ${number}`} className="group flex items-center">
      <span className={clsx("group-hover:hidden group-focus-visible:hidden", marked && "hidden")}>{number}</span>
      <Trash2 className={clsx("size-3.5 group-hover:block group-focus-visible:block", marked ? "block text-bad" : "hidden")} aria-hidden />
    </button>
  );
}

function CellEditor({ value, nullable, onDone, onCancel }: { value: Cell; nullable: boolean; onDone: (value: Cell) => void; onCancel: () => void }) {
  const [text, setText] = useState(value ?? "");
  const over = useRef(false);
  const finish = (action: () => void) => {
    if (over.current) return;
    over.current = true;
    action();
  };
  return (
    <span className="flex h-full w-full items-center bg-surface ring-2 ring-glow ring-inset">
      <input
        autoFocus
        aria-label="New value"
        value={text}
        placeholder={value === null ? "null" : ""}
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        onBlur={() => finish(() => (text === (value ?? "") ? onCancel() : onDone(text)))}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") finish(() => onDone(text));
          if (event.key === "Escape") finish(onCancel);
        }}
        className="h-full min-w-0 flex-1 bg-transparent px-2.5 outline-none"
      />
      {nullable && (
        <button
          type="button"
          onMouseDown={(event) => {
            event.preventDefault();
            finish(() => onDone(null));
          }}
          className="mr-1 rounded border px-1 text-2xs text-muted"
        >
          NULL
        </button>
      )}
    </span>
  );
}

function Filters({ details, filters, onChange }: { details: TableDetails; filters: Filter[]; onChange: (filters: Filter[]) => void }) {
  const [draft, setDraft] = useState<Filter[]>(filters.length ? filters : [{ column: details.columns[0]?.name ?? "", operator: "=", value: "" }]);
  const change = (index: number, part: Partial<Filter>) => setDraft(draft.map((one, i) => (i === index ? { ...one, ...part } : one)));
  return (
    <form
      className="space-y-2 border-b bg-sunken px-4 py-3"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(draft);
      }}
    >
      {draft.map((filter, i) => (
        <div key={i} className="flex flex-wrap items-center gap-2">
          <Select aria-label="Column" className="w-40!" value={filter.column} onChange={(event) => change(i, { column: event.target.value })}>
            {details.columns.map((column) => <option key={column.name}>{column.name}</option>)}
          </Select>
          <Select aria-label="Comparison" className="w-32!" value={filter.operator} onChange={(event) => change(i, { operator: event.target.value as Filter["operator"] })}>
            {operators.map((one) => <option key={one}>{one}</option>)}
          </Select>
          {!filter.operator.startsWith("is") && (
            <Input aria-label="Value" className="w-48!" value={filter.value} onChange={(event) => change(i, { value: event.target.value })} />
          )}
          <IconButton label="Take the filter away" onClick={() => setDraft(draft.filter((_, k) => k !== i))}>
            <X aria-hidden />
          </IconButton>
        </div>
      ))}
      <div className="flex gap-2">
        <Button size="sm" look="quiet" onClick={() => setDraft([...draft, { column: details.columns[0].name, operator: "=", value: "" }])}>
          Add a condition
        </Button>
        <Button type="submit" size="sm" look="solid">
          Apply
        </Button>
      </div>
    </form>
  );
}
