// What a statement came to: rows, a plan, a tag, an error.
import { Download } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { type Result, SqlError } from "@/sql/connection";
import { csv, download, json } from "@/sql/export";
import type { Column, Rows } from "@/sql/rows";
import { Button, Spinner } from "@/ui/basics";
import { count, milliseconds } from "@/ui/format";
import { MenuContent, MenuItem } from "@/ui/overlays";
import { ResultGrid } from "@/ui/result-grid";
import { parsePlan, PlanTree } from "./explain";

export interface Outcome {
  id: number;
  sql: string;
  state: "running" | "done" | "failed";
  result?: Result;
  live?: { rows: Rows; columns: Column[]; version: number };
  plan?: ReturnType<typeof parsePlan>;
  error?: SqlError;
}

export function Results({ outcome, waking }: { outcome: Outcome | undefined; waking: boolean }) {
  if (!outcome)
    return <p className="m-auto px-6 text-center text-sm text-muted">Results come here. Sessions last: settings, temporary tables and transactions stay while this page is open.</p>;
  if (outcome.state === "failed") return <Failure error={outcome.error!} />;
  if (outcome.state === "running")
    return outcome.live ? (
      <>
        <div className="min-h-0 flex-1">
          <ResultGrid columns={outcome.live.columns} rows={outcome.live.rows} version={outcome.live.version} />
        </div>
        <Foot>
          <Spinner /> {count(outcome.live.rows.length)} rows so far
        </Foot>
      </>
    ) : (
      <p className="m-auto flex items-center gap-2 text-sm text-muted" role="status">
        <Spinner /> {waking ? "Waking the compute…" : "Running…"}
      </p>
    );
  return <Done key={outcome.id} outcome={outcome} />;
}

function Done({ outcome }: { outcome: Outcome }) {
  const result = outcome.result!;
  const [saving, setSaving] = useState(false);
  async function save(format: "csv" | "json") {
    setSaving(true);
    if (format === "csv") download("result.csv", "text/csv", await csv(result.columns, result.rows));
    else download("result.json", "application/json", await json(result.columns, result.rows));
    setSaving(false);
  }
  return (
    <>
      <div className="min-h-0 flex-1">
        {outcome.plan ? (
          <PlanTree plan={outcome.plan} />
        ) : result.columns.length > 0 ? (
          <ResultGrid columns={result.columns} rows={result.rows} />
        ) : (
          <p className="p-4 font-mono text-[13px]">{result.tag || "Done"}</p>
        )}
      </div>
      {result.notices.length > 0 && (
        <pre className="scroll-thin max-h-24 shrink-0 overflow-auto border-t px-4 py-2 font-mono text-xs text-muted" tabIndex={0}>
          {result.notices.join("\n")}
        </pre>
      )}
      <Foot>
        <span className="tabular" data-testid="result-summary">
          {result.columns.length > 0 ? `${count(result.rows.length)} ${result.rows.length === 1 ? "row" : "rows"}` : result.tag} in {milliseconds(result.milliseconds)}
        </span>
        {result.columns.length > 0 && (
          <DropdownMenu.Root modal={false}>
            <DropdownMenu.Trigger asChild>
              <Button size="sm" look="quiet" className="ml-auto h-7!" busy={saving} icon={<Download className="size-3.5" aria-hidden />}>
                Export
              </Button>
            </DropdownMenu.Trigger>
            <MenuContent align="end">
              <MenuItem onSelect={() => void save("csv")}>CSV</MenuItem>
              <MenuItem onSelect={() => void save("json")}>JSON</MenuItem>
            </MenuContent>
          </DropdownMenu.Root>
        )}
      </Foot>
    </>
  );
}

function Foot({ children }: { children: React.ReactNode }) {
  return <div className="flex h-9 shrink-0 items-center gap-2 border-t bg-sunken px-4 text-xs text-muted">{children}</div>;
}

function Failure({ error }: { error: SqlError }) {
  const { detail, hint, code, where } = error.fields;
  return (
    <div role="alert" className="scroll-thin m-3 space-y-1.5 overflow-auto rounded-lg bg-bad-soft p-4 text-sm text-bad" data-testid="sql-error">
      <p className="font-medium break-words">
        {error.fields.severity ?? "Error"}: {error.message}
      </p>
      {detail && <p>{detail}</p>}
      {hint && <p>Hint: {hint}</p>}
      {where && <p className="font-mono text-xs whitespace-pre-wrap">{where}</p>}
      {code && <p className="font-mono text-xs">SQLSTATE {code}</p>}
    </div>
  );
}
