// Where a branch's bytes are: its own, those that it shares with its ancestors, and those of the past.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { projectOverviewQuery, useProject } from "@/api/queries";
import { useCurrent } from "@/shell/current";
import { Card, CardHead } from "@/ui/basics";
import { bytes, plural, seconds } from "@/ui/format";

export function StorageCard() {
  const { project, branches, branch } = useCurrent();
  const overview = useQuery(projectOverviewQuery(project)).data;
  const about = useProject(project).data;
  const here = overview?.branches.find((one) => one.branch_id === branch?.id);
  const all = overview?.branches.reduce((sum, one) => sum + (one.own_bytes ?? 0), 0);
  const history = Math.min(here?.history_bytes ?? 0, here?.own_bytes ?? 0);
  const present = (here?.own_bytes ?? 0) - history;
  const shared = here?.shared_bytes ?? 0;
  const whole = present + history + shared;
  return (
    <Card className="flex h-full flex-col">
      <CardHead title="Storage" hint={`History of ${window(about?.history_retention_seconds)} for restores and branches.`} />
      <div className="flex flex-1 flex-col px-5 py-5">
        <div className="flex items-baseline justify-between gap-3">
          <span className="text-[13px] text-muted">Data of {branch?.name}, as Postgres sees it</span>
          <span className="tabular shrink-0 font-semibold">{bytes(here?.logical_bytes)}</span>
        </div>
        <div className="mt-4 flex h-2 gap-px overflow-hidden rounded-full bg-hover" aria-hidden>
          {whole > 0 && (
            <>
              <Part share={present / whole} className="bg-glow" />
              <Part share={history / whole} className="bg-(--chart-2)" />
              <Part share={shared / whole} className="bg-line-strong" />
            </>
          )}
        </div>
        <dl className="mt-3 space-y-1.5 text-[13px]">
          <Line dot="bg-glow" name={branch?.parent_id ? "Own: what it changed" : "Own"}>
            {bytes(here && present)}
          </Line>
          <Line dot="bg-(--chart-2)" name="History: versions that newer ones superseded">
            {bytes(here && history)}
          </Line>
          <Line dot="bg-line-strong" name={branch?.parent_id ? "Shared with its ancestors: free" : "Shared: what each project begins with"}>
            {bytes(here && shared)}
          </Line>
        </dl>
        <p className="mt-auto pt-3 text-xs text-muted">
          {bytes(all)} in {plural(branches?.length ?? 0, "branch")}, compressed
        </p>
      </div>
    </Card>
  );
}

const window = (value = 604800) => (value % 86400 === 0 ? `${value / 86400} ${value === 86400 ? "day" : "days"}` : seconds(value));

function Part({ share, className }: { share: number; className: string }) {
  return <div className={`h-full transition-[width] duration-500 ${className}`} style={{ width: `${share * 100}%` }} />;
}

function Line({ dot, name, children }: { dot: string; name: string; children: ReactNode }) {
  return (
    <div className="flex items-center gap-2">
      <span className={`size-2 shrink-0 rounded-full ${dot}`} aria-hidden />
      <dt className="min-w-0 flex-1 text-muted">{name}</dt>
      <dd className="tabular font-medium">{children}</dd>
    </div>
  );
}
