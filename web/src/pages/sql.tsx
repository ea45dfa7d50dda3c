// The SQL editor.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import clsx from "clsx";
import { Bookmark, Clock, History, ListTree, Play, Square, X } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useCompute, useCurrent } from "@/shell/current";
import { PageHead } from "@/shell/project-layout";
import { Connection, SqlError, type TransactionState } from "@/sql/connection";
import type { EditorHandle } from "@/sql/editor";
import { useNotebook } from "@/sql/notebook";
import { type Span, split, statementAt } from "@/sql/split";
import { useTables } from "@/sql/use-tables";
import { useSqlTarget } from "@/sql/use-target";
import { Badge, Button, IconButton, Kbd, Problem, Select, Spinner, Tip } from "@/ui/basics";
import { moment as shownMoment } from "@/ui/format";
import { NeedsCompute } from "@/ui/needs-compute";
import { Dialog, MenuContent, MenuItem } from "@/ui/overlays";
import { parsePlan } from "./explain";
import { Outcome, Results } from "./sql-results";
import { AskPassword, HistoryList, SavedList, MomentDialog } from "./sql-dialogs";

const Editor = lazy(() => import("@/sql/editor"));

let outcomes = 0;

export function SqlPage() {
  const { project, branch } = useCurrent();
  if (!branch) return <PageHead title="SQL Editor" />;
  return (
    <NeedsCompute>
      <Sheet key={`${project}/${branch.id}`} project={project} branch={branch.id} branchName={branch.name} />
    </NeedsCompute>
  );
}

function Sheet({ project, branch, branchName }: { project: string; branch: string; branchName: string }) {
  const search = useSearch({ from: "/projects/$project/sql" });
  const navigate = useNavigate();
  const client = useQueryClient();
  const sql = useSqlTarget(search.database);
  const { state } = useCompute(project, sql.target?.endpoint);
  const notebook = useNotebook(project);
  const editor = useRef<EditorHandle>(null);
  const [typedPassword, setTypedPassword] = useState("");
  const [moment, setMoment] = useState<string | undefined>();
  const [shown, setShown] = useState<Outcome[]>([]);
  const [chosen, setChosen] = useState(0);
  const [running, setRunning] = useState(false);
  const [transaction, setTransaction] = useState<TransactionState>("idle");
  const [dialog, setDialog] = useState<"history" | "saved" | "save" | "moment" | null>(null);
  const connection = useRef<Connection | null>(null);
  const stopped = useRef(false);
  const { endpoint } = useCurrent();
  const target = useMemo(() => {
    if (sql.target) return { ...sql.target, moment };
    if (typedPassword && endpoint && sql.role)
      return { host: endpoint.host, endpoint: endpoint.id, database: sql.database, role: sql.role, password: typedPassword, moment };
    return undefined;
  }, [sql.target, moment, typedPassword, endpoint, sql.role, sql.database]);
  const targetKey = target ? `${target.endpoint} ${target.database} ${target.role} ${target.moment ?? ""}` : "";
  const tables = useTables(project, target);

  const schema = useMemo(() => {
    if (!tables.data) return undefined;
    const all: Record<string, Record<string, string[]>> = {};
    for (const table of tables.data) (all[table.schema] ??= {})[table.name] = table.columns;
    return all;
  }, [tables.data]);

  // Another database, role, or moment: another session.
  useEffect(
    () => () => {
      connection.current?.close();
      connection.current = null;
      setTransaction("idle");
    },
    [targetKey],
  );

  const session = useCallback(async () => {
    if (connection.current && !connection.current.closed) return connection.current;
    const opened = await Connection.open(target!);
    opened.onChange = () => setTransaction(opened.closed ? "idle" : opened.transaction);
    connection.current = opened;
    return opened;
  }, [target]);

  const update = (id: number, change: Partial<Outcome>) =>
    setShown((before) => before.map((one) => (one.id === id ? { ...one, ...change } : one)));

  async function runOne(open: Connection, outcome: Outcome, span: Span): Promise<boolean> {
    let frame = 0;
    let version = 0;
    try {
      const result = await open.run(span.text, (rows, columns) => {
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          update(outcome.id, { live: { rows, columns, version: ++version } });
        });
      });
      cancelAnimationFrame(frame);
      const plan = /^\s*explain\b/i.test(span.text) && result.rows.length > 0 ? parsePlan(result.rows.at(0)[0] ?? "") : undefined;
      update(outcome.id, { state: "done", result, plan, live: undefined });
      return true;
    } catch (problem) {
      cancelAnimationFrame(frame);
      const error = problem instanceof SqlError ? problem : new SqlError(String(problem));
      update(outcome.id, { state: "failed", error });
      if (error.position) {
        // Postgres counts characters, JavaScript halves of surrogate pairs.
        const before = Array.from(span.text).slice(0, error.position - 1).join("").length;
        const word = /^[\w"$.]+/.exec(span.text.slice(before))?.[0].length ?? 1;
        editor.current?.mark(span.from + before, span.from + before + word, error.message);
      }
      return false;
    }
  }

  async function run(spans: Span[], wrap?: (text: string) => string) {
    if (!target || running || spans.length === 0) return;
    editor.current?.mark(0, 0, "");
    stopped.current = false;
    setRunning(true);
    const began = performance.now();
    const first: Outcome = { id: ++outcomes, sql: spans[0].text, state: "running" };
    setShown([first]);
    setChosen(0);
    let error: string | undefined;
    try {
      const open = await session();
      for (let i = 0; i < spans.length && !stopped.current; i++) {
        const outcome = i === 0 ? first : { id: ++outcomes, sql: spans[i].text, state: "running" as const };
        if (i > 0) {
          setShown((before) => [...before, outcome]);
          setChosen(i);
        }
        const span = wrap ? { ...spans[i], text: wrap(spans[i].text) } : spans[i];
        if (!(await runOne(open, outcome, span))) {
          error = "failed";
          break;
        }
      }
    } catch (problem) {
      error = problem instanceof Error ? problem.message : String(problem);
      update(first.id, { state: "failed", error: problem instanceof SqlError ? problem : new SqlError(error) });
    }
    setRunning(false);
    const text = spans.map((span) => span.text).join(";\n");
    notebook.addRun({ sql: text, at: Date.now(), database: target.database, branch: branchName, milliseconds: performance.now() - began, error });
    if (/\b(create|drop|alter|rename)\b/i.test(text)) void client.invalidateQueries({ queryKey: ["sql"] });
  }

  function runText() {
    const handle = editor.current;
    if (!handle) return;
    const { from, to } = handle.selection();
    const offset = from === to ? 0 : from;
    const text = from === to ? handle.text() : handle.text().slice(from, to);
    void run(split(text).map((span) => ({ ...span, from: span.from + offset, to: span.to + offset })));
  }

  // What changes data is undone again: only its plan is wanted.
  async function explain(analyze: boolean) {
    const handle = editor.current;
    if (!handle || !target || running) return;
    const { from, to } = handle.selection();
    const span = from === to ? statementAt(handle.text(), from) : split(handle.text().slice(from, to)).map((one) => ({ ...one, from: one.from + from }))[0];
    if (!span) return;
    const options = analyze ? "ANALYZE, BUFFERS, FORMAT JSON" : "FORMAT JSON";
    const open = await session().catch(() => null);
    const nested = open?.transaction === "open";
    if (analyze && open && !open.closed) await open.run(nested ? "SAVEPOINT explain_of_console" : "BEGIN").catch(() => null);
    await run([{ ...span, text: span.text }], (text) => `EXPLAIN (${options}) ${text}`);
    if (analyze && open && !open.closed) await open.run(nested ? "ROLLBACK TO explain_of_console; RELEASE explain_of_console" : "ROLLBACK").catch(() => null);
  }

  function stop() {
    stopped.current = true;
    connection.current?.cancel();
  }

  const current = shown[Math.min(chosen, shown.length - 1)];
  return (
    <div className="flex h-[calc(100dvh-3.5rem)] flex-col lg:h-dvh">
      <h1 className="sr-only">SQL Editor</h1>
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-2 sm:px-4">
        <Button
          look="solid"
          size="sm"
          disabled={!target}
          icon={running ? <Square className="size-3.5" aria-hidden /> : <Play className="size-3.5" aria-hidden />}
          onClick={running ? stop : runText}
        >
          {running ? "Cancel" : "Run"}
        </Button>
        <Tip text="Runs the selection, or all">
          <span className="max-md:hidden">
            <Kbd>{navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl"} Enter</Kbd>
          </span>
        </Tip>
        <DropdownMenu.Root modal={false}>
          <DropdownMenu.Trigger asChild>
            <Button size="sm" look="quiet" disabled={!target || running} icon={<ListTree className="size-4" aria-hidden />}>
              Explain
            </Button>
          </DropdownMenu.Trigger>
          <MenuContent>
            <MenuItem onSelect={() => void explain(true)}>Analyze: run it, and undo</MenuItem>
            <MenuItem onSelect={() => void explain(false)}>Estimate: do not run it</MenuItem>
          </MenuContent>
        </DropdownMenu.Root>
        <Select
          aria-label="Database"
          className="h-8! w-auto! max-w-40 text-[13px]!"
          value={sql.database}
          onChange={(event) => void navigate({ to: ".", search: (before: object) => ({ ...before, database: event.target.value }), replace: true })}
        >
          {sql.databases?.map((one) => <option key={one.name}>{one.name}</option>)}
        </Select>
        <Select aria-label="Role" className="h-8! w-auto! max-w-40 text-[13px]!" value={sql.role} onChange={(event) => sql.setRole(event.target.value)}>
          {sql.roles?.map((one) => <option key={one.name}>{one.name}</option>)}
        </Select>
        {transaction !== "idle" && (
          <Badge tone={transaction === "failed" ? "bad" : "warn"}>{transaction === "failed" ? "transaction failed: roll back" : "transaction open"}</Badge>
        )}
        <div className="ml-auto flex items-center gap-0.5">
          {moment ? (
            <Badge tone="info" className="h-7">
              <Clock className="size-3.5" aria-hidden />
              as of {moment.startsWith("neon_lsn:") ? moment.slice(9) : shownMoment(moment.slice(15))}
              <button type="button" aria-label="Back to now" onClick={() => setMoment(undefined)}>
                <X className="size-3.5" aria-hidden />
              </button>
            </Badge>
          ) : (
            <IconButton label="Run at a moment of the past" onClick={() => setDialog("moment")}>
              <Clock aria-hidden />
            </IconButton>
          )}
          <IconButton label="Saved queries" onClick={() => setDialog("saved")}>
            <Bookmark aria-hidden />
          </IconButton>
          <IconButton label="History" onClick={() => setDialog("history")}>
            <History aria-hidden />
          </IconButton>
        </div>
      </div>
      {sql.error !== null && sql.error !== undefined && <Problem error={sql.error} className="m-3" />}
      {sql.passwordMissing && !typedPassword && <AskPassword role={sql.role} onPassword={setTypedPassword} />}
      <div className="h-[38%] min-h-28 shrink-0 border-b bg-surface" data-testid="editor">
        <Suspense fallback={<div className="flex h-full items-center justify-center"><Spinner /></div>}>
          <Editor handle={editor} initial={notebook.text()} schema={schema} onChange={notebook.keepText} onRun={runText} />
        </Suspense>
      </div>
      <div className="flex min-h-0 flex-1 flex-col">
        {shown.length > 1 && (
          <div role="tablist" aria-label="Results" className="scroll-thin flex shrink-0 gap-1 overflow-x-auto border-b px-2 py-1.5">
            {shown.map((one, i) => (
              <button
                key={one.id}
                type="button"
                role="tab"
                aria-selected={i === chosen}
                onClick={() => setChosen(i)}
                className={clsx(
                  "max-w-52 shrink-0 truncate rounded-md px-2 py-1 font-mono text-xs",
                  i === chosen ? "bg-hover text-ink" : "text-muted hover:bg-hover",
                  one.state === "failed" && "text-bad",
                )}
              >
                {i + 1}. {one.sql.replace(/\s+/g, " ").slice(0, 40)}
              </button>
            ))}
          </div>
        )}
        <Results outcome={current} waking={running && state !== "active"} />
      </div>
      <Dialog open={dialog === "history"} onOpenChange={() => setDialog(null)} title="History" description="What was run here, in this browser. A click brings it back." wide>
        <HistoryList
          runs={notebook.runs}
          onPick={(text) => {
            editor.current?.set(text);
            setDialog(null);
          }}
          onClear={notebook.clearRuns}
        />
      </Dialog>
      <Dialog open={dialog === "saved"} onOpenChange={() => setDialog(null)} title="Saved queries" description="Kept in this browser, for this project.">
        <SavedList
          notebook={notebook}
          text={() => editor.current?.text() ?? ""}
          onPick={(text) => {
            editor.current?.set(text);
            setDialog(null);
          }}
        />
      </Dialog>
      <MomentDialog open={dialog === "moment"} onClose={() => setDialog(null)} onMoment={setMoment} />
      <span hidden data-branch={branch} />
    </div>
  );
}
