// When snapshots of a branch are taken by themselves, and how long they stay.
import { useQuery } from "@tanstack/react-query";
import { CalendarClock, Plus, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { scheduleQuery, useChange } from "@/api/queries";
import type { Branch, ScheduleItem } from "@/api/types";
import { Button, Card, CardHead, IconButton, Problem, Select, Skeleton } from "@/ui/basics";

const frequencies: { value: ScheduleItem["frequency"]; name: string }[] = [
  { value: "hourly", name: "every hour" },
  { value: "daily", name: "every day" },
  { value: "weekly", name: "every week" },
  { value: "monthly", name: "every month" },
  { value: "yearly", name: "every year" },
];
const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const lifetimes = [
  { value: 0, name: "keep for ever" },
  { value: 86400, name: "keep for a day" },
  { value: 7 * 86400, name: "keep for a week" },
  { value: 30 * 86400, name: "keep for 30 days" },
  { value: 365 * 86400, name: "keep for a year" },
];

const kMostItems = 32;
const usual: ScheduleItem = { frequency: "daily", hour: 3, retention_seconds: 7 * 86400 };

export function ScheduleCard({ project, branch }: { project: string; branch: Branch }) {
  const schedule = useQuery(scheduleQuery(project, branch.id));
  return (
    <Card>
      <CardHead title={`Schedule of ${branch.name}`} hint="Snapshots that are taken by themselves. Times are in UTC." />
      {schedule.error ? (
        <Problem error={schedule.error} className="m-4" retry={() => void schedule.refetch()} />
      ) : !schedule.data ? (
        <Skeleton className="m-5 h-10" />
      ) : (
        <ScheduleForm key={JSON.stringify(schedule.data)} project={project} branch={branch} saved={schedule.data} />
      )}
    </Card>
  );
}

function ScheduleForm({ project, branch, saved }: { project: string; branch: Branch; saved: ScheduleItem[] }) {
  const [items, setItems] = useState(saved);
  const save = useChange(
    () => http.put(path`/projects/${project}/branches/${branch.id}/backup_schedule`, { schedule: items }),
    () => toast.success(items.length === 0 ? `Nothing is taken of ${branch.name} by itself any more.` : "Saved. It counts from now on."),
  );
  const change = (index: number, next: ScheduleItem) => setItems(items.map((one, i) => (i === index ? next : one)));
  const changed = JSON.stringify(items) !== JSON.stringify(saved);
  function submit(event: FormEvent) {
    event.preventDefault();
    save.mutate(undefined);
  }
  return (
    <form onSubmit={submit}>
      {items.length === 0 && <p className="px-5 pt-5 text-sm text-muted">Nothing is taken by itself.</p>}
      <ul>
        {items.map((item, index) => (
          <li key={index} className="flex flex-wrap items-center gap-2 border-b px-4 py-3 sm:px-5">
            <CalendarClock className="size-4 text-muted max-sm:hidden" aria-hidden />
            <Item item={item} onChange={(next) => change(index, next)} />
            <IconButton label={`Remove line ${index + 1}`} className="ml-auto" onClick={() => setItems(items.filter((_, i) => i !== index))}>
              <Trash2 aria-hidden />
            </IconButton>
          </li>
        ))}
      </ul>
      {save.error && <Problem error={save.error} className="mx-5 mt-4" />}
      <div className="flex items-center justify-between gap-3 px-4 py-4 sm:px-5">
        <Button size="sm" icon={<Plus className="size-4" aria-hidden />} disabled={items.length >= kMostItems} onClick={() => setItems([...items, usual])}>
          Add a time
        </Button>
        <Button type="submit" look="solid" size="sm" busy={save.isPending} disabled={!changed}>
          Save schedule
        </Button>
      </div>
    </form>
  );
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const small = "h-8! w-auto! text-[13px]!";

// What a frequency does not know is left out.
function Item({ item, onChange }: { item: ScheduleItem; onChange: (next: ScheduleItem) => void }) {
  const { frequency, retention_seconds } = item;
  const hour = item.hour ?? 0;
  const day = item.day ?? 1;
  const month = item.month ?? 1;
  const become = (next: ScheduleItem["frequency"]) =>
    onChange({
      frequency: next,
      ...(next !== "hourly" && { hour }),
      ...(next === "weekly" && { day: Math.min(day, 7) }),
      ...((next === "monthly" || next === "yearly") && { day }),
      ...(next === "yearly" && { month }),
      ...(retention_seconds && { retention_seconds }),
    });
  const listed = lifetimes.some((one) => one.value === (retention_seconds ?? 0))
    ? lifetimes
    : [...lifetimes, { value: retention_seconds!, name: `keep for ${Math.round(retention_seconds! / 3600)} hours` }];
  return (
    <>
      <Select aria-label="How often" className={small} value={frequency} onChange={(event) => become(event.target.value as ScheduleItem["frequency"])}>
        {frequencies.map((one) => (
          <option key={one.value} value={one.value}>
            {one.name}
          </option>
        ))}
      </Select>
      {frequency === "yearly" && (
        <Select aria-label="Month" className={small} value={month} onChange={(event) => onChange({ ...item, month: Number(event.target.value) })}>
          {months.map((name, i) => (
            <option key={name} value={i + 1}>
              in {name}
            </option>
          ))}
        </Select>
      )}
      {frequency === "weekly" && (
        <Select aria-label="Day" className={small} value={day} onChange={(event) => onChange({ ...item, day: Number(event.target.value) })}>
          {weekdays.map((name, i) => (
            <option key={name} value={i + 1}>
              on {name}
            </option>
          ))}
        </Select>
      )}
      {(frequency === "monthly" || frequency === "yearly") && (
        <Select aria-label="Day" className={small} value={day} onChange={(event) => onChange({ ...item, day: Number(event.target.value) })}>
          {range(1, 31).map((one) => (
            <option key={one} value={one}>
              on day {one}
            </option>
          ))}
        </Select>
      )}
      {frequency !== "hourly" && (
        <Select aria-label="Hour" className={small} value={hour} onChange={(event) => onChange({ ...item, hour: Number(event.target.value) })}>
          {range(0, 23).map((one) => (
            <option key={one} value={one}>
              at {String(one).padStart(2, "0")}:00
            </option>
          ))}
        </Select>
      )}
      <Select
        aria-label="How long they stay"
        className={small}
        value={retention_seconds ?? 0}
        onChange={(event) => {
          const { retention_seconds: _, ...rest } = item;
          const next = Number(event.target.value);
          onChange(next === 0 ? rest : { ...rest, retention_seconds: next });
        }}
      >
        {listed.map((one) => (
          <option key={one.value} value={one.value}>
            {one.name}
          </option>
        ))}
      </Select>
    </>
  );
}
