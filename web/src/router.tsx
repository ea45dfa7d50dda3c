// Every page and its address. What is chosen (the branch, the database, ...) is in the address, too.
import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { NotFound } from "./pages/not-found";
import { ProjectsPage } from "./pages/projects";
import { Problem } from "./ui/basics";
import { ProjectLayout } from "./shell/project-layout";
import { Root } from "./shell/root";

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({ component: Root, notFoundComponent: () => <NotFound /> });

const text = (search: Record<string, unknown>, name: string) => (typeof search[name] === "string" ? { [name]: search[name] } : {});
const createSearch = (search: Record<string, unknown>): { create?: string } => text(search, "create");

const signIn = createRoute({ getParentRoute: () => root, path: "/sign-in", component: ProjectsPage });
const projects = createRoute({ getParentRoute: () => root, path: "/", validateSearch: createSearch, component: ProjectsPage });
const account = createRoute({
  getParentRoute: () => root,
  path: "/account",
  validateSearch: createSearch,
  component: lazyRouteComponent(() => import("./pages/account"), "AccountPage"),
});

export interface ProjectSearch {
  branch?: string; // Its id; without: the default one.
  compute?: string; // Its id; without: the branch's that writes.
  connect?: boolean; // The dialog is open.
  create?: string; // What a dialog shall make, once: useCreating.
}

const project = createRoute({
  getParentRoute: () => root,
  path: "/projects/$project",
  component: ProjectLayout,
  validateSearch: (search: Record<string, unknown>): ProjectSearch => ({
    ...text(search, "branch"),
    ...text(search, "compute"),
    ...text(search, "create"),
    ...(search.connect === true && { connect: true }),
  }),
});

const dashboard = createRoute({
  getParentRoute: () => project,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/dashboard"), "DashboardPage"),
});
const branches = createRoute({
  getParentRoute: () => project,
  path: "branches",
  component: lazyRouteComponent(() => import("./pages/branches"), "BranchesPage"),
});
const restore = createRoute({
  getParentRoute: () => project,
  path: "restore",
  component: lazyRouteComponent(() => import("./pages/restore"), "RestorePage"),
});
const compare = createRoute({
  getParentRoute: () => project,
  path: "compare",
  component: lazyRouteComponent(() => import("./pages/compare"), "ComparePage"),
});
const snapshots = createRoute({
  getParentRoute: () => project,
  path: "snapshots",
  component: lazyRouteComponent(() => import("./pages/snapshots"), "SnapshotsPage"),
});
const computes = createRoute({
  getParentRoute: () => project,
  path: "computes",
  component: lazyRouteComponent(() => import("./pages/computes"), "ComputesPage"),
});
const sql = createRoute({
  getParentRoute: () => project,
  path: "sql",
  validateSearch: (search: Record<string, unknown>): { database?: string } => text(search, "database"),
  component: lazyRouteComponent(() => import("./pages/sql"), "SqlPage"),
});
const tables = createRoute({
  getParentRoute: () => project,
  path: "tables",
  validateSearch: (search: Record<string, unknown>): { database?: string; table?: string } => ({
    ...text(search, "database"),
    ...text(search, "table"),
  }),
  component: lazyRouteComponent(() => import("./pages/tables"), "TablesPage"),
});
const monitoring = createRoute({
  getParentRoute: () => project,
  path: "monitoring",
  component: lazyRouteComponent(() => import("./pages/monitoring"), "MonitoringPage"),
});
const roles = createRoute({
  getParentRoute: () => project,
  path: "roles",
  component: lazyRouteComponent(() => import("./pages/roles"), "RolesPage"),
});
const operations = createRoute({
  getParentRoute: () => project,
  path: "operations",
  component: lazyRouteComponent(() => import("./pages/operations"), "OperationsPage"),
});
const settings = createRoute({
  getParentRoute: () => project,
  path: "settings",
  component: lazyRouteComponent(() => import("./pages/settings"), "SettingsPage"),
});

const tree = root.addChildren([
  signIn,
  projects,
  account,
  project.addChildren([dashboard, branches, snapshots, computes, restore, compare, sql, tables, monitoring, roles, operations, settings]),
]);

export function createConsoleRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    defaultPreload: "intent",
    defaultErrorComponent: ({ error, reset }) => <Problem className="m-6" error={error} retry={reset} />,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}
