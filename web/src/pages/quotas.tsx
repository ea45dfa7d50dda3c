// What a project may use in a month, and what of it is used.
import clsx from "clsx";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { useChange } from "@/api/queries";
import type { Quota, WholeProject } from "@/api/types";
import { Card, CardHead, Field, Input } from "@/ui/basics";
import { bytes, seconds } from "@/ui/format";
import { Save } from "./settings-parts";

interface Limit {
  key: keyof Quota;
  name: string;
  unit: string;
  size: number; // Of the unit, in what the API counts.
  used?: (project: WholeProject) => number;
  shown: (value: number) => string;
}

const kHour = 3600;
const kGiga = 1024 ** 3;
const limits: Limit[] = [
  { key: "compute_time_seconds", name: "Compute time", unit: "hours of a whole unit", size: kHour, used: (one) => one.compute_time_seconds, shown: seconds },
  { key: "active_time_seconds", name: "Active time", unit: "hours awake", size: kHour, used: (one) => one.active_time_seconds, shown: seconds },
  { key: "written_data_bytes", name: "Written", unit: "GB", size: kGiga, used: (one) => one.written_data_bytes, shown: bytes },
  { key: "data_transfer_bytes", name: "Sent to clients", unit: "GB", size: kGiga, used: (one) => one.data_transfer_bytes, shown: bytes },
  { key: "logical_size_bytes", name: "Size of a branch", unit: "GB", size: kGiga, shown: bytes },
];

const asText = (quota: Quota, limit: Limit) => (quota[limit.key] ? String(Number((quota[limit.key]! / limit.size).toFixed(3))) : "");

export function Quotas({ project }: { project: WholeProject }) {
  const saved = project.settings?.quota ?? {};
  const [texts, setTexts] = useState(() => limits.map((limit) => asText(saved, limit)));
  const save = useChange(
    () => {
      // 0: none.
      const quota = Object.fromEntries(limits.map((limit, i) => [limit.key, Math.round(Number(texts[i].replace(",", ".")) * limit.size)]));
      return http.patch(path`/projects/${project.id}`, { project: { settings: { quota } } });
    },
    () => toast.success("Saved."),
  );
  const wrong = texts.map((text) => !(Number(text.replace(",", ".")) >= 0));
  const changed = limits.some((limit, i) => asText(saved, limit) !== texts[i].trim());
  function submit(event: FormEvent) {
    event.preventDefault();
    save.mutate(undefined);
  }
  return (
    <Card>
      <CardHead title="Usage and quotas" hint="By calendar month, in UTC. Past a quota computes are suspended until it is raised; a branch that is too large can only be read and emptied." />
      <form onSubmit={submit} className="space-y-4 p-5">
        <div className="grid gap-x-4 gap-y-5 sm:grid-cols-2">
          {limits.map((limit, i) => (
            <div key={limit.key}>
              <Field label={`${limit.name}, ${limit.unit}`} error={wrong[i] ? "A number, or empty: no quota." : undefined}>
                {(props) => (
                  <Input
                    {...props}
                    inputMode="decimal"
                    placeholder="No quota"
                    value={texts[i]}
                    onChange={(event) => setTexts(texts.map((text, k) => (k === i ? event.target.value : text)))}
                  />
                )}
              </Field>
              {limit.used && <Used used={limit.used(project)} quota={saved[limit.key] ?? 0} shown={limit.shown} />}
            </div>
          ))}
        </div>
        <Save busy={save.isPending} error={save.error} disabled={!changed || wrong.includes(true)} />
      </form>
    </Card>
  );
}

function Used({ used, quota, shown }: { used: number; quota: number; shown: (value: number) => string }) {
  const share = quota > 0 ? Math.min(1, used / quota) : 0;
  return (
    <div className="mt-2">
      {quota > 0 && (
        <div className="mb-1 h-1.5 overflow-hidden rounded-full bg-hover" aria-hidden>
          <div className={clsx("h-full rounded-full", share >= 1 ? "bg-bad" : share > 0.8 ? "bg-warn" : "bg-glow")} style={{ width: `${share * 100}%` }} />
        </div>
      )}
      <p className="tabular text-xs text-muted">
        {shown(used)} {quota > 0 && `of ${shown(quota)} `}this month
      </p>
    </div>
  );
}
