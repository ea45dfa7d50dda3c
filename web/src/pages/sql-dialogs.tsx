// What opens beside the SQL editor: its history, saved queries, a moment of the past, a password that is not known here.
import clsx from "clsx";
import { Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useNotebook } from "@/sql/notebook";
import { Button, Field, IconButton, Input } from "@/ui/basics";
import { ago, localInput, milliseconds } from "@/ui/format";
import { Dialog, DialogActions } from "@/ui/overlays";

export function AskPassword({ role, onPassword }: { role: string; onPassword: (password: string) => void }) {
  const [text, setText] = useState("");
  function submit(event: FormEvent) {
    event.preventDefault();
    onPassword(text);
  }
  return (
    <form onSubmit={submit} className="flex flex-wrap items-center gap-2 border-b bg-warn-soft px-4 py-2 text-[13px] text-warn">
      <span>The password of {role} was set by SQL: only you know it.</span>
      <Input aria-label={`Password of ${role}`} type="password" className="h-8! w-48!" value={text} onChange={(event) => setText(event.target.value)} />
      <Button type="submit" size="sm">
        Use it
      </Button>
    </form>
  );
}

export function HistoryList({ runs, onPick, onClear }: { runs: ReturnType<typeof useNotebook>["runs"]; onPick: (sql: string) => void; onClear: () => void }) {
  const [filter, setFilter] = useState("");
  const shown = runs.filter((run) => run.sql.toLowerCase().includes(filter.toLowerCase()));
  if (runs.length === 0) return <p className="py-6 text-center text-sm text-muted">Nothing was run yet.</p>;
  return (
    <>
      <div className="mb-3 flex gap-2">
        <Input aria-label="Filter history" placeholder="Filter" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <Button onClick={onClear}>Clear</Button>
      </div>
      <ul className="space-y-1">
        {shown.map((run) => (
          <li key={run.at}>
            <button type="button" onClick={() => onPick(run.sql)} className="w-full rounded-lg px-3 py-2 text-left hover:bg-hover">
              <code className="line-clamp-2 font-mono text-xs break-all">{run.sql}</code>
              <span className={clsx("text-xs", run.error ? "text-bad" : "text-muted")}>
                {ago(run.at)} · {run.branch} · {run.database} · {run.error ? "failed" : milliseconds(run.milliseconds)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

export function SavedList({ notebook, text, onPick }: { notebook: ReturnType<typeof useNotebook>; text: () => string; onPick: (sql: string) => void }) {
  const [name, setName] = useState("");
  function submit(event: FormEvent) {
    event.preventDefault();
    notebook.save(name.trim(), text());
    setName("");
  }
  return (
    <>
      <form onSubmit={submit} className="mb-4 flex items-end gap-2">
        <Field label="Save what is in the editor as" className="flex-1">
          {(props) => <Input {...props} placeholder="Orders of today" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <Button type="submit" look="solid" disabled={name.trim() === "" || text().trim() === ""}>
          Save
        </Button>
      </form>
      <ul className="space-y-1">
        {notebook.saved.map((one) => (
          <li key={one.id} className="flex items-center gap-1">
            <button type="button" onClick={() => onPick(one.sql)} className="min-w-0 flex-1 rounded-lg px-3 py-2 text-left hover:bg-hover">
              <span className="block truncate text-sm font-medium">{one.name}</span>
              <code className="block truncate font-mono text-xs text-muted">{one.sql}</code>
            </button>
            <IconButton label={`Forget ${one.name}`} onClick={() => notebook.forget(one.id)}>
              <Trash2 aria-hidden />
            </IconButton>
          </li>
        ))}
      </ul>
      {notebook.saved.length === 0 && <p className="text-sm text-muted">None yet.</p>}
    </>
  );
}

export function MomentDialog({ open, onClose, onMoment }: { open: boolean; onClose: () => void; onMoment: (moment: string) => void }) {
  const [time, setTime] = useState(() => localInput(new Date(Date.now() - 60_000)));
  const [lsn, setLsn] = useState("");
  function submit(event: FormEvent) {
    event.preventDefault();
    onMoment(lsn.trim() ? `neon_lsn:${lsn.trim()}` : `neon_timestamp:${new Date(time).toISOString()}`);
    onClose();
  }
  return (
    <Dialog open={open} onOpenChange={onClose} title="Run at a moment of the past" description="Queries read the data as it was then. Nothing can be changed there.">
      <form onSubmit={submit} className="space-y-4">
        <Field label="Time" hint="In your time zone.">
          {(props) => <Input {...props} type="datetime-local" step={1} value={time} onChange={(event) => setTime(event.target.value)} />}
        </Field>
        <Field label="or LSN">
          {(props) => <Input {...props} className="font-mono" placeholder="0/1A2B3C4D" value={lsn} onChange={(event) => setLsn(event.target.value)} />}
        </Field>
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid">
            Go there
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
