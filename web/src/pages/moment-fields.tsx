// Of which moment: now, a time, or an LSN.
import { Field, Input, Select } from "@/ui/basics";
import { localInput } from "@/ui/format";

export interface Moment {
  kind: "now" | "time" | "lsn";
  time: string; // As datetime-local has it.
  lsn: string;
}

export const now = (): Moment => ({ kind: "now", time: localInput(new Date()), lsn: "" });

export const momentMissing = (at: Moment) => (at.kind === "lsn" && at.lsn.trim() === "") || (at.kind === "time" && at.time === "");

export function MomentFields({ value, onChange }: { value: Moment; onChange: (next: Moment) => void }) {
  return (
    <div className="grid gap-4 sm:grid-cols-2 sm:gap-3">
      <Field label="With its data">
        {(props) => (
          <Select {...props} value={value.kind} onChange={(event) => onChange({ ...value, kind: event.target.value as Moment["kind"] })}>
            <option value="now">as it is now</option>
            <option value="time">as of a time</option>
            <option value="lsn">as of an LSN</option>
          </Select>
        )}
      </Field>
      {value.kind === "time" && (
        <Field label="Time" hint="In your time zone. What was committed by then is there.">
          {(props) => (
            <Input {...props} type="datetime-local" step={1} value={value.time} onChange={(event) => onChange({ ...value, time: event.target.value })} />
          )}
        </Field>
      )}
      {value.kind === "lsn" && (
        <Field label="LSN" hint="As pg_current_wal_lsn() tells it.">
          {(props) => (
            <Input
              {...props}
              className="font-mono"
              placeholder="0/1A2B3C4D"
              value={value.lsn}
              onChange={(event) => onChange({ ...value, lsn: event.target.value })}
            />
          )}
        </Field>
      )}
    </div>
  );
}
