// A table's rows, and changes to them that are reviewed as SQL before they are saved.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import clsx from "clsx";
import { ArrowDown, ArrowUp, ChevronLeft, ChevronRight, Filter as FilterIcon, Plus, Undo2, X } from "lucide-react";
import { useMemo, useState } from "react";
import { toast } from "sonner";
import { SqlError } from "@/sql/connection";
import { type HttpTarget, query, transaction } from "@/sql/http";
import type { Cell } from "@/sql/rows";
import type { TableInfo } from "@/sql/schema";
import { type Change, changeStatements, selectRows, type TableDetails, type View } from "@/sql/table-data";
import { Badge, Button, IconButton, Problem, Spinner } from "@/ui/basics";
import { Code } from "@/ui/code";
import { count } from "@/ui/format";
import { Confirm } from "@/ui/overlays";
import { ResultGrid } from "@/ui/result-grid";
import { CellEditor, Filters, RowMark } from "./table-parts";

const kPage = 100;

export function Data({ table, target, details }: { table: TableInfo; target: HttpTarget; details: TableDetails }) {
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
    // Changes are of rows as they were seen, by their place: none may come anew under them.
    enabled: edits.size === 0 && inserts.length === 0 && deletes.size === 0,
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
