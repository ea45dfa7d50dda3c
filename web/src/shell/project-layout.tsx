// Around every page of a project: where one is, where one can go.
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams, useRouterState, useSearch } from "@tanstack/react-router";
import clsx from "clsx";
import {
  Activity,
  Camera,
  ChevronsUpDown,
  Cpu,
  GitBranch,
  GitCompare,
  History,
  LayoutDashboard,
  type LucideIcon,
  Menu as MenuIcon,
  Plug,
  ScrollText,
  Search,
  Settings,
  SquareTerminal,
  Table2,
  Users,
} from "lucide-react";
import { Dialog as RadixDialog, DropdownMenu } from "radix-ui";
import { type ReactNode, useState } from "react";
import { branchesQuery, endpointsQuery, projectOverviewQuery, projectQuery, projectsQuery } from "@/api/queries";
import { ConnectDialog } from "@/pages/connect";
import { NotFound } from "@/pages/not-found";
import { Button, Kbd, Problem } from "@/ui/basics";
import { Logo } from "@/ui/logo";
import { MenuContent, MenuItem, MenuLine } from "@/ui/overlays";
import { Lamp } from "@/ui/state";
import { AccountMenu } from "./account-menu";
import { useCompute, useCurrent } from "./current";
import { openPalette } from "./palette-state";
import { ApiError } from "@/api/client";

const places = [
  { to: "/projects/$project", name: "Dashboard", icon: LayoutDashboard, group: "Project" },
  { to: "/projects/$project/branches", name: "Branches", icon: GitBranch, group: "Project" },
  { to: "/projects/$project/snapshots", name: "Snapshots", icon: Camera, group: "Project" },
  { to: "/projects/$project/operations", name: "Operations", icon: ScrollText, group: "Project" },
  { to: "/projects/$project/settings", name: "Settings", icon: Settings, group: "Project" },
  { to: "/projects/$project/sql", name: "SQL Editor", icon: SquareTerminal, group: "Branch" },
  { to: "/projects/$project/tables", name: "Tables", icon: Table2, group: "Branch" },
  { to: "/projects/$project/computes", name: "Computes", icon: Cpu, group: "Branch" },
  { to: "/projects/$project/monitoring", name: "Monitoring", icon: Activity, group: "Branch" },
  { to: "/projects/$project/roles", name: "Roles & Databases", icon: Users, group: "Branch" },
  { to: "/projects/$project/restore", name: "Restore", icon: History, group: "Branch" },
  { to: "/projects/$project/compare", name: "Compare schemas", icon: GitCompare, group: "Branch" },
] as const satisfies { to: string; name: string; icon: LucideIcon; group: "Project" | "Branch" }[];

export const projectPlaces = places;

function NavLink({ place, onClick }: { place: (typeof places)[number]; onClick?: () => void }) {
  const { project } = useParams({ from: "/projects/$project" });
  const { branch } = useSearch({ from: "/projects/$project" });
  const path = useRouterState({ select: (state) => state.location.pathname.replace(/\/$/, "") });
  const active = path === place.to.replace("$project", project);
  return (
    <Link
      to={place.to}
      params={{ project }}
      search={branch ? { branch } : {}}
      onClick={onClick}
      aria-current={active ? "page" : undefined}
      className={clsx(
        "flex h-8 items-center gap-2.5 rounded-lg px-2.5 text-[13px] font-medium transition-colors",
        active ? "bg-hover text-ink" : "text-muted hover:bg-hover hover:text-ink",
      )}
    >
      <place.icon className={clsx("size-4", active ? "text-accent" : "")} aria-hidden />
      {place.name}
    </Link>
  );
}

function GroupName({ children }: { children: ReactNode }) {
  return <p className="px-2.5 pt-5 pb-1.5 text-2xs font-medium tracking-wide text-faint uppercase">{children}</p>;
}

function ProjectChoice() {
  const { project } = useParams({ from: "/projects/$project" });
  const projects = useQuery(projectsQuery).data ?? [];
  const current = useQuery(projectQuery(project)).data;
  const navigate = useNavigate();
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="flex h-9 w-full items-center gap-2 rounded-lg px-2 text-left hover:bg-hover" aria-label="Choose a project">
        <span className="min-w-0 flex-1 truncate text-sm font-semibold">{current?.name ?? " "}</span>
        <ChevronsUpDown className="size-4 text-faint" aria-hidden />
      </DropdownMenu.Trigger>
      <MenuContent className="w-60">
        {projects.slice(0, 100).map((one) => (
          <MenuItem key={one.id} onSelect={() => void navigate({ to: "/projects/$project", params: { project: one.id } })}>
            <span className={one.id === project ? "font-semibold" : ""}>{one.name}</span>
          </MenuItem>
        ))}
        <MenuLine />
        <MenuItem onSelect={() => void navigate({ to: "/" })}>All projects</MenuItem>
      </MenuContent>
    </DropdownMenu.Root>
  );
}

export function BranchChoice({ className }: { className?: string }) {
  const { project, branches, branch } = useCurrent();
  const navigate = useNavigate();
  const { endpoint } = useCurrent();
  const { state } = useCompute(project, endpoint?.id);
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger
        aria-label="Choose a branch"
        className={clsx("flex h-9 w-full items-center gap-2 rounded-lg border bg-surface px-2.5 text-left hover:bg-hover", className)}
      >
        <GitBranch className="size-4 text-faint" aria-hidden />
        <span className="min-w-0 flex-1 truncate text-[13px] font-medium">{branch?.name ?? " "}</span>
        <Lamp state={state} />
        <ChevronsUpDown className="size-4 text-faint" aria-hidden />
      </DropdownMenu.Trigger>
      <MenuContent className="w-60">
        {(branches ?? []).map((one) => (
          <MenuItem
            key={one.id}
            onSelect={() => void navigate({ to: ".", search: (before: object) => ({ ...before, branch: one.id }) })}
            hint={one.default && <span className="text-xs text-muted">default</span>}
          >
            <span className={one.id === branch?.id ? "font-semibold" : ""}>{one.name}</span>
          </MenuItem>
        ))}
        <MenuLine />
        <MenuItem onSelect={() => void navigate({ to: "/projects/$project/branches", params: { project } })}>All branches</MenuItem>
      </MenuContent>
    </DropdownMenu.Root>
  );
}

function SearchButton() {
  return (
    <button
      type="button"
      onClick={openPalette}
      className="flex h-9 w-full items-center gap-2 rounded-lg border bg-surface px-2.5 text-[13px] text-muted hover:bg-hover"
    >
      <Search className="size-4" aria-hidden />
      <span className="flex-1 text-left">Find anything</span>
      <Kbd>{navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl"} K</Kbd>
    </button>
  );
}

function SideBar({ onNavigate }: { onNavigate?: () => void }) {
  return (
    <div className="flex h-full flex-col px-3 pb-3">
      <div className="flex h-14 items-center gap-1.5">
        <Link to="/" aria-label="All projects" className="shrink-0 rounded-lg p-1 hover:bg-hover" onClick={onNavigate}>
          <Logo className="size-7" />
        </Link>
        <span className="text-line-strong" aria-hidden>
          /
        </span>
        <div className="min-w-0 flex-1">
          <ProjectChoice />
        </div>
      </div>
      <SearchButton />
      <nav aria-label="Project" className="scroll-thin -mx-3 flex-1 overflow-y-auto px-3">
        <GroupName>Project</GroupName>
        {places.filter((place) => place.group === "Project").map((place) => (
          <NavLink key={place.to} place={place} onClick={onNavigate} />
        ))}
        <GroupName>Branch</GroupName>
        <BranchChoice className="mb-1.5" />
        {places.filter((place) => place.group === "Branch").map((place) => (
          <NavLink key={place.to} place={place} onClick={onNavigate} />
        ))}
      </nav>
      <AccountMenu />
    </div>
  );
}

function PhoneBar({ onMenu, onConnect }: { onMenu: () => void; onConnect: () => void }) {
  const { project } = useParams({ from: "/projects/$project" });
  const current = useQuery(projectQuery(project)).data;
  return (
    <header className="sticky top-0 z-30 flex h-14 items-center gap-2 border-b bg-bg/90 px-3 backdrop-blur lg:hidden">
      <button type="button" aria-label="Menu" onClick={onMenu} className="flex size-9 items-center justify-center rounded-lg hover:bg-hover">
        <MenuIcon className="size-5" aria-hidden />
      </button>
      <p className="min-w-0 flex-1 truncate text-sm font-semibold">{current?.name}</p>
      <Button size="sm" look="solid" icon={<Plug className="size-4" aria-hidden />} onClick={onConnect}>
        Connect
      </Button>
    </header>
  );
}

export function ProjectLayout() {
  const { project } = useParams({ from: "/projects/$project" });
  const search = useSearch({ from: "/projects/$project" });
  const navigate = useNavigate();
  const [menu, setMenu] = useState(false);
  const found = useQuery(projectQuery(project));
  const connect = (open: boolean) =>
    void navigate({ to: ".", search: (before: object) => ({ ...before, connect: open || undefined }), replace: true });
  if (found.error && !found.data) {
    if (found.error instanceof ApiError && found.error.status === 404) return <NotFound what="project" />;
    return <Problem className="m-6" error={found.error} retry={() => void found.refetch()} />;
  }
  return (
    <div className="lg:grid lg:min-h-dvh lg:grid-cols-[15.5rem_minmax(0,1fr)]">
      <a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:m-2 focus:rounded focus:bg-surface focus:p-2">
        Skip to content
      </a>
      <aside className="sticky top-0 hidden h-dvh border-r bg-sunken lg:block" aria-label="Sidebar">
        <SideBar />
      </aside>
      <PhoneBar onMenu={() => setMenu(true)} onConnect={() => connect(true)} />
      <RadixDialog.Root open={menu} onOpenChange={setMenu}>
        <RadixDialog.Portal>
          <RadixDialog.Overlay className="fixed inset-0 z-40 bg-black/35" />
          <RadixDialog.Content className="slide-in fixed inset-y-0 left-0 z-50 w-72 border-r bg-sunken outline-none" aria-describedby={undefined}>
            <RadixDialog.Title className="sr-only">Menu</RadixDialog.Title>
            <SideBar onNavigate={() => setMenu(false)} />
          </RadixDialog.Content>
        </RadixDialog.Portal>
      </RadixDialog.Root>
      <main id="content" tabIndex={-1} className="min-w-0 outline-none">
        <Trouble project={project} />
        <Outlet />
      </main>
      <ConnectDialog open={search.connect === true} onOpenChange={connect} />
    </div>
  );
}

// What every page of a project needs could not be had, or not anew: what is shown may be old.
function Trouble({ project }: { project: string }) {
  const asked = [useQuery(branchesQuery(project)), useQuery(endpointsQuery(project)), useQuery(projectOverviewQuery(project))];
  const failed = asked.filter((one) => one.error);
  if (failed.length === 0) return null;
  return (
    <div className="sticky top-14 z-20 bg-bg px-4 pt-4 sm:px-8 lg:top-0">
      <Problem error={failed[0].error} retry={() => failed.forEach((one) => void one.refetch())} />
    </div>
  );
}

// A page's heading, its actions, and Connect.
export function PageHead({ title, hint, children }: { title: string; hint?: ReactNode; children?: ReactNode }) {
  const navigate = useNavigate();
  return (
    <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3 px-4 pt-5 pb-4 sm:px-8 sm:pt-7">
      <div className="min-w-0">
        <h1 className="text-xl font-semibold">{title}</h1>
        {hint && <p className="mt-0.5 max-w-2xl text-sm text-pretty text-muted">{hint}</p>}
      </div>
      <div className="flex flex-wrap items-center gap-2">
        {children}
        <Button
          className="max-lg:hidden"
          icon={<Plug className="size-4" aria-hidden />}
          onClick={() => void navigate({ to: ".", search: (before: object) => ({ ...before, connect: true }), replace: true })}
        >
          Connect
        </Button>
      </div>
    </div>
  );
}

export function PageBody({ children, className }: { children: ReactNode; className?: string }) {
  return <div className={clsx("space-y-6 px-4 pb-16 sm:px-8", className)}>{children}</div>;
}
