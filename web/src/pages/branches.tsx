// A project's branches: making, naming, resetting, deleting them.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CalendarClock, GitBranchPlus, History, MoreHorizontal, Pencil, Plug, RotateCcw, Shield, ShieldOff, Star, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, projectOverviewQuery, useChange } from "@/api/queries";
import type { Branch, Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { useCreating } from "@/shell/use-creating";
import { Button, Card, Field, Input, Problem, Skeleton } from "@/ui/basics";
import { localInput, moment } from "@/ui/format";
import { Confirm, Dialog, DialogActions, Menu, MenuItem, MenuLine } from "@/ui/overlays";
import { BranchSelect } from "./branch-select";
import { BranchTree } from "./branch-tree";
import { type Moment, MomentFields, momentMissing, now } from "./moment-fields";

type Dialogs = "rename" | "delete" | "reset" | "expire";

export function BranchesPage() {
  const { project, branches } = useCurrent();
  const overview = useQuery(projectOverviewQuery(project)).data;
  const navigate = useNavigate();
  const [creating, setCreating] = useCreating("branch");
  const [parent, setParent] = useState<Branch | null>(null); // Null: the default one.
  const [dialog, setDialog] = useState<{ what: Dialogs; branch: Branch } | null>(null);
  const setDefault = useChange(
    (branch: Branch) => http.post(path`/projects/${project}/branches/${branch.id}/set_as_default`),
    (_, branch) => toast.success(`${branch.name} is the default branch now.`),
  );
  const protect = useChange((branch: Branch) =>
    http.patch(path`/projects/${project}/branches/${branch.id}`, { branch: { protected: !branch.protected } }),
  );
  const failed = (error: Error) => toast.error(error.message);
  const actions = (branch: Branch) => {
    const parent = branches?.find((one) => one.id === branch.parent_id);
    return (
      <Menu label={`Actions on ${branch.name}`} icon={<MoreHorizontal aria-hidden />}>
        <MenuItem
          icon={<Plug aria-hidden />}
          onSelect={() => void navigate({ to: ".", search: (before: object) => ({ ...before, branch: branch.id, connect: true }) })}
        >
          Connect
        </MenuItem>
        <MenuItem
          icon={<GitBranchPlus aria-hidden />}
          onSelect={() => {
            setParent(branch);
            setCreating(true);
          }}
        >
          Branch from it
        </MenuItem>
        <MenuLine />
        <MenuItem icon={<Pencil aria-hidden />} onSelect={() => setDialog({ what: "rename", branch })}>
          Rename
        </MenuItem>
        <MenuItem icon={<Star aria-hidden />} disabled={branch.default} onSelect={() => setDefault.mutate(branch, { onError: failed })}>
          Set as default
        </MenuItem>
        <MenuItem
          icon={branch.protected ? <ShieldOff aria-hidden /> : <Shield aria-hidden />}
          onSelect={() => protect.mutate(branch, { onError: failed })}
        >
          {branch.protected ? "Unprotect" : "Protect"}
        </MenuItem>
        <MenuItem icon={<CalendarClock aria-hidden />} disabled={branch.default} onSelect={() => setDialog({ what: "expire", branch })}>
          Expiration
        </MenuItem>
        <MenuLine />
        <MenuItem
          icon={<History aria-hidden />}
          onSelect={() => void navigate({ to: "/projects/$project/restore", params: { project }, search: { branch: branch.id } })}
        >
          Restore to a moment
        </MenuItem>
        <MenuItem icon={<RotateCcw aria-hidden />} disabled={!parent} onSelect={() => setDialog({ what: "reset", branch })}>
          Reset from parent
        </MenuItem>
        <MenuLine />
        <MenuItem icon={<Trash2 aria-hidden />} danger disabled={branch.default} onSelect={() => setDialog({ what: "delete", branch })}>
          Delete
        </MenuItem>
      </Menu>
    );
  };
  const close = () => setDialog(null);
  return (
    <>
      <PageHead title="Branches" hint="A branch is a copy of the data at a moment that costs nothing until it changes: for a feature, a test, a look at last Tuesday.">
        <Button look="solid" icon={<GitBranchPlus className="size-4" aria-hidden />} onClick={() => setCreating(true)}>
          New branch
        </Button>
      </PageHead>
      <PageBody>
        <Card>{branches ? <BranchTree branches={branches} overview={overview} actions={actions} /> : <Skeleton className="m-5 h-32" />}</Card>
      </PageBody>
      {creating && branches && (
        <CreateBranch
          project={project}
          branches={branches}
          parent={parent ?? branches.find((one) => one.default) ?? branches[0]}
          onClose={() => {
            setCreating(false);
            setParent(null);
          }}
        />
      )}
      {dialog?.what === "rename" && <RenameBranch project={project} branch={dialog.branch} onClose={close} />}
      {dialog?.what === "expire" && <ExpireBranch project={project} branch={dialog.branch} onClose={close} />}
      <DeleteBranch project={project} branch={dialog?.what === "delete" ? dialog.branch : null} onClose={close} />
      <ResetBranch project={project} branches={branches ?? []} branch={dialog?.what === "reset" ? dialog.branch : null} onClose={close} />
    </>
  );
}

function CreateBranch({ project, branches, parent, onClose }: { project: string; branches: Branch[]; parent: Branch; onClose: () => void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [parentId, setParent] = useState(parent.id);
  const [at, setAt] = useState<Moment>(now);
  const create = useChange(
    async () => {
      const answer = await http.post<{ branch: Branch; operations: Operation[] }>(path`/projects/${project}/branches`, {
        branch: {
          name: name.trim(),
          parent_id: parentId,
          ...(at.kind === "time" && { parent_timestamp: new Date(at.time).toISOString() }),
          ...(at.kind === "lsn" && { parent_lsn: at.lsn.trim() }),
        },
        endpoints: [{ type: "read_write" }],
      });
      await finished(project, answer.operations);
      return answer.branch;
    },
    (branch) => {
      onClose();
      toast.success(`${branch.name} is there.`, {
        action: { label: "Connect", onClick: () => void navigate({ to: ".", search: { branch: branch.id, connect: true } }) },
      });
    },
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate(undefined);
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title="New branch" description="Nothing is copied, whatever the size.">
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name">
          {(props) => <Input {...props} autoFocus placeholder="feature/search" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <Field label="Parent">
          {(props) => <BranchSelect {...props} branches={branches} value={parentId} onChoose={setParent} />}
        </Field>
        <MomentFields value={at} onChange={setAt} />
        {create.error && <Problem error={create.error} />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={create.isPending} disabled={name.trim() === "" || momentMissing(at)}>
            Create branch
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function RenameBranch({ project, branch, onClose }: { project: string; branch: Branch; onClose: () => void }) {
  const [name, setName] = useState(branch.name);
  const rename = useChange(() => http.patch(path`/projects/${project}/branches/${branch.id}`, { branch: { name: name.trim() } }), onClose);
  function submit(event: FormEvent) {
    event.preventDefault();
    rename.mutate(undefined);
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`Rename ${branch.name}`} description="Its connection strings stay as they are.">
      <form onSubmit={submit}>
        <Field label="Name">{(props) => <Input {...props} autoFocus value={name} onChange={(event) => setName(event.target.value)} />}</Field>
        {rename.error && <Problem error={rename.error} className="mt-4" />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={rename.isPending} disabled={name.trim() === "" || name.trim() === branch.name}>
            Rename
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function ExpireBranch({ project, branch, onClose }: { project: string; branch: Branch; onClose: () => void }) {
  const [time, setTime] = useState(() => localInput(branch.expires_at ? new Date(branch.expires_at) : new Date(Date.now() + 7 * 86400e3)));
  const save = useChange(
    (at: string | null) => http.patch(path`/projects/${project}/branches/${branch.id}`, { branch: { expires_at: at } }),
    onClose,
  );
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={`Expiration of ${branch.name}`} description="The branch is deleted by itself then.">
      <Field label="Expires at" hint="In your time zone.">
        {(props) => <Input {...props} type="datetime-local" step={1} value={time} onChange={(event) => setTime(event.target.value)} />}
      </Field>
      {save.error && <Problem error={save.error} className="mt-4" />}
      <DialogActions>
        {branch.expires_at && (
          <Button onClick={() => save.mutate(null)} disabled={save.isPending}>
            Keep for ever
          </Button>
        )}
        <Button onClick={onClose}>Cancel</Button>
        <Button look="solid" busy={save.isPending} onClick={() => save.mutate(new Date(time).toISOString())}>
          Save
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function DeleteBranch({ project, branch, onClose }: { project: string; branch: Branch | null; onClose: () => void }) {
  const remove = useChange(
    async (gone: Branch) => {
      const answer = await http.delete<{ operations: Operation[] }>(path`/projects/${project}/branches/${gone.id}`);
      await finished(project, answer.operations);
    },
    (_, gone) => toast.success(`${gone.name} is deleted.`),
  );
  return (
    <Confirm
      open={branch !== null}
      onOpenChange={onClose}
      title={`Delete ${branch?.name}`}
      action="Delete branch"
      typed={branch?.name}
      onConfirm={() => remove.mutateAsync(branch!)}
    >
      <p>Its data and its compute go, and whoever is connected is disconnected. There is no way back.</p>
    </Confirm>
  );
}

function ResetBranch({ project, branches, branch, onClose }: { project: string; branches: Branch[]; branch: Branch | null; onClose: () => void }) {
  const parent = branches.find((one) => one.id === branch?.parent_id);
  const reset = useChange(
    async (one: Branch) => {
      const answer = await http.post<{ operations: Operation[] }>(path`/projects/${project}/branches/${one.id}/restore`, {
        source_branch_id: one.parent_id,
        ...(branches.some((child) => child.parent_id === one.id) && { preserve_under_name: `${one.name} before ${moment(new Date())}` }),
      });
      await finished(project, answer.operations);
    },
    (_, one) => toast.success(`${one.name} is as ${parent?.name} is now.`),
  );
  return (
    <Confirm open={branch !== null} onOpenChange={onClose} title={`Reset ${branch?.name} from ${parent?.name}`} action="Reset" onConfirm={() => reset.mutateAsync(branch!)}>
      <p>
        {branch?.name} becomes as {parent?.name} is now; what was changed in it is lost. Its connection strings stay, open connections too.
      </p>
    </Confirm>
  );
}
