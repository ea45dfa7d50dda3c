// A snapshot as a new branch, or in the place of one that is there, which is kept under another name.
import { useNavigate } from "@tanstack/react-router";
import clsx from "clsx";
import { GitBranchPlus, Replace } from "lucide-react";
import { type FormEvent, type ReactNode, useState } from "react";
import { toast } from "sonner";
import { ApiError, http, path } from "@/api/client";
import { finished, useChange } from "@/api/queries";
import type { Answer, Branch, Snapshot } from "@/api/types";
import { Button, Field, Input, Problem } from "@/ui/basics";
import { moment, nameOfTime } from "@/ui/format";
import { Dialog, DialogActions } from "@/ui/overlays";
import { BranchSelect } from "./branch-select";

type Way = "branch" | "place";

interface Props {
  project: string;
  branches: Branch[];
  snapshot: Snapshot;
  onClose: () => void;
}

async function restoreAsBranch(project: string, snapshot: Snapshot, name: string): Promise<string> {
  const answer = await http.post<Answer<"restoreSnapshot">>(path`/projects/${project}/snapshots/${snapshot.id}/restore`, { name });
  await finished(project, answer.operations);
  const compute = await http.post<Answer<"createProjectEndpoint">>(path`/projects/${project}/endpoints`, {
    endpoint: { branch_id: answer.branch.id, type: "read_write" },
  });
  await finished(project, compute.operations);
  return answer.branch.id;
}

// In two steps, so that what was there gets the name that was asked for. Where the second is refused, nothing is left of the first.
async function restoreInPlace(project: string, snapshot: Snapshot, target: string, keepAs: string): Promise<string> {
  const answer = await http.post<Answer<"restoreSnapshot">>(path`/projects/${project}/snapshots/${snapshot.id}/restore`, { target_branch_id: target });
  await finished(project, answer.operations);
  const branch = path`/projects/${project}/branches/${answer.branch.id}`;
  try {
    const swap = await http.post<Answer<"finalizeRestoreBranch">>(`${branch}/finalize_restore`, { name: keepAs });
    await finished(project, swap.operations);
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) await http.delete(branch);
    throw error;
  }
  return answer.branch.id;
}

export function RestoreSnapshot({ project, branches, snapshot, onClose }: Props) {
  const navigate = useNavigate();
  const [way, setWay] = useState<Way>("branch");
  const [name, setName] = useState(snapshot.name);
  const source = branches.find((one) => one.id === snapshot.source_branch_id) ?? branches.find((one) => one.default) ?? branches[0];
  const [targetId, setTarget] = useState(source.id);
  const target = branches.find((one) => one.id === targetId) ?? source;
  const [keepAs, setKeepAs] = useState(() => `${source.name}_before_${nameOfTime(new Date())}`);
  const restore = useChange(
    () => (way === "branch" ? restoreAsBranch(project, snapshot, name.trim()) : restoreInPlace(project, snapshot, targetId, keepAs.trim())),
    (branch) => {
      onClose();
      toast.success(way === "branch" ? `${name.trim()} is there.` : `${target.name} is as in ${snapshot.name}. What it was is kept as ${keepAs.trim()}.`);
      void navigate({ to: "/projects/$project", params: { project }, search: { branch } });
    },
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    restore.mutate(undefined);
  }
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title={`Restore ${snapshot.name}`}
      description={`As it was ${moment(snapshot.timestamp ?? snapshot.created_at)}.`}
    >
      <form onSubmit={submit} className="space-y-4">
        <div role="radiogroup" aria-label="How" className="grid gap-3 sm:grid-cols-2">
          <Choice chosen={way === "branch"} onChoose={() => setWay("branch")} icon={<GitBranchPlus aria-hidden />} title="As a new branch">
            Nothing that is there changes.
          </Choice>
          <Choice chosen={way === "place"} onChoose={() => setWay("place")} icon={<Replace aria-hidden />} title="In a branch's place">
            With its name, its computes and its connection strings.
          </Choice>
        </div>
        {way === "branch" ? (
          <Field label="Name of the branch">
            {(props) => <Input {...props} value={name} onChange={(event) => setName(event.target.value)} />}
          </Field>
        ) : (
          <div className="grid gap-4 sm:grid-cols-2 sm:gap-3">
            <Field label="In the place of">
              {(props) => <BranchSelect {...props} branches={branches} value={targetId} onChoose={setTarget} />}
            </Field>
            <Field label="Keep what is there as" hint="A branch of this name has all that is there now.">
              {(props) => <Input {...props} value={keepAs} onChange={(event) => setKeepAs(event.target.value)} />}
            </Field>
          </div>
        )}
        {way === "place" && (
          <p className="rounded-lg bg-warn-soft px-3.5 py-2.5 text-[13px] text-warn">
            What is under way in {target.name} is cut off. Clients stay connected and wait, as in a restart.
          </p>
        )}
        {restore.error && <Problem error={restore.error} />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            type="submit"
            look={way === "place" ? "danger" : "solid"}
            busy={restore.isPending}
            disabled={way === "branch" ? name.trim() === "" : keepAs.trim() === ""}
          >
            {way === "branch" ? "Create branch" : `Replace ${target.name}`}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

interface ChoiceProps {
  chosen: boolean;
  onChoose: () => void;
  icon: ReactNode;
  title: string;
  children: ReactNode;
}

function Choice({ chosen, onChoose, icon, title, children }: ChoiceProps) {
  return (
    <button
      type="button"
      role="radio"
      aria-checked={chosen}
      onClick={onChoose}
      className={clsx(
        "rounded-xl border p-3.5 text-left transition-colors [&_svg]:size-4",
        chosen ? "border-glow bg-accent-soft" : "hover:bg-hover",
      )}
    >
      <span className="flex items-center gap-2 text-sm font-medium">
        {icon}
        {title}
      </span>
      <span className="mt-1 block text-[13px] text-muted">{children}</span>
    </button>
  );
}
