// @neondatabase/api-client through what an application does: everything it calls must be answered as its types say.
import assert from "node:assert/strict";
import { createApiClient } from "@neondatabase/api-client";

const { NEON_API_KEY: apiKey, NEON_BASE: baseURL } = process.env;
const api = createApiClient({ apiKey, baseURL });

const made = (await api.createProject({ project: { name: "by-api-client" } })).data;
const project = made.project.id;
try {
  for (const operation of made.operations)
    assert.equal((await api.getProjectOperation(project, operation.id)).data.operation.status, "finished");
  const page = (await api.listProjects({ limit: 1 })).data;
  assert.equal(page.projects.length, 1);
  const seen = new Set();
  for (let cursor; ; ) {
    const { projects, pagination } = (await api.listProjects({ limit: 1, cursor })).data;
    if (projects.length === 0) break;
    for (const one of projects) assert(!seen.has(one.id), "a project is listed once");
    for (const one of projects) seen.add(one.id);
    cursor = pagination.cursor;
  }
  assert(seen.has(project));

  const main = made.branch.id;
  for (const name of ["a", "b", "c"])
    await api.createProjectBranch(project, { branch: { name, parent_id: main }, annotation_value: { purpose: name } });
  const names = [];
  for (let cursor; ; ) {
    const { branches, annotations, pagination } =
      (await api.listProjectBranches({ projectId: project, limit: 1, cursor, sort_by: "name", sort_order: "asc" })).data;
    for (const one of branches) {
      names.push(one.name);
      if (one.name !== "main") assert.equal(annotations[one.id].value.purpose, one.name);
    }
    cursor = pagination.next;
    if (!cursor) break;
  }
  assert.deepEqual(names, ["a", "b", "c", "main"]);
  assert.equal((await api.countProjectBranches({ projectId: project, search: "a" })).data.count, 2);

  const endpoint = made.endpoints[0];
  const changed = (await api.updateProjectEndpoint(project, endpoint.id,
    { endpoint: { suspend_timeout_seconds: 60, autoscaling_limit_min_cu: 0.5, autoscaling_limit_max_cu: 1 } })).data.endpoint;
  assert.equal(changed.autoscaling_limit_max_cu, 1);
  await api.startProjectEndpoint(project, endpoint.id);
  await api.restartProjectEndpoint(project, endpoint.id);
  await api.suspendProjectEndpoint(project, endpoint.id);
  const disabled = (await api.updateProjectEndpoint(project, endpoint.id, { endpoint: { disabled: true } })).data.endpoint;
  assert.equal(disabled.disabled, true);
  await assert.rejects(api.startProjectEndpoint(project, endpoint.id), { status: 422 });
  await api.updateProjectEndpoint(project, endpoint.id, { endpoint: { disabled: false } });

  const role = (await api.createProjectBranchRole(project, main, { role: { name: "a/b c" } })).data.role;
  assert.equal((await api.getProjectBranchRolePassword(project, main, "a/b c")).data.password, role.password);
  assert.notEqual((await api.resetProjectBranchRolePassword(project, main, "a/b c")).data.role.password,
    role.password);
  await api.createProjectBranchDatabase(project, main, { database: { name: "shop", owner_name: "a/b c" } });
  assert.equal((await api.getProjectBranchDatabase(project, main, "shop")).data.database.owner_name, "a/b c");
  const uri = (await api.getConnectionUri({ projectId: project, database_name: "shop", role_name: "a/b c", pooled: true })).data.uri;
  assert(uri.startsWith("postgresql://a%2Fb%20c:npg_") && uri.includes("-pooler."));

  await assert.rejects(api.getProject("none"), (error) => {
    assert.equal(error.response.status, 404);
    assert.equal(error.response.data.message, "project not found");
    assert.match(error.response.data.request_id, /^[0-9a-f-]{36}$/);
    return true;
  });
  await assert.rejects(api.createProjectBranch(project, { branch: { name: 7 } }), (error) => {
    assert.equal(error.response.status, 400);
    assert.match(error.response.data.message, /branch\.name must be a string/);
    return true;
  });
  await api.deleteProjectEndpoint(project, endpoint.id);
  assert.equal((await api.deleteProjectEndpoint(project, endpoint.id)).status, 204);
  assert.equal((await api.listProjectEndpoints(project)).data.endpoints.length, 0);
  await api.createProjectEndpoint(project, { endpoint: { branch_id: main, type: "read_write" } });
  await assert.rejects(api.createProjectEndpoint(project, { endpoint: { branch_id: main, type: "read_write" } }), { status: 409 });
} finally {
  await api.deleteProject(project);
}
