// Taking, naming and deleting snapshots.
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, useChange } from "@/api/queries";
import type { Answer, Branch, Snapshot } from "@/api/types";
import { Button, Field, Input, Problem, Select } from "@/ui/basics";
import { moment } from "@/ui/format";
import { Confirm, Dialog, DialogActions } from "@/ui/overlays";
import { BranchSelect } from "./branch-select";
import { MomentFields, type Moment, momentMissing, now } from "./moment-fields";

const lifetimes = [
  { seconds: 0, name: "until I delete it" },
  { seconds: 86400, name: "for a day" },
  { seconds: 7 * 86400, name: "for a week" },
  { seconds: 30 * 86400, name: "for 30 days" },
  { seconds: 365 * 86400, name: "for a year" },
];

interface TakeProps {
  project: string;
  branches: Branch[];
  branch: Branch;
  onClose: () => void;
}

export function TakeSnapshot({ project, branches, branch, onClose }: TakeProps) {
  const [name, setName] = useState("");
  const [branchId, setBranch] = useState(branch.id);
  const [at, setAt] = useState<Moment>(now);
  const [lifetime, setLifetime] = useState(0);
  const take = useChange(
    async () => {
      const query = new URLSearchParams();
      if (name.trim()) query.set("name", name.trim());
      if (at.kind === "time") query.set("timestamp", new Date(at.time).toISOString());
      if (at.kind === "lsn") query.set("lsn", at.lsn.trim());
      if (lifetime > 0) query.set("expires_at", new Date(Date.now() + lifetime * 1000).toISOString());
      const answer = await http.post<Answer<"createSnapshot">>(path`/projects/${project}/branches/${branchId}/snapshot` + `?${query}`);
      await finished(project, answer.operations);
      return answer.snapshot;
    },
    (snapshot) => {
      onClose();
      toast.success(`${snapshot.name} is taken.`);
    },
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    take.mutate(undefined);
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title="Take a snapshot" description="It is there at once, whatever the size.">
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name" hint="Empty: an id of its own.">
          {(props) => <Input {...props} autoFocus maxLength={256} placeholder="before the migration" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <div className="grid grid-cols-2 gap-3">
          <Field label="Of branch">
            {(props) => <BranchSelect {...props} branches={branches} value={branchId} onChoose={setBranch} />}
          </Field>
          <Field label="Kept">
            {(props) => (
              <Select {...props} value={lifetime} onChange={(event) => setLifetime(Number(event.target.value))}>
                {lifetimes.map((one) => (
                  <option key={one.seconds} value={one.seconds}>
                    {one.name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <MomentFields value={at} onChange={setAt} />
        {take.error && <Problem error={take.error} />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={take.isPending} disabled={momentMissing(at)}>
            Take snapshot
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

export function RenameSnapshot({ project, snapshot, onClose }: { project: string; snapshot: Snapshot; onClose: () => void }) {
  const [name, setName] = useState(snapshot.name);
  const rename = useChange(
    () => http.patch(path`/projects/${project}/snapshots/${snapshot.id}`, { snapshot: { name: name.trim() } }),
    onClose,
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    rename.mutate(undefined);
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`Rename ${snapshot.name}`}>
      <form onSubmit={submit}>
        <Field label="Name">
          {(props) => <Input {...props} autoFocus maxLength={256} value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        {rename.error && <Problem error={rename.error} className="mt-4" />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={rename.isPending} disabled={name.trim() === "" || name.trim() === snapshot.name}>
            Rename
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

export function DeleteSnapshot({ project, snapshot, onClose }: { project: string; snapshot: Snapshot | null; onClose: () => void }) {
  const remove = useChange(
    async (gone: Snapshot) => {
      const answer = await http.delete<Answer<"deleteSnapshot">>(path`/projects/${project}/snapshots/${gone.id}`);
      await finished(project, answer.operations);
    },
    (_, gone) => toast.success(`${gone.name} is deleted.`),
  );
  return (
    <Confirm
      open={snapshot !== null}
      onOpenChange={onClose}
      title={`Delete ${snapshot?.name}`}
      action="Delete snapshot"
      typed={snapshot?.name}
      onConfirm={() => remove.mutateAsync(snapshot!)}
    >
      <p>
        What was at {snapshot && moment(snapshot.timestamp ?? snapshot.created_at)} can be had from it no more. Branches that were restored from it
        stay.
      </p>
    </Confirm>
  );
}
