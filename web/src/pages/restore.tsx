// Back to a moment: choose it, look before you leap, then leap; the old state is kept under a name.
import { useMutation } from "@tanstack/react-query";
import { Eye, GitCompare, History } from "lucide-react";
import { useMemo, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, useChange, useProject } from "@/api/queries";
import type { Branch, Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { Connection, type Result } from "@/sql/connection";
import { schemaText } from "@/sql/schema";
import { useSqlTarget } from "@/sql/use-target";
import { Button, Card, CardHead, Field, Input, Problem, Select, Skeleton, TextArea } from "@/ui/basics";
import { DiffView } from "@/ui/diff-view";
import { ago, localInput, moment, nameOfTime } from "@/ui/format";
import { NeedsCompute } from "@/ui/needs-compute";
import { Confirm } from "@/ui/overlays";
import { ResultGrid } from "@/ui/result-grid";

const isLsn = (text: string) => /^[0-9a-fA-F]{1,8}\/[0-9a-fA-F]{1,8}$/.test(text.trim());

export function RestorePage() {
  const { branch } = useCurrent();
  return (
    <>
      <PageHead title="Restore" hint={<>Set {branch?.name ?? "the branch"} back to any moment of its history. Connection strings stay, and so do open connections.</>} />
      <PageBody className="max-w-5xl">{branch ? <Restore key={branch.id} branch={branch} /> : <Skeleton className="h-60" />}</PageBody>
    </>
  );
}

function Restore({ branch }: { branch: Branch }) {
  const { project, branches } = useCurrent();
  const about = useProject(project).data;
  const [sourceId, setSource] = useState(branch.id);
  const source = branches?.find((one) => one.id === sourceId) ?? branch;
  const [now] = useState(() => Date.now());
  // History reaches down into the parent, as far as the project's window and its age.
  const oldest = Math.max(
    new Date(about?.created_at ?? branch.created_at).getTime(),
    now - (about?.history_retention_seconds ?? 604800) * 1000,
  );
  const [at, setAt] = useState(() => Math.max(oldest, now - Math.min(3600_000, (now - oldest) / 2)));
  const [lsn, setLsn] = useState("");
  const [asking, setAsking] = useState(false);
  const [keepAs, setKeepAs] = useState(() => `${branch.name}_before_restore_${nameOfTime(new Date())}`);
  const byLsn = lsn.trim() !== "";
  const wanted = byLsn ? `LSN ${lsn.trim()}` : moment(at);
  const restore = useChange(
    async () => {
      const answer = await http.post<{ operations: Operation[] }>(path`/projects/${project}/branches/${branch.id}/restore`, {
        source_branch_id: source.id,
        ...(byLsn ? { source_lsn: lsn.trim() } : { source_timestamp: new Date(at).toISOString() }),
        preserve_under_name: keepAs.trim(),
      });
      await finished(project, answer.operations);
    },
    () => toast.success(`${branch.name} is as it was at ${wanted}. What it was is kept as ${keepAs}.`),
  );
  return (
    <>
      <Card>
        <CardHead title="1. Choose the moment" hint={`From ${moment(oldest)} until now.`} />
        <div className="space-y-5 p-5">
          <div>
            <input
              type="range"
              aria-label="Moment"
              aria-valuetext={moment(at)}
              min={Math.floor(oldest / 1000)}
              max={Math.floor(now / 1000)}
              value={Math.floor(at / 1000)}
              onChange={(event) => {
                setLsn("");
                setAt(Number(event.target.value) * 1000);
              }}
              className="w-full accent-(--glow)"
            />
            <div className="flex justify-between text-xs text-muted">
              <span>{ago(oldest, now)}</span>
              <span className="font-medium text-ink">{byLsn ? wanted : `${moment(at)} · ${ago(at, now)}`}</span>
              <span>now</span>
            </div>
          </div>
          <div className="grid gap-4 sm:grid-cols-3">
            <Field label="Time" hint="In your time zone.">
              {(props) => (
                <Input
                  {...props}
                  type="datetime-local"
                  step={1}
                  value={localInput(new Date(at))}
                  onChange={(event) => {
                    const next = new Date(event.target.value).getTime();
                    if (!Number.isNaN(next)) setAt(next);
                    setLsn("");
                  }}
                />
              )}
            </Field>
            <Field label="or LSN" error={byLsn && !isLsn(lsn) ? "As 0/1A2B3C4D" : undefined}>
              {(props) => <Input {...props} className="font-mono" placeholder="0/1A2B3C4D" value={lsn} onChange={(event) => setLsn(event.target.value)} />}
            </Field>
            <Field label="Of branch" hint={source.id === branch.id ? undefined : `${branch.name} takes this branch's data.`}>
              {(props) => (
                <Select {...props} value={sourceId} onChange={(event) => setSource(event.target.value)}>
                  {branches?.map((one) => (
                    <option key={one.id} value={one.id}>
                      {one.name}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          </div>
        </div>
      </Card>
      <NeedsCompute>
        <Look key={source.id} source={source} moment={byLsn ? `neon_lsn:${lsn.trim()}` : `neon_timestamp:${new Date(at).toISOString()}`} shown={wanted} />
      </NeedsCompute>
      <Card>
        <CardHead title="3. Restore" />
        <div className="flex flex-wrap items-end gap-4 p-5">
          <Field label="Keep the present state as" className="min-w-60 flex-1" hint="A branch of this name has all that is there now.">
            {(props) => <Input {...props} value={keepAs} onChange={(event) => setKeepAs(event.target.value)} />}
          </Field>
          <Button
            look="solid"
            className="mb-5.5"
            icon={<History className="size-4" aria-hidden />}
            disabled={keepAs.trim() === "" || (byLsn && !isLsn(lsn))}
            onClick={() => setAsking(true)}
          >
            Restore {branch.name}
          </Button>
        </div>
      </Card>
      <Confirm open={asking} onOpenChange={setAsking} title={`Restore ${branch.name}`} action="Restore" onConfirm={() => restore.mutateAsync(undefined)}>
        <p>
          {branch.name} becomes as {source.name} was at <span className="font-medium text-ink">{wanted}</span>. What is under way in it is cut off. All that
          it holds now stays, in the branch <span className="font-medium text-ink">{keepAs}</span>.
        </p>
      </Confirm>
    </>
  );
}

// A read-only query at the moment, and what of the schema differs from now.
function Look({ source, moment: at, shown }: { source: Branch; moment: string; shown: string }) {
  const { endpoints } = useCurrent();
  const endpoint = endpoints?.find((one) => one.branch_id === source.id);
  const [database, setDatabase] = useState("");
  const sql = useSqlTarget(database || undefined);
  const [text, setText] = useState("SELECT count(*) FROM pg_class;");
  const target = useMemo(() => (sql.target && endpoint ? { ...sql.target, endpoint: endpoint.id } : undefined), [sql.target, endpoint]);
  const look = useMutation({
    mutationFn: async (): Promise<Result> => {
      const connection = await Connection.open({ ...target!, moment: at });
      try {
        return await connection.run(text);
      } finally {
        connection.close();
      }
    },
  });
  const compare = useMutation({
    mutationFn: async () => {
      const [then, present] = await Promise.all([schemaText({ ...target!, moment: at }), schemaText(target!)]);
      return { then, present };
    },
  });
  return (
    <Card>
      <CardHead title="2. Look before you leap" hint={`A read-only look at ${source.name} as it was at ${shown}.`}>
        <Select aria-label="Database" className="max-w-44" value={sql.database} onChange={(event) => setDatabase(event.target.value)}>
          {sql.databases?.map((one) => <option key={one.name}>{one.name}</option>)}
        </Select>
      </CardHead>
      <div className="space-y-4 p-5">
        <TextArea aria-label="Query" className="font-mono text-[13px]" value={text} onChange={(event) => setText(event.target.value)} />
        <div className="flex flex-wrap gap-2">
          <Button size="sm" busy={look.isPending} disabled={!target} icon={<Eye className="size-4" aria-hidden />} onClick={() => look.mutate()}>
            Run at that moment
          </Button>
          <Button size="sm" busy={compare.isPending} disabled={!target} icon={<GitCompare className="size-4" aria-hidden />} onClick={() => compare.mutate()}>
            Compare the schema with now
          </Button>
        </div>
        {sql.passwordMissing && <p className="text-[13px] text-warn">The password of {sql.role} is not known here: reset it to look.</p>}
        {look.error && <Problem error={look.error} />}
        {look.data && (
          <div className="overflow-hidden rounded-lg border">
            <ResultGrid columns={look.data.columns} rows={look.data.rows} height={Math.min(320, 40 + look.data.rows.length * 30)} />
          </div>
        )}
        {compare.error && <Problem error={compare.error} />}
        {compare.data && <DiffView before={compare.data.then} after={compare.data.present} beforeName={`At ${shown}`} afterName="Now" />}
      </div>
    </Card>
  );
}
