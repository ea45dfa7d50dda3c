// Finds any project, branch, table, page or action by typing.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useRouterState } from "@tanstack/react-router";
import { Command } from "cmdk";
import { Database, GitBranch, KeyRound, LayoutGrid, LogOut, Moon, Plus, Search, Sun } from "lucide-react";
import { Dialog as RadixDialog } from "radix-ui";
import { useState } from "react";
import { allBranchesQuery, projectsQuery } from "@/api/queries";
import { useSignOut } from "./account-menu";
import { few, Group, Item, score } from "./palette-parts";
import { ProjectItems } from "./palette-project";
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
  const { dark } = useTheme();
  const signOut = useSignOut();
  const projects = useQuery(projectsQuery).data ?? [];
  const location = useRouterState({ select: (state) => state.location });
  const project = /^\/projects\/([^/]+)/.exec(location.pathname)?.[1];
  const all = useQuery(allBranchesQuery).data ?? [];
  // Those of the project that is open come first.
  const branches = [...all.filter((one) => one.project_id === project), ...all.filter((one) => one.project_id !== project)];
  const [wake, setWake] = useState(false);
  const [search, setSearch] = useState("");
  const go = (action: () => void) => () => {
    close();
    action();
  };
  const projectName = (id: string) => projects.find((one) => one.id === id)?.name ?? id;
  return (
    <Command label="Find anything" loop filter={score}>
      <div className="flex items-center gap-2.5 border-b px-4">
        <Search className="size-4 text-faint" aria-hidden />
        <Command.Input
          autoFocus
          value={search}
          onValueChange={setSearch}
          placeholder="A project, branch, table, page, action…"
          className="h-12 flex-1 bg-transparent text-sm outline-none placeholder:text-faint"
        />
      </div>
      <Command.List className="scroll-thin max-h-[52dvh] overflow-y-auto p-2">
        <Command.Empty className="px-3 py-8 text-center text-sm text-muted">Nothing is called that.</Command.Empty>
        {project && <ProjectItems project={project} name={projectName(project)} go={go} search={search} wake={wake} onWake={() => setWake(true)} />}
        <Group name="Branches">
          {few(branches, search, (one) => `branch ${one.name} ${projectName(one.project_id)} ${one.id}`).map((branch) => (
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
          {few(projects, search, (one) => `project ${one.name} ${one.id}`).map((one) => (
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
          <Item icon={<LayoutGrid aria-hidden />} value="all projects" onSelect={go(() => void navigate({ to: "/" }))}>
            All projects
          </Item>
          <Item icon={<Plus aria-hidden />} value="new project create add" onSelect={go(() => void navigate({ to: "/", search: { create: "project" } }))}>
            New project
          </Item>
          <Item icon={<Plus aria-hidden />} value="new api key create add" onSelect={go(() => void navigate({ to: "/account", search: { create: "key" } }))}>
            New API key
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
