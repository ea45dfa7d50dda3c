// Finds any project, branch, table, page or action by typing.
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useRouterState } from "@tanstack/react-router";
import { Command } from "cmdk";
import { Database, GitBranch, KeyRound, LogOut, Moon, Plug, Plus, Search, Sun, Table2 } from "lucide-react";
import { Dialog as RadixDialog } from "radix-ui";
import type { ReactNode } from "react";
import { branchesQuery, projectsQuery } from "@/api/queries";
import { useSignOut } from "./account-menu";
import { projectPlaces } from "./project-layout";
import { setTheme, useTheme } from "./theme";

interface Props {
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

export default function PaletteDialog({ open, onOpenChange }: Props) {
  return (
    <RadixDialog.Root open={open} onOpenChange={onOpenChange}>
      <RadixDialog.Portal>
        <RadixDialog.Overlay className="fixed inset-0 z-40 bg-black/35" />
        <RadixDialog.Content
          aria-describedby={undefined}
          className="appear fixed top-[12dvh] left-1/2 z-50 w-[calc(100vw-1.5rem)] max-w-xl -translate-x-1/2 overflow-hidden rounded-2xl border bg-surface shadow-pop outline-none"
        >
          <RadixDialog.Title className="sr-only">Find anything</RadixDialog.Title>
          <Finder close={() => onOpenChange(false)} />
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}

function Finder({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const { dark } = useTheme();
  const signOut = useSignOut();
  const projects = useQuery(projectsQuery).data ?? [];
  const location = useRouterState({ select: (state) => state.location });
  const project = /^\/projects\/([^/]+)/.exec(location.pathname)?.[1];
  const search = location.search as { branch?: string };
  const here = search.branch ? { branch: search.branch } : {};
  const branches = useQueries({
    // Of the project that is open, and of a few others.
    queries: [...new Set([...(project ? [project] : []), ...projects.slice(0, 20).map((one) => one.id)])].map((id) => ({
      ...branchesQuery(id),
      refetchInterval: undefined,
      staleTime: 10_000,
    })),
  }).flatMap((one) => one.data ?? []);
  // Those that the table browser has seen.
  const tables = client
    .getQueriesData<{ schema: string; name: string }[]>({ queryKey: ["sql"] })
    .filter(([key]) => key[3] === "tables" && key[4] === project)
    .flatMap(([key, list]) => (list ?? []).map((table) => ({ ...table, database: String(key[2]) })));
  const go = (action: () => void) => () => {
    close();
    action();
  };
  const projectName = (id: string) => projects.find((one) => one.id === id)?.name ?? id;
  return (
    <Command label="Find anything" loop>
      <div className="flex items-center gap-2.5 border-b px-4">
        <Search className="size-4 text-faint" aria-hidden />
        <Command.Input
          autoFocus
          placeholder="A project, branch, table, page, action…"
          className="h-12 flex-1 bg-transparent text-sm outline-none placeholder:text-faint"
        />
      </div>
      <Command.List className="scroll-thin max-h-[52dvh] overflow-y-auto p-2">
        <Command.Empty className="px-3 py-8 text-center text-sm text-muted">Nothing is called that.</Command.Empty>
        {project && (
          <Group name={projectName(project)}>
            <Item
              icon={<Plug aria-hidden />}
              value="connect connection string"
              onSelect={go(() => void navigate({ to: ".", search: (before: object) => ({ ...before, connect: true }) }))}
            >
              Connect
            </Item>
            {projectPlaces.map((place) => (
              <Item
                key={place.to}
                icon={<place.icon aria-hidden />}
                value={`go to ${place.name}`}
                onSelect={go(() => void navigate({ to: place.to, params: { project }, search: here }))}
              >
                {place.name}
              </Item>
            ))}
          </Group>
        )}
        {tables.length > 0 && project && (
          <Group name="Tables">
            {tables.slice(0, 300).map((table) => (
              <Item
                key={`${table.database}/${table.schema}.${table.name}`}
                icon={<Table2 aria-hidden />}
                value={`table ${table.schema}.${table.name}`}
                onSelect={go(
                  () =>
                    void navigate({
                      to: "/projects/$project/tables",
                      params: { project },
                      search: { ...here, database: table.database, table: `${table.schema}.${table.name}` },
                    }),
                )}
              >
                {table.schema === "public" ? table.name : `${table.schema}.${table.name}`}
              </Item>
            ))}
          </Group>
        )}
        <Group name="Branches">
          {branches.map((branch) => (
            <Item
              key={branch.id}
              icon={<GitBranch aria-hidden />}
              value={`branch ${branch.name} ${projectName(branch.project_id)} ${branch.id}`}
              onSelect={go(() => void navigate({ to: "/projects/$project", params: { project: branch.project_id }, search: { branch: branch.id } }))}
              hint={projectName(branch.project_id)}
            >
              {branch.name}
            </Item>
          ))}
        </Group>
        <Group name="Projects">
          {projects.map((one) => (
            <Item
              key={one.id}
              icon={<Database aria-hidden />}
              value={`project ${one.name} ${one.id}`}
              onSelect={go(() => void navigate({ to: "/projects/$project", params: { project: one.id } }))}
            >
              {one.name}
            </Item>
          ))}
        </Group>
        <Group name="Halogen">
          <Item icon={<Plus aria-hidden />} value="all projects new project" onSelect={go(() => void navigate({ to: "/" }))}>
            All projects
          </Item>
          <Item icon={<KeyRound aria-hidden />} value="api keys and platform status" onSelect={go(() => void navigate({ to: "/account" }))}>
            API keys and platform
          </Item>
          <Item icon={dark ? <Sun aria-hidden /> : <Moon aria-hidden />} value="theme dark light" onSelect={go(() => setTheme(dark ? "light" : "dark"))}>
            {dark ? "Light theme" : "Dark theme"}
          </Item>
          <Item icon={<LogOut aria-hidden />} value="sign out log out" onSelect={go(() => signOut.mutate())}>
            Sign out
          </Item>
        </Group>
      </Command.List>
    </Command>
  );
}

function Group({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={name}
      className="[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2.5 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-muted"
    >
      {children}
    </Command.Group>
  );
}

function Item({ icon, value, hint, onSelect, children }: { icon: ReactNode; value: string; hint?: string; onSelect: () => void; children: ReactNode }) {
  return (
    <Command.Item
      value={value}
      onSelect={onSelect}
      className="flex cursor-pointer items-center gap-2.5 rounded-lg px-2.5 py-2 text-sm data-[selected=true]:bg-hover [&_svg]:size-4 [&_svg]:text-muted"
    >
      {icon}
      <span className="min-w-0 flex-1 truncate">{children}</span>
      {hint && <span className="truncate text-xs text-muted">{hint}</span>}
    </Command.Item>
  );
}
