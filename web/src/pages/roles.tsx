// Roles, databases and extensions of a branch.
import { useQuery } from "@tanstack/react-query";
import { Database as DatabaseIcon, KeyRound, MoreHorizontal, Plus, RefreshCw, Trash2, UserRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { databasesQuery, finished, rolesQuery, useChange } from "@/api/queries";
import type { Operation, Role } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { useCreating } from "@/shell/use-creating";
import { Badge, Button, Card, CardHead, CopyButton, Empty, Field, Input, Problem, Select, Skeleton } from "@/ui/basics";
import { NeedsCompute } from "@/ui/needs-compute";
import { Confirm, Dialog, DialogActions, Menu, MenuItem, MenuLine } from "@/ui/overlays";
import { ExtensionsCard } from "./extensions";

export function RolesPage() {
  const { project, branch } = useCurrent();
  return (
    <>
      <PageHead title="Roles & Databases" hint={`Of the branch ${branch?.name ?? ""}. What is made by SQL is here, too.`} />
      <PageBody>
        {branch && (
          <>
            <RolesCard project={project} branch={branch.id} />
            <DatabasesCard project={project} branch={branch.id} />
            <NeedsCompute>
              <ExtensionsCard />
            </NeedsCompute>
          </>
        )}
      </PageBody>
    </>
  );
}

interface OfBranch {
  project: string;
  branch: string;
}

function RolesCard({ project, branch }: OfBranch) {
  const roles = useQuery(rolesQuery(project, branch));
  const [creating, setCreating] = useCreating("role");
  const [resetting, setResetting] = useState<Role | null>(null);
  const [deleting, setDeleting] = useState<Role | null>(null);
  const [shown, setShown] = useState<{ name: string; password: string } | null>(null);
  const base = path`/projects/${project}/branches/${branch}/roles`;
  const reset = useChange(
    async (role: Role) => {
      const answer = await http.post<{ role: Role; operations: Operation[] }>(`${base}/${encodeURIComponent(role.name)}/reset_password`);
      await finished(project, answer.operations);
      return answer.role;
    },
    (role) => role.password && setShown({ name: role.name, password: role.password }),
  );
  const reveal = useChange(
    async (role: Role) => ({ name: role.name, ...(await http.get<{ password: string }>(`${base}/${encodeURIComponent(role.name)}/reveal_password`)) }),
    setShown,
  );
  const remove = useChange(async (role: Role) => {
    const answer = await http.delete<{ operations?: Operation[] }>(`${base}/${encodeURIComponent(role.name)}`);
    await finished(project, answer.operations);
  });
  return (
    <Card>
      <CardHead title="Roles">
        <Button size="sm" icon={<Plus className="size-4" aria-hidden />} onClick={() => setCreating(true)}>
          New role
        </Button>
      </CardHead>
      {roles.error && <Problem error={roles.error} className="m-4" retry={() => void roles.refetch()} />}
      {!roles.data && !roles.error && <Skeleton className="m-5 h-10" />}
      <ul>
        {roles.data?.map((role) => (
          <li key={role.name} className="flex items-center gap-3 border-b px-5 py-2.5 last:border-0">
            <UserRound className="size-4 text-muted" aria-hidden />
            <span className="min-w-0 flex-1 truncate font-medium">{role.name}</span>
            {role.authentication_method === "no_login" && <Badge>no login</Badge>}
            <Menu label={`Actions on ${role.name}`} icon={<MoreHorizontal aria-hidden />}>
              <MenuItem
                icon={<KeyRound aria-hidden />}
                onSelect={() => reveal.mutate(role, { onError: (error: Error) => toast.error(error.message) })}
              >
                Show password
              </MenuItem>
              <MenuItem icon={<RefreshCw aria-hidden />} onSelect={() => setResetting(role)}>
                Reset password
              </MenuItem>
              <MenuLine />
              <MenuItem icon={<Trash2 aria-hidden />} danger onSelect={() => setDeleting(role)}>
                Delete
              </MenuItem>
            </Menu>
          </li>
        ))}
      </ul>
      <CreateRole
        open={creating}
        onOpenChange={setCreating}
        create={async (name) => {
          const answer = await http.post<{ role: Role; operations: Operation[] }>(base, { role: { name } });
          await finished(project, answer.operations);
          if (answer.role.password) setShown({ name, password: answer.role.password });
        }}
      />
      <Confirm
        open={resetting !== null}
        onOpenChange={() => setResetting(null)}
        title={`Reset the password of ${resetting?.name}`}
        action="Reset password"
        onConfirm={() => reset.mutateAsync(resetting!)}
      >
        <p>It gets a new password at once; whatever connects with the old one is refused from then on.</p>
      </Confirm>
      <Confirm
        open={deleting !== null}
        onOpenChange={() => setDeleting(null)}
        title={`Delete the role ${deleting?.name}`}
        action="Delete role"
        typed={deleting?.name}
        onConfirm={() => remove.mutateAsync(deleting!)}
      >
        <p>It can log in no more. Postgres refuses it as long as the role owns databases.</p>
      </Confirm>
      <Dialog open={shown !== null} onOpenChange={() => setShown(null)} title={`Password of ${shown?.name}`}>
        <div className="flex items-center gap-2 rounded-lg border bg-sunken px-3 py-2">
          <code className="min-w-0 flex-1 font-mono text-sm break-all">{shown?.password}</code>
          <CopyButton text={shown?.password ?? ""} label="Copy password" />
        </div>
      </Dialog>
    </Card>
  );
}

function CreateRole({ open, onOpenChange, create }: { open: boolean; onOpenChange: (open: boolean) => void; create: (name: string) => Promise<void> }) {
  const [name, setName] = useState("");
  const change = useChange(create, () => {
    setName("");
    onOpenChange(false);
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    change.mutate(name.trim());
  }
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="New role" description="It gets a password, which is shown next, and may do what the owner's role may.">
      <form onSubmit={submit}>
        <Field label="Name">{(props) => <Input {...props} autoFocus placeholder="app" value={name} onChange={(event) => setName(event.target.value)} />}</Field>
        {change.error && <Problem error={change.error} className="mt-4" />}
        <DialogActions>
          <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          <Button type="submit" look="solid" busy={change.isPending} disabled={name.trim() === ""}>
            Create role
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function DatabasesCard({ project, branch }: OfBranch) {
  const databases = useQuery(databasesQuery(project, branch));
  const roles = useQuery(rolesQuery(project, branch)).data ?? [];
  const [creating, setCreating] = useCreating("database");
  const [deleting, setDeleting] = useState<string | null>(null);
  const [name, setName] = useState("");
  const [owner, setOwner] = useState("");
  const base = path`/projects/${project}/branches/${branch}/databases`;
  const chosen = owner || roles[0]?.name || "";
  const create = useChange(
    async () => {
      const answer = await http.post<{ operations: Operation[] }>(base, { database: { name: name.trim(), owner_name: chosen } });
      await finished(project, answer.operations);
    },
    () => {
      setName("");
      setCreating(false);
    },
  );
  const remove = useChange(async (gone: string) => {
    const answer = await http.delete<{ operations?: Operation[] }>(`${base}/${encodeURIComponent(gone)}`);
    await finished(project, answer.operations);
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate(undefined);
  }
  return (
    <Card>
      <CardHead title="Databases">
        <Button size="sm" icon={<Plus className="size-4" aria-hidden />} onClick={() => setCreating(true)}>
          New database
        </Button>
      </CardHead>
      {databases.error && <Problem error={databases.error} className="m-4" retry={() => void databases.refetch()} />}
      {!databases.data && !databases.error && <Skeleton className="m-5 h-10" />}
      {databases.data?.length === 0 && <Empty icon={<DatabaseIcon aria-hidden />} title="No database" />}
      <ul>
        {databases.data?.map((database) => (
          <li key={database.name} className="flex items-center gap-3 border-b px-5 py-2.5 last:border-0">
            <DatabaseIcon className="size-4 text-muted" aria-hidden />
            <span className="min-w-0 flex-1 truncate font-medium">{database.name}</span>
            <span className="truncate text-[13px] text-muted max-sm:hidden">owned by {database.owner_name}</span>
            <Menu label={`Actions on ${database.name}`} icon={<MoreHorizontal aria-hidden />}>
              <MenuItem icon={<Trash2 aria-hidden />} danger onSelect={() => setDeleting(database.name)}>
                Delete
              </MenuItem>
            </Menu>
          </li>
        ))}
      </ul>
      <Dialog open={creating} onOpenChange={setCreating} title="New database">
        <form onSubmit={submit} className="space-y-4">
          <Field label="Name">{(props) => <Input {...props} autoFocus value={name} onChange={(event) => setName(event.target.value)} />}</Field>
          <Field label="Owner">
            {(props) => (
              <Select {...props} value={chosen} onChange={(event) => setOwner(event.target.value)}>
                {roles.map((role) => <option key={role.name}>{role.name}</option>)}
              </Select>
            )}
          </Field>
          {create.error && <Problem error={create.error} />}
          <DialogActions>
            <Button onClick={() => setCreating(false)}>Cancel</Button>
            <Button type="submit" look="solid" busy={create.isPending} disabled={name.trim() === ""}>
              Create database
            </Button>
          </DialogActions>
        </form>
      </Dialog>
      <Confirm
        open={deleting !== null}
        onOpenChange={() => setDeleting(null)}
        title={`Delete the database ${deleting}`}
        action="Delete database"
        typed={deleting ?? ""}
        onConfirm={() => remove.mutateAsync(deleting!)}
      >
        <p>All its tables go with it. A restore to a moment before brings them back, with everything else of that moment.</p>
      </Confirm>
    </Card>
  );
}
